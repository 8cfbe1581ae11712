from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.artifacts.model import ModelContent
from trimtab.core.errors import ConflictError, InputError, NotFoundError
from trimtab.policy.model import ApiKey
from trimtab.releases.model import Fallback, Feature
from trimtab.releases.pointers import PointerRequest, set_pointer
from trimtab.rollout.commands import RolloutRequest, command_rollout, start_rollout
from trimtab.rollout.effects import Command
from trimtab.rollout.ports import PlanVersion
from trimtab.rollout.publishing import compile_snapshot, no_prices
from trimtab.rollout.simulation import synthetic_release
from trimtab.rollout.spec import RollbackPolicy, RolloutPlan, decode_plan, default_plan, encode_plan
from trimtab.serving.snapshot import Price

if TYPE_CHECKING:
    from tests.unit.rollout.conftest import World


def start(made: World, **fields: Any) -> str:
    given: dict[str, Any] = {"feature": "f", "environment": "e", "candidate": made.candidate.digest, "actor": "ann"}
    with made.store.write() as tx:
        return start_rollout(tx, RolloutRequest(**given | fields), now_ms=made.clock.now_ms()).id


def refusal(made: World, kind: type[InputError], **fields: Any) -> InputError:
    with pytest.raises(kind) as caught:
        start(made, **fields)
    assert caught.value.hint
    return caught.value


def test_what_cannot_be_rolled_out_says_why(world: type[World]) -> None:
    made = world()
    assert refusal(made, ConflictError).code == "rollout_active"
    assert refusal(made, NotFoundError, candidate="sha256:none").code == "unknown_release"
    assert refusal(made, NotFoundError, feature="g").code == "unknown_release"
    assert refusal(made, NotFoundError, environment="dev").code == "no_stable_release"
    assert refusal(made, ConflictError, candidate=made.stable.digest).code == "already_stable"


def test_superseding_ends_the_old_attempt_and_the_new_one_draws_anew(world: type[World]) -> None:
    made = world()
    made.tick()
    second = start(made, supersede=True, reason="hotfix")
    with made.store.read() as tx:
        old, new = tx.rollout(made.id), tx.rollout(second)
        audit = [(entry.action, entry.subject) for entry in tx.audit()]
    assert old is not None
    assert new is not None
    assert (old.state, new.state) == ("superseded", "validating")
    assert "hotfix" in old.reason
    assert old.salt != new.salt
    assert audit[-2:] == [("rollout.transition", made.id), ("rollout.start", second)]


def test_the_pushed_plan_is_frozen_at_the_start(world: type[World]) -> None:
    made = world()
    first = start(made, supersede=True)
    pushed = msgspec.structs.replace(default_plan(), alpha=0.01)
    with made.store.write() as tx:
        tx.add_plan(
            PlanVersion(
                digest="sha256:p", feature="f", number=1, source=encode_plan(pushed), created_at_ms=0, created_by="ann"
            )
        )
    second = start(made, supersede=True)
    with made.store.read() as tx:
        alphas = [decode_plan(rollout.plan).alpha for i in (first, second) if (rollout := tx.rollout(i))]
    assert alphas == [0.05, 0.01]


def test_commands_to_nobody_and_by_nobody_are_refused(world: type[World]) -> None:
    made = world()
    with made.store.write() as tx, pytest.raises(NotFoundError):
        command_rollout(tx, "ro_none", Command(kind="abort", actor="ann"), now_ms=0)
    with made.store.write() as tx, pytest.raises(InputError):
        command_rollout(tx, made.id, Command(kind="abort", actor=""), now_ms=0)


def test_promotion_by_hand_moves_the_pointer_and_is_audited_in_one_transaction(world: type[World]) -> None:
    made = world()
    made.tick()
    made.command("promote")
    assert made.pointer() == made.candidate.digest
    with made.store.read() as tx:
        move = tx.pointer_moves("f", "e")[-1]
        actions = [entry.action for entry in tx.audit()]
    assert (move.actor, move.rollout, move.from_release) == ("ann", made.id, made.stable.digest)
    assert actions[-2:] == ["pointer.move", "rollout.transition"]
    made.tick()
    assert made.board.snapshots["e"].routes[0].stable == made.candidate.digest
    assert made.route() is None


