"""Slots are claimed in control state and given back by ending; holdouts outlive rollouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.core.errors import ConflictError, InputError, NotFoundError
from trimtab.releases.model import Feature, PointerMove
from trimtab.rollout.commands import RolloutRequest, command_rollout, start_rollout
from trimtab.rollout.effects import Command
from trimtab.rollout.participation import HoldoutRequest, layer_statuses, set_holdout
from trimtab.rollout.plan_file import parse_plan
from trimtab.rollout.simulation import synthetic_release
from trimtab.rollout.spec import LayerClaim, RolloutPlan, Step, decode_plan, encode_plan
from trimtab.rollout.steps import PauseStep
from trimtab.serving.assignment import takes_part
from trimtab.storage.memory import MemoryStore

if TYPE_CHECKING:
    from tests.unit.rollout.conftest import World

    from trimtab.rollout.model import Rollout

NOW_MS = 1_760_000_000_000
PLAN = RolloutPlan(window="1s", steps=[Step(set_weight=50.0), Step(pause=PauseStep(duration="1h"))])
STEPS = "steps: [{setWeight: 50}, {pause: {}}]\n"


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    with made.write() as tx:
        for feature in ("search", "reply", "digest"):
            tx.put_feature(Feature(name=feature, team="t"))
            for number in (1, 2):
                tx.add_release(synthetic_release(feature, number))
            tx.move_pointer(
                PointerMove(
                    feature=feature,
                    environment="e",
                    revision=1,
                    from_release=None,
                    to_release=synthetic_release(feature, 1).digest,
                    at_ms=NOW_MS,
                    actor="ann",
                    reason="first",
                )
            )
    return made


def start(store: MemoryStore, feature: str, plan: str, **fields: Any) -> Rollout:
    candidate = synthetic_release(feature, 2).digest
    request = RolloutRequest(
        feature=feature, environment="e", candidate=candidate, actor="ann", plan=parse_plan(plan.encode()), **fields
    )
    with store.write() as tx:
        return start_rollout(tx, request, now_ms=NOW_MS)


def in_layer(share: float) -> str:
    return f"layer: {{name: home, share: {share}}}\n{STEPS}"


def test_rollouts_of_one_layer_get_slots_that_do_not_overlap_under_one_salt(store: MemoryStore) -> None:
    first, second = start(store, "search", in_layer(30)), start(store, "reply", in_layer(33.3))
    (one,), (two,) = first.bands, second.bands
    assert (one.start, one.end, two.start, two.end) == (0.0, 0.3, 0.3, 0.633)
    assert one.salt == two.salt != first.salt


def test_a_full_layer_names_the_holders_and_the_room_left(store: MemoryStore) -> None:
    first, second = start(store, "search", in_layer(30)), start(store, "reply", in_layer(50))
    with pytest.raises(ConflictError) as caught:
        start(store, "digest", in_layer(30))
    assert caught.value.code == "layer_full"
    assert f"`search` ({first.id}) holds 0 to 30 %" in caught.value.message
    assert f"`reply` ({second.id}) holds 30 to 80 %" in caught.value.message
    assert "at most 20 %" in (caught.value.hint or "")
    with store.read() as tx:
        assert len(tx.active_rollouts()) == 2


def test_an_ended_rollout_gives_its_slot_back_and_an_empty_layer_draws_a_new_salt(store: MemoryStore) -> None:
    first = start(store, "search", in_layer(60))
    with store.write() as tx:
        command_rollout(tx, first.id, Command(kind="supersede", actor="ann"), now_ms=NOW_MS)
    second = start(store, "reply", in_layer(80))
    assert (second.bands[0].start, second.bands[0].end) == (0.0, 0.8)
    assert second.bands[0].salt != first.bands[0].salt


def test_a_feature_that_supersedes_its_own_rollout_may_take_its_slot(store: MemoryStore) -> None:
    start(store, "search", in_layer(60))
    again = start(store, "search", in_layer(100), supersede=True)
    assert (again.bands[0].start, again.bands[0].end) == (0.0, 1.0)


def test_people_see_who_holds_what(store: MemoryStore) -> None:
    first = start(store, "search", in_layer(25))
    with store.read() as tx:
        (layer,) = layer_statuses(tx.active_rollouts())
    assert (layer.layer, layer.free) == ("home", 75.0)
    assert [(slot.rollout, slot.start, slot.end) for slot in layer.slots] == [(first.id, 0.0, 25.0)]


def test_a_holdout_of_a_plan_keeps_its_salt_from_one_rollout_to_the_next(store: MemoryStore) -> None:
    first = start(store, "search", f"holdout: 5\n{STEPS}")
    second = start(store, "search", STEPS, supersede=True)
    larger = start(store, "search", f"holdout: 8\n{STEPS}", supersede=True)
    none = start(store, "search", f"holdout: 0\n{STEPS}", supersede=True)
    back = start(store, "search", f"holdout: 5\n{STEPS}", supersede=True)
    assert (first.bands[0].kind, first.bands[0].start, first.bands[0].end) == ("holdout", 0.05, 1.0)
    assert second.bands == first.bands == back.bands
    assert (larger.bands[0].salt, larger.bands[0].start) == (first.bands[0].salt, 0.08)
    assert none.bands == []


def test_the_holdout_of_an_environment_is_the_same_for_every_feature_that_starts_after_it(store: MemoryStore) -> None:
    before = start(store, "digest", STEPS)
    with store.write() as tx:
        set_holdout(tx, HoldoutRequest(environment="e", percent=2.5, actor="ann", reason="yearly"), now_ms=NOW_MS)
    first, second = start(store, "search", f"holdout: 1\n{STEPS}"), start(store, "reply", STEPS)
    assert before.bands == []
    assert [band.name for band in first.bands] == ["", "search"]
    assert second.bands == first.bands[:1]
    with store.read() as tx:
        audit = [(entry.subject, entry.detail["to"]) for entry in tx.audit() if entry.action == "holdout.set"]
    assert audit == [("*/e", 2.5), ("search/e", 1.0)]


def test_what_is_no_holdout_is_refused(store: MemoryStore) -> None:
    for percent in (-1.0, 100.0):
        with store.write() as tx, pytest.raises(InputError, match="nobody to roll out to"):
            set_holdout(tx, HoldoutRequest(environment="e", percent=percent, actor="ann"), now_ms=NOW_MS)
    with store.write() as tx, pytest.raises(NotFoundError, match="no feature `g`"):
        wish = HoldoutRequest(environment="e", feature="g", percent=1, actor="ann")
        set_holdout(tx, wish, now_ms=NOW_MS)


def test_only_who_takes_part_is_routed_to_the_candidate_and_only_they_are_compared(world: type[World]) -> None:
    plan = msgspec.structs.replace(PLAN, layer=LayerClaim(name="home", share=40), holdout=10.0, fallback="session")
    made = world(plan=plan)
    made.tick()
    route = made.route()
    assert route is not None
    assert route.fallback == "session"
    assert [(band.kind, band.start, band.end) for band in route.bands] == [("holdout", 0.1, 1.0), ("layer", 0.0, 0.4)]
    for unit in range(200):
        made.send(unit, bad=False)
    made.clock.advance(2)
    made.tick()
    taking = sum(takes_part(route.bands, f"user-{unit}") for unit in range(200))
    evidence = made.evidence()
    assert evidence is not None
    units = evidence.phases["live"].units
    assert units.control + units.candidate == taking
    assert 40 < taking < 110


def test_a_plan_with_them_is_stored_as_it_was_written() -> None:
    plan = parse_plan(f"fallback: session\nholdout: 5\n{in_layer(40)}".encode())
    assert decode_plan(encode_plan(plan)) == plan
