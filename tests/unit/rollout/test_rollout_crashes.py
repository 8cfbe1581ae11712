"""Crashes, lost leases, duplicates, late events and a clock set back: nothing is promoted and rolled back both, nothing
is counted twice, and a crash leaves no trace in the evidence. `world` is in conftest."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from trimtab.core.errors import ConflictError
from trimtab.rollout.machine import TERMINAL_STATES

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
    st.tuples(st.just("advance"), st.sampled_from([1, 1, 2, 3, -5]), st.just(False), st.just(0)),  # noqa: FBT003
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
        None if evidence is None else (evidence.phases, evidence.windows, evidence.generations),
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
        assert "rolled_back" in crashing.told.states
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


class Chaos(RuleBasedStateMachine):
    make: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.world: World = self.make()
        self.world.tick()

    @rule(holder=st.sampled_from("ab"), countdowns=st.lists(st.integers(0, 60), max_size=2))
    def tick(self, holder: str, countdowns: list[int]) -> None:
        self.world.tick_through_crashes(countdowns, holder)

    @rule(holder=st.sampled_from("ab"))
    def die(self, holder: str) -> None:
        self.world.kill(holder)

    @rule(unit=st.integers(0, 60), bad=st.booleans(), late_ms=st.sampled_from([0, 0, 1500, 60_000]))
    def send(self, unit: int, bad: bool, late_ms: int) -> None:  # noqa: FBT001 - hypothesis passes by name
        self.world.send(unit, bad=bad, late_ms=late_ms)

    @rule(first=st.integers(0, 60), bad=st.sampled_from([False, False, True]))
    def burst(self, first: int, bad: bool) -> None:  # noqa: FBT001 - hypothesis passes by name
        for unit in range(first, first + 25):
            self.world.send(unit, bad=bad)

    @rule(first=st.integers(0, 60), bad=st.sampled_from([False, False, False, True]), holder=st.sampled_from("aab"))
    def busy_second(self, first: int, bad: bool, holder: str) -> None:  # noqa: FBT001 - hypothesis passes by name
        for unit in range(first, first + 40):
            self.world.send(unit, bad=bad)
        self.world.clock.advance(1)
        self.world.tick(holder)

    @rule(index=st.integers(0, 500))
    def repeat(self, index: int) -> None:
        self.world.repeat(index)

    @rule(seconds=st.sampled_from([1, 2, 3, 3, 11, -20]))
    def advance(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @precondition(lambda self: len(self.world.sent) > 40)
    @rule(kind=st.sampled_from(["pause", "resume", "resume", "abort", "promote"]))
    def command(self, kind: Any) -> None:
        try:
            self.world.command(kind)
        except ConflictError:
            assert self.world.rollout().state not in {"shadowing", "progressing", "baking"} or kind == "resume"

    @invariant()
    def ends_once(self) -> None:
        states = [transition.to_state for transition in self.world.transitions()]
        ended = [state for state in states if state in TERMINAL_STATES]
        event(ended[0] if ended else "live")
        assert len(ended) <= 1
        assert states[-1] == ended[0] if ended else True
        assert states[-1] == self.world.rollout().state

    @invariant()
    def serves_what_history_says(self) -> None:
        state = self.world.rollout().state
        promoted = state == "promoted"
        assert self.world.pointer() == (self.world.candidate if promoted else self.world.stable).digest
        if state == "rolled_back":
            assert self.world.route() is None
            assert "rolled_back" in self.world.told.states

    @invariant()
    def advances_only_on_traffic_of_both_arms(self) -> None:
        history = self.world.transitions()
        for left, entered in itertools.pairwise(history):
            if entered.actor == "controller" and entered.stage > left.stage >= 0 and left.stage != WEIGHT_STAGE:
                met = {generation.arm for generation in self.world.sent if generation.stage == left.stage}
                assert met & {"candidate", "shadow"}
                assert "matched_control" in met

    @invariant()
    def counts_each_unit_once(self) -> None:
        evidence = self.world.evidence()
        if evidence is None:
            return
        live = {g.unit for g in self.world.sent if g.arm != "shadow"}
        units = evidence.phases["live"].units
        assert units.control + units.candidate <= len(live)


def test_two_controllers_survive_anything_in_any_order(world: type[World]) -> None:
    chaos = type("Chaos", (Chaos,), {"make": world})
    run_state_machine_as_test(chaos, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