def test_a_snapshot_holds_what_its_routes_need_and_nothing_revoked(world: type[World]) -> None:
    made = world()
    made.tick()
    with made.store.write() as tx:
        tx.add_release(synthetic_release("f", 3))
        for number, revoked in [(1, None), (2, 5)]:
            tx.add_key(ApiKey(id=f"k{number}", hash=f"h{number}", team="t", created_at_ms=0, created_by="ann"))
            if revoked is not None:
                tx.revoke_key(f"k{number}", revoked)
    with made.store.read() as tx:
        snapshot = compile_snapshot(
            tx,
            "e",
            revision=7,
            now_ms=9,
            prices=lambda release: Price(input_usd=1.0, output_usd=2.0) if release.number == 2 else None,
        )
        elsewhere = compile_snapshot(tx, "dev", revision=1, now_ms=9, prices=no_prices)
    assert (snapshot.revision, snapshot.published_at_ms) == (7, 9)
    assert set(snapshot.releases) == {made.stable.digest, made.candidate.digest}
    assert set(snapshot.prices) == {made.candidate.digest}
    assert snapshot.keys == {"h1": "t"}
    assert elsewhere.routes == []


def test_a_snapshot_holds_the_price_of_every_fallback(world: type[World]) -> None:
    made = world()
    chain = [
        Fallback(model=ModelContent(provider="p", model=name), wire=made.stable.compiled.wire)
        for name in ("cheap", "unheard-of")
    ]
    chained = synthetic_release(
        "g", 1, compiled=msgspec.structs.replace(made.stable.compiled, feature="g", fallbacks=chain)
    )
    prices = {"cheap": Price(input_usd=0.1, output_usd=0.2)}
    with made.store.write() as tx:
        tx.put_feature(Feature(name="g", team="t"))
        tx.add_release(chained)
        set_pointer(tx, PointerRequest(release=chained, environment="e", actor="ann", reason="first"), now_ms=9)
        snapshot = compile_snapshot(
            tx, "e", revision=1, now_ms=9, prices=lambda release: prices.get(release.model.model)
        )
    assert snapshot.fallback_prices == {chained.digest: [prices["cheap"], None]}
    assert snapshot.prices == {}


def test_an_idle_controller_publishes_once_and_then_only_on_change(world: type[World]) -> None:
    made = world()
    made.tick()
    published = made.board.published
    for _ in range(5):
        made.clock.advance(0.2)
        made.tick()
    assert made.board.published == published
    with made.store.write() as tx:
        tx.add_key(ApiKey(id="k", hash="h", team="t", created_at_ms=0, created_by="ann"))
    made.tick()
    assert made.board.published == published + 1
    assert made.board.snapshots["e"].keys == {"h": "t"}


def test_a_lost_snapshot_is_published_again(world: type[World]) -> None:
    made = world()
    made.tick()
    made.board.snapshots.clear()
    made.tick()
    assert made.route() is not None


def rolled_back(made: World) -> World:
    made.tick()
    for unit in range(30):
        made.send(unit, bad=True)
    made.clock.advance(3)
    made.tick()
    assert made.rollout().state == "rolled_back"
    return made


def cooling(world: type[World]) -> World:
    plan = msgspec.structs.replace(conftest_plan(world), rollback=RollbackPolicy(cooldown="30m"))
    return rolled_back(world(plan=plan))


def test_a_candidate_proven_harmful_cools_down_before_it_is_tried_again(world: type[World]) -> None:
    made = cooling(world)
    until = datetime.fromtimestamp((made.clock.now_ms() + 1_800_000) / 1000, UTC).strftime("%H:%M:%S UTC")
    error = refusal(made, ConflictError)
    assert error.code == "cooling_down"
    assert until in error.message
    assert "--force" in str(error)
    with made.store.write() as tx:
        tx.add_release(synthetic_release("f", 3))
    other = start(made, candidate=synthetic_release("f", 3).digest)
    with made.store.write() as tx:
        command_rollout(tx, other, Command(kind="supersede", actor="ann"), now_ms=made.clock.now_ms())
    made.clock.advance(1799)
    assert refusal(made, ConflictError).code == "cooling_down"
    made.clock.advance(1)
    assert start(made)


def test_a_cooldown_is_overridden_by_force_and_the_audit_log_tells(world: type[World]) -> None:
    made = cooling(world)
    again = start(made, force=True)
    with made.store.read() as tx:
        entry = next(one for one in tx.audit() if one.subject == again)
    assert entry.action == "rollout.start"
    assert entry.detail["forced"].startswith("cooling down until ")


def test_force_that_was_not_needed_is_not_told_and_an_abort_cools_nothing_down(world: type[World]) -> None:
    made = world(plan=msgspec.structs.replace(conftest_plan(world), rollback=RollbackPolicy(cooldown="30m")))
    made.tick()
    made.command("abort")
    made.tick()
    again = start(made, force=True)
    with made.store.read() as tx:
        assert "forced" not in next(one for one in tx.audit() if one.subject == again).detail


def conftest_plan(world: type[World]) -> RolloutPlan:
    return decode_plan(world().rollout().plan)
