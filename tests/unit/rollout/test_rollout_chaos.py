"""Anything in any order: crashes, two controllers, lost leases, late and repeated events, jumping clocks, commands at
every point, attempt after attempt. `world` is in conftest."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from trimtab.analysis.verdict import judge
from trimtab.core.errors import ConflictError
from trimtab.rollout.attempt import plan_limits
from trimtab.rollout.model import TERMINAL_STATES
from trimtab.rollout.publishing import compile_snapshot, no_prices
from trimtab.rollout.spec import OfflineEvalStep, Step, decode_plan

if TYPE_CHECKING:
    from tests.unit.rollout.conftest import World

    from trimtab.rollout.model import Rollout

COMMANDS = st.sampled_from(["pause", "resume", "resume", "abort", "promote"])
STEPPING = {"evaluating", "shadowing", "progressing", "baking"}
HOLDERS = st.sampled_from("ab")


class Chaos(RuleBasedStateMachine):
    make: ClassVar[Any]
    without_traffic: ClassVar[set[int]] = {1}
    """Stages that end without anybody coming: the plan's `setWeight` is taken and left in one moment."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World = self.make()
        self.world.tick()
        self.ended: dict[str, Rollout] = {}

    @rule(holder=HOLDERS, countdowns=st.lists(st.integers(0, 60), max_size=2))
    def tick(self, holder: str, countdowns: list[int]) -> None:
        self.world.tick_through_crashes(countdowns, holder)

    @rule()
    def die(self) -> None:
        """Both processes are killed."""
        self.world.kill("a")
        self.world.kill("b")

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

    @precondition(lambda self: len(self.world.sent) > 60)
    @rule(seconds=st.sampled_from([600, 4000, -600, -4000]))
    def jump(self, seconds: int) -> None:
        """The clock is set, past leases and deadlines or back behind the start."""
        self.world.clock.advance(seconds)

    @rule(seconds=st.sampled_from([3, 11, 40]), holder=HOLDERS)
    def nobody_comes(self, seconds: int, holder: str) -> None:
        """Once all that happened is read and every window is over, time alone moves no step forward."""
        for _ in range(3):
            self.world.clock.advance(6)
            self.world.tick(holder)
        before = self.world.rollout()
        if before.state == "paused" or before.stage < 0 or not self.world.tick(holder).leading:
            return
        met_in_this_step = [g for g in self.world.sent if (g.rollout, g.stage) == (before.id, before.stage)]
        self.world.clock.advance(seconds)
        self.world.tick(holder)
        if not met_in_this_step:
            assert self.world.rollout().stage == before.stage

    @precondition(lambda self: len(self.world.sent) > 40)
    @rule(kind=COMMANDS)
    def command(self, kind: Any) -> None:
        try:
            self.world.command(kind)
        except ConflictError:
            assert self.world.rollout().state not in STEPPING or kind == "resume"

    @precondition(lambda self: len(self.world.sent) > 40 and self.world.rollout().state not in TERMINAL_STATES)
    @rule(call=st.sampled_from(["read", "publish"]), kind=st.sampled_from(["abort", "abort", "pause"]), holder=HOLDERS)
    def command_in_the_middle_of_a_tick(self, call: str, kind: Any, holder: str) -> None:
        def give() -> None:
            if self.world.rollout().state in STEPPING:
                self.world.command(kind)

        self.world.faults.meanwhile[call] = give
        self.world.tick(holder)
        self.world.faults.meanwhile.clear()

    @precondition(lambda self: len(self.world.sent) > 40)
    @rule(supersede=st.booleans())
    def start_again(self, supersede: bool) -> None:  # noqa: FBT001 - hypothesis passes by name
        live = self.world.rollout().state not in TERMINAL_STATES
        withdrawing = self.world.rollout().state == "rolling_back"
        try:
            self.world.start_again(supersede=supersede)
        except ConflictError:
            assert live
            assert withdrawing or not supersede
        else:
            event("another attempt")

    @invariant()
    def ends_once(self) -> None:
        states = [transition.to_state for transition in self.world.transitions()]
        ended = [state for state in states if state in TERMINAL_STATES]
        event(ended[0] if ended else "live")
        assert len(ended) <= 1
        assert states[-1] == ended[0] if ended else True
        assert states[-1] == self.world.rollout().state
        assert [told for told in self.world.told() if told not in {"paused", "segment"}] == ended

    @invariant()
    def what_has_ended_stays_as_it_is(self) -> None:
        with self.world.store.read() as tx:
            for rollout in tx.rollouts("f", limit=1000):
                if rollout.state in TERMINAL_STATES:
                    assert self.ended.setdefault(rollout.id, rollout) == rollout

    @invariant()
    def at_most_one_is_live(self) -> None:
        with self.world.store.read() as tx:
            live = [rollout.id for rollout in tx.rollouts("f", limit=1000) if rollout.state not in TERMINAL_STATES]
            assert live == [rollout.id for rollout in tx.active_rollouts()]
        assert len(live) <= 1

    @invariant()
    def proven_harm_outranks_everything(self) -> None:
        """Evidence commits together with what follows from it: harm is never on record beside a rollout going on."""
        evidence, rollout = self.world.evidence(), self.world.rollout()
        if evidence is None or rollout.state in {*TERMINAL_STATES, "rolling_back"}:
            return
        plan = decode_plan(rollout.plan)
        assert judge(evidence, plan.metrics, limits=plan_limits(plan), phase="live").status != "failed"

    @invariant()
    def serves_what_history_says(self) -> None:
        state = self.world.rollout().state
        promoted = state == "promoted"
        assert self.world.pointer() == (self.world.candidate if promoted else self.world.stable).digest
        if state == "rolled_back":
            assert self.world.route() is None

    @invariant()
    def advances_only_on_traffic_of_both_arms(self) -> None:
        history = self.world.transitions()
        sent = [generation for generation in self.world.sent if generation.rollout == self.world.id]
        for left, entered in itertools.pairwise(history):
            if (
                entered.actor == "controller"
                and entered.stage > left.stage >= 0
                and left.stage not in self.without_traffic
            ):
                met = {generation.arm for generation in sent if generation.stage == left.stage}
                assert met & {"candidate", "shadow"}
                assert "matched_control" in met

    @invariant()
    def counts_each_unit_once(self) -> None:
        evidence = self.world.evidence()
        if evidence is None:
            return
        live = {g.unit for g in self.world.sent if g.arm != "shadow" and g.rollout == self.world.id}
        units = evidence.phases["live"].units
        assert units.control + units.candidate <= len(live)

    def teardown(self) -> None:
        """Once the storm is over, a process that knows nothing takes over and publishes what is committed."""
        for _ in range(20):
            self.world.clock.advance(6)
            while self.world.tick("heir").more:
                pass
        assert self.world.tick("heir").leading
        with self.world.store.read() as tx:
            wanted = compile_snapshot(tx, "e", revision=0, now_ms=0, prices=no_prices)
        published = self.world.board.snapshots["e"]
        assert msgspec.structs.replace(published, revision=0, published_at_ms=0) == wanted


