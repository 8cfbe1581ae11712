"""Crashes, lost leases, duplicates, late events and a clock set back: nothing is promoted and rolled back both, nothing
is counted twice, and a crash leaves no trace in the evidence. `world` is in conftest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.unit.rollout.conftest import World

WEIGHT_STAGE = 1
"""The plan's `setWeight`: taken and left in one moment."""

requests = st.tuples(st.just("send"), st.integers(0, 60), st.booleans(), st.sampled_from([0, 0, 0, 1500]))
actions = st.one_of(
    requests,
    requests,
    requests,
    st.tuples(st.just("burst"), st.integers(0, 40), st.booleans(), st.just(0)),
    st.tuples(st.just("burst"), st.integers(0, 40), st.just(False), st.just(0)),  # noqa: FBT003 - value drawn
    st.tuples(st.just("repeat"), st.integers(0, 200), st.just(False), st.just(0)),  # noqa: FBT003 - value drawn
    st.tuples(st.just("advance"), st.sampled_from([1, 1, 2, 3, -5, 130]), st.just(False), st.just(0)),  # noqa: FBT003
)


def act(world: World, action: tuple[str, int, bool, int]) -> None:
    kind, number, bad, late_ms = action
    if kind == "send":
        world.send(number, bad=bad, late_ms=late_ms)
    elif kind == "burst":
        for unit in range(number, number + 20):
            world.send(unit, bad=bad)
    elif kind == "repeat":
        world.repeat(number)
    else:
        world.clock.advance(number)


def picture(world: World) -> Any:
    """Everything that must not depend on crashes (ids are drawn at random, revisions may skip)."""
    evidence = world.evidence()
    return (
        [(t.at_ms, t.from_state, t.to_state, t.stage, t.reason) for t in world.transitions()],
        None
        if evidence is None
        else (evidence.phases, evidence.windows, evidence.generations, evidence.levels, evidence.segments),
        world.pointer(),
        world.route() is None,
    )


@given(script=st.lists(actions, max_size=25), crashes=st.lists(st.lists(st.integers(0, 40), max_size=3), max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_crash_at_any_port_call_leaves_the_same_wealth_history_and_routing(
    world: type[World], script: list[tuple[str, int, bool, int]], crashes: list[list[int]]
) -> None:
    calm, crashing = world(), world()
    for index, action in enumerate([("advance", 1, False, 0), *script, ("advance", 3, False, 0)]):
        for each in (calm, crashing):
            act(each, action)
        calm.tick()
        crashing.tick_through_crashes(list(crashes[index]) if index < len(crashes) else [])
        assert picture(crashing) == picture(calm)


def test_every_single_port_call_of_a_rollback_may_be_the_last(world: type[World]) -> None:
    """Not sampled: each call of the ticks that decide, publish and finish a rollback is cut in turn."""

    def scene() -> World:
        made = world()
        made.tick()
        for unit in range(30):
            made.send(unit, bad=True)
        made.clock.advance(3)
        return made

    calm = scene()
    calm.tick()
    assert calm.rollout().state == "rolled_back"
    cut = 0
    while True:
        crashing = scene()
        if crashing.tick_through_crashes([cut]) == 0:
            break
        assert picture(crashing) == picture(calm)
        assert crashing.told() == calm.told() == ["rolled_back"]
        cut += 1
    assert cut > 30


def test_every_single_port_call_of_a_promotion_may_be_the_last(world: type[World]) -> None:
    def scene() -> World:
        made = world()
        made.tick()
        for _ in range(12):
            for unit in range(40):
                made.send(unit, bad=False)
            made.clock.advance(1)
            if made.rollout().state == "baking" and made.clock.now_ms() - made.rollout().stage_entered_ms >= 2000:
                break
            made.tick()
        return made

    calm = scene()
    calm.tick()
    assert calm.rollout().state == "promoted"
    cut = 0
    while True:
        crashing = scene()
        if crashing.tick_through_crashes([cut]) == 0:
            break
        assert crashing.pointer() == crashing.candidate.digest
        assert picture(crashing) == picture(calm)
        cut += 1
    assert cut > 20


def test_a_controller_that_loses_its_lease_in_the_middle_of_a_tick_writes_nothing(world: type[World]) -> None:
    made = world()
    made.tick("a")
    for unit in range(10):
        made.send(unit, bad=False)
    after_b = []

    def lose() -> None:
        made.clock.advance(20)
        for unit in range(10, 40):
            made.send(unit, bad=False)
        assert made.tick("b").leading
        after_b.append(picture(made))

    made.faults.meanwhile["read"] = lose
    report = made.tick("a")
    assert not report.leading
    assert report.transitions == []
    assert after_b == [picture(made)]
    assert made.rollout().epoch == 2


def test_an_abort_just_after_publication_is_not_called_done_before_routing_followed(world: type[World]) -> None:
    made = world()
    made.faults.meanwhile["publish"] = lambda: made.command("abort")
    made.tick()
    assert made.rollout().state == "rolling_back"
    assert made.route() is not None
    made.tick()
    assert made.rollout().state == "rolled_back"
    assert made.route() is None
