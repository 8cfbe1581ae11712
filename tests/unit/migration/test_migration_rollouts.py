"""What rollouts do to a migration: promoted, rolled back, aborted, skipped; and what follows a cutover."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.migration.driving import (
    acknowledged,
    approved,
    drive,
    fork,
    stages,
    to_promotion,
    to_shadow,
)
from tests.unit.migration.world import (
    FEATURES,
    NEW,
    World,
    source,
)

from trimtab.migration.events import Approved, RolledBack
from trimtab.rollout.commands import RolloutRequest, command_rollout, start_rollout
from trimtab.rollout.effects import Command

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.migration.states import StateName


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_harmful_rollout_goes_back_to_adapting_with_the_reason_and_its_release_is_not_tried_again(
    world: World,
) -> None:
    plan = to_shadow(world)
    candidate, rollout = fork(plan).candidate, fork(plan).rollout
    at = stages(world, rollout)
    drive(world, rollout, "progressing", stage=at["weight"])
    plan = world.engine.run(plan.id)
    assert fork(plan).state == "canary"
    drive(world, rollout, "rolling_back", reason="schema: worse", verdict={"status": "failed"})
    plan = world.engine.run(plan.id)
    assert (fork(plan).state, fork(plan).standing) == ("canary", "waiting")
    drive(world, rollout, "rolled_back", reason="schema: worse")
    plan = world.engine.run(plan.id)
    assert (fork(plan).state, fork(plan).standing) == ("adapt", "blocked")
    assert "schema: worse" in fork(plan).reasons[0]
    plan = world.engine.run(plan.id)
    assert fork(plan).candidate != candidate
    assert fork(plan).state == "adapt"
    assert any("schema: worse" in one for one in fork(plan).reasons)
    assert fork(plan, "billing").state == "shadow"  # the other fork goes on by itself
    world.push(source("support", model=NEW, text="Better."), by="ben")
    plan = world.engine.run(plan.id)
    assert (fork(plan).state, fork(plan).standing) == ("shadow", "held")


def test_a_rollout_that_a_person_aborted_may_be_tried_again(world: World) -> None:
    plan = to_shadow(world)
    rollout = fork(plan).rollout
    drive(world, rollout, "rolling_back", reason="holiday", actor="ben")
    drive(world, rollout, "rolled_back", reason="holiday")
    plan = world.engine.run(plan.id)
    assert (fork(plan).state, fork(plan).standing) == ("shadow", "held")
    plan = world.engine.run(world.engine.apply(plan.id, Approved(fork="support", actor="ana", reason="back")).id)
    assert fork(plan).rollout not in {"", rollout}


def test_a_person_who_promotes_past_the_evidence_is_named_in_the_states_that_were_skipped(world: World) -> None:
    plan = to_shadow(world)
    rollout = fork(plan).rollout
    drive(world, rollout, "shadowing", stage=stages(world, rollout)["shadow"])
    with world.store.write() as tx:
        command_rollout(
            tx,
            rollout,
            Command(kind="promote", actor="ben", reason="the old one dies tonight"),
            now_ms=world.clock.now_ms(),
        )
    plan = world.engine.run(plan.id)
    assert fork(plan).state == "cutover"
    for state in ("shadow", "canary"):
        override = fork(plan).passed[state].override
        assert override is not None
        assert (override.actor, "dies tonight" in override.reason) == ("ben", True)


@pytest.mark.parametrize("state", ["shadow", "canary", "cutover", "retire"])
def test_going_back_brings_users_back_to_the_old_release(world: World, state: StateName) -> None:
    plan = to_shadow(world)
    rollout = fork(plan).rollout
    at = stages(world, rollout)
    drive(world, rollout, "shadowing", stage=at["shadow"])
    if state != "shadow":
        drive(world, rollout, "progressing", stage=at["weight"])
    if state in {"cutover", "retire"}:
        drive(world, rollout, "baking", stage=at["bake"])
        drive(world, rollout, "promoted", reason="proven")
    plan = world.engine.run(plan.id)
    if state == "retire":
        world.clock.advance(3601)
        plan = world.engine.run(plan.id)
    assert fork(plan).state == state
    plan = world.engine.apply(plan.id, RolledBack(fork="support", actor="ana", reason="odd"))
    assert fork(plan).standing == "held"
    assert world.published == ["production"]
    with world.store.read() as tx:
        pointer = tx.pointer("support", "production")
        live = tx.rollout(rollout)
    assert pointer is not None
    assert live is not None
    assert pointer.release == world.releases["support"].digest
    assert live.state == ("promoted" if state in {"cutover", "retire"} else "rolling_back")


def test_a_cutover_that_fails_more_often_does_not_pass_its_soak(world: World) -> None:
    plan = to_shadow(world)
    for name in FEATURES:
        to_promotion(world, plan, name)
    world.engine.run(plan.id)
    world.new_errors = 30
    world.clock.advance(3601)
    plan = world.engine.run(plan.id)
    assert (fork(plan).state, fork(plan).standing) == ("cutover", "blocked")
    assert "30 of 100 calls of the new release failed" in fork(plan).reasons[0]


def test_whoever_still_calls_the_old_model_is_named(world: World) -> None:
    plan = to_shadow(world)
    for name in FEATURES:
        to_promotion(world, plan, name)
    world.engine.run(plan.id)
    world.clock.advance(3601)
    plan = world.engine.run(plan.id)
    assert (fork(plan).state, fork(plan).standing) == ("retire", "waiting")
    assert "100 calls by billing#1 (stable; team web, process gw-1)" in fork(plan).reasons[0]
    assert fork(plan).until_ms is not None
    world.old_calls_until_ms = world.clock.now_ms()
    world.new_calls = 0
    world.clock.advance(3 * 3600)
    plan = world.engine.run(plan.id)
    assert "is evidence being kept?" in fork(plan).reasons[0]


def test_a_release_that_was_shipped_meanwhile_is_begun_with_and_never_undone(world: World) -> None:
    plan = world.engine.run(world.start().id)
    plan = world.engine.run(acknowledged(world, plan).id)
    shipped = world.push(source("support", text="Shipped meanwhile.", temperature=0.2))
    world.point("support", shipped)
    world.releases["support"] = shipped
    plan = world.engine.run(approved(world, plan).id)
    assert (fork(plan).state, fork(plan).standing) == ("shadow", "blocked")
    assert "--to golden" in fork(plan).reasons[0]
    assert fork(plan, "billing").rollout
    plan = world.engine.apply(plan.id, RolledBack(fork="support", actor="ana", reason="shipped", to="golden"))
    plan = world.engine.run(approved(world, plan).id)
    plan = world.engine.run(acknowledged(world, plan).id)
    plan = world.engine.run(approved(world, plan).id)
    assert fork(plan).release_number == shipped.number
    with world.store.read() as tx:
        candidate = tx.release(fork(plan).candidate)
    assert candidate is not None
    assert "Shipped meanwhile." in candidate.compiled.prompt.messages[0].content
    assert fork(plan).rollout


def test_somebody_else_s_rollout_is_waited_for_and_holds_up_nobody_else(world: World) -> None:
    plan = world.engine.run(world.start().id)
    plan = world.engine.run(acknowledged(world, plan).id)
    other = world.push(source("support", text="Another experiment.", temperature=0.3))
    with world.store.write() as tx:
        request = RolloutRequest(feature="support", environment="production", candidate=other.digest, actor="ben")
        theirs = start_rollout(tx, request, now_ms=world.clock.now_ms())
    plan = world.engine.run(approved(world, plan).id)
    assert (fork(plan).state, fork(plan).standing, fork(plan).rollout) == ("shadow", "waiting", "")
    assert theirs.id in fork(plan).reasons[0]
    assert fork(plan, "billing").rollout
    drive(world, theirs.id, "rolled_back", reason="done")
    plan = world.engine.run(plan.id)
    assert fork(plan).rollout not in {"", theirs.id}


def test_while_a_step_has_a_time_the_status_says_until_when(world: World) -> None:
    plan = to_shadow(world)
    rollout = fork(plan).rollout
    drive(world, rollout, "shadowing", stage=stages(world, rollout)["shadow"], stage_entered_ms=world.clock.now_ms())
    plan = world.engine.run(plan.id)
    assert fork(plan).until_ms == world.clock.now_ms() + 3_600_000