class EvaluatedChaos(Chaos):
    """The same behind a test suite, whose results come before, while and after anybody waits for them."""

    without_traffic: ClassVar[set[int]] = {0, 2}

    def __init__(self) -> None:
        super().__init__()
        self.passed: set[str] = set()
        """Releases for which the suite ever passed."""

    @rule(passed=st.sampled_from([True, True, False]))
    def record(self, passed: bool) -> None:  # noqa: FBT001 - hypothesis passes by name
        self.world.record_eval("smoke", passed=passed)
        if passed:
            self.passed.add(self.world.candidate.digest)

    @precondition(lambda self: self.world.rollout().stage == 0)
    @rule(kind=st.sampled_from(["pause", "resume", "resume", "abort"]))
    def command_at_the_suite(self, kind: Any) -> None:
        with contextlib.suppress(ConflictError):
            self.world.command(kind)

    @invariant()
    def nobody_meets_what_did_not_pass(self) -> None:
        met = {generation.release for generation in self.world.sent if generation.arm in {"candidate", "shadow"}}
        assert met <= self.passed

    @invariant()
    def the_suite_is_left_by_passing_it(self) -> None:
        for left, entered in itertools.pairwise(self.world.transitions()):
            if entered.actor == "controller" and entered.stage > left.stage == 0:
                event("left the suite")
                assert entered.reason.startswith("`smoke` passed")


def test_two_controllers_survive_anything_in_any_order(world: type[World]) -> None:
    chaos = type("Chaos", (Chaos,), {"make": world})
    run_state_machine_as_test(chaos, settings=settings(max_examples=80, stateful_step_count=50, deadline=None))


def test_results_of_suites_may_come_at_any_time(world: type[World]) -> None:
    first = Step(offline_eval=OfflineEvalStep(suite="smoke", timeout="40s", max_age="1h"))

    def make() -> World:
        plan = world().plan
        return world(plan=msgspec.structs.replace(plan, steps=[first, *plan.steps]))

    chaos = type("EvaluatedChaos", (EvaluatedChaos,), {"make": staticmethod(make)})
    run_state_machine_as_test(chaos, settings=settings(max_examples=60, stateful_step_count=50, deadline=None))
