"""What people and the controller do to migrations in the small world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.migration.events import Acknowledged, Approved
from trimtab.rollout.model import Transition
from trimtab.rollout.spec import decode_plan

if TYPE_CHECKING:
    from tests.unit.migration.world import World

    from trimtab.migration.model import Fork, Migration
    from trimtab.rollout.model import RolloutState


def fork(plan: Migration, name: str = "support") -> Fork:
    found = plan.fork(name)
    assert found is not None
    return found


def acknowledged(world: World, plan: Migration) -> Migration:
    for one in plan.forks:
        if one.open_findings:
            plan = world.engine.apply(plan.id, Acknowledged(fork=one.name, findings=[], actor="ana", reason="seen"))
    return plan


def approved(world: World, plan: Migration) -> Migration:
    for one in plan.forks:
        if one.standing == "held":
            plan = world.engine.apply(plan.id, Approved(fork=one.name, actor="ana", reason="go"))
    return plan


def to_shadow(world: World, **options: Any) -> Migration:
    plan = world.engine.run(world.start(**options).id)
    plan = world.engine.run(acknowledged(world, plan).id)
    assert {one.state for one in plan.forks} == {"shadow"}, [one.reasons for one in plan.forks]
    return world.engine.run(approved(world, plan).id)


def drive(world: World, rollout_id: str, state: RolloutState, *, stage: int | None = None, **fields: Any) -> None:
    """Do what the controller would."""
    with world.store.write() as tx:
        rollout = tx.rollout(rollout_id)
        assert rollout is not None
        actor = fields.pop("actor", "controller")
        moved = msgspec.structs.replace(
            rollout,
            state=state,
            stage=rollout.stage if stage is None else stage,
            version=rollout.version + 1,
            ended_at_ms=world.clock.now_ms() if state in {"promoted", "rolled_back", "expired"} else None,
            **fields,
        )
        tx.save_rollout(moved, expected_version=rollout.version)
        tx.add_transition(
            Transition(
                rollout=rollout_id,
                at_ms=world.clock.now_ms(),
                from_state=rollout.state,
                to_state=state,
                stage=moved.stage,
                actor=actor,
                reason=moved.reason,
            )
        )
    if state == "promoted":
        with world.store.read() as tx:
            release = tx.release(moved.candidate)
        assert release is not None
        world.point(moved.feature, release)


def stages(world: World, rollout_id: str) -> dict[str, int]:
    with world.store.read() as tx:
        rollout = tx.rollout(rollout_id)
        assert rollout is not None
        steps = decode_plan(rollout.plan).steps
    return {
        "shadow": next(i for i, step in enumerate(steps) if step.shadow is not None),
        "weight": next(i for i, step in enumerate(steps) if step.set_weight is not None),
        "bake": len(steps) - 1,
    }


def to_promotion(world: World, plan: Migration, name: str) -> None:
    rollout = fork(plan, name).rollout
    at = stages(world, rollout)
    drive(world, rollout, "shadowing", stage=at["shadow"])
    drive(world, rollout, "progressing", stage=at["weight"])
    drive(world, rollout, "baking", stage=at["bake"])
    drive(world, rollout, "promoted", reason="proven no worse")


def finished(world: World, plan: Migration) -> Migration:
    for name in world.features:
        to_promotion(world, plan, name)
    plan = world.engine.run(plan.id)
    assert {one.state for one in plan.forks} == {"cutover"}, [one.reasons for one in plan.forks]
    world.old_calls_until_ms = world.clock.now_ms()
    world.clock.advance(3600)
    plan = world.engine.run(plan.id)
    assert {(one.state, one.standing) for one in plan.forks} == {("retire", "waiting")}
    world.clock.advance(2 * 3600 + 1)
    return world.engine.run(plan.id)


def states_of(plan: Migration) -> list[tuple[str, str, str]]:
    return [(one.name, one.state, one.standing) for one in plan.forks]
