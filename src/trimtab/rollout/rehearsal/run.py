"""One rehearsal of a plan: users come, the evidence grows, the state machine decides. No clock and no I/O.

Time goes from event to event: somebody comes who counts, a window closes, a step's time is up. The evidence is looked
at when something in it could matter to the state machine, which is what a controller does that never sleeps.
"""

from __future__ import annotations

import math
import random
from collections import deque
from typing import TYPE_CHECKING

from trimtab.analysis.evidence import Arms, EvidenceState, Phase, Side
from trimtab.analysis.ledger import margins_of
from trimtab.analysis.verdict import judge
from trimtab.rollout.attempt import plan_limits
from trimtab.rollout.effects import Command, Observation, Withdrawn
from trimtab.rollout.machine import step
from trimtab.rollout.model import LIVE_STATES
from trimtab.rollout.rehearsal.arrivals import Arrivals, Learning
from trimtab.rollout.rehearsal.faults import is_rehearsed
from trimtab.rollout.rehearsal.granted import gate_approval, suite_passed, taking_part
from trimtab.rollout.rehearsal.outcomes import learns
from trimtab.rollout.rehearsal.scene import RunResult, Scene, attempt
from trimtab.rollout.rehearsal.told import Told
from trimtab.rollout.rehearsal.watch import Watch, has_waiting, spans
from trimtab.rollout.routing import routing
from trimtab.rollout.spec import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.analysis.verdict import Verdict
    from trimtab.rollout.effects import CommandKind
    from trimtab.rollout.rehearsal.faults import Fault

__all__ = ["MOST_SCORED", "Run"]

MOST_SCORED = 400_000
"""Scored requests after which a rehearsal stops undecided: what so many do not tell lies on the margin."""
_TICK_SECONDS = 0.5
"""From one look of the controller to the next."""
_LOOKS = 50
"""How often the evidence is looked at, at least, until the deadline, whatever a step waits for."""
_GROWTH = 1.05
"""Users touched are noted each time they grew by this."""
_CONTROL: tuple[Side, ...] = ("control",)
_CANDIDATE: tuple[Side, ...] = ("candidate",)
_BOTH: tuple[Side, ...] = ("control", "candidate")


_Window = tuple[float, Phase, int, tuple[Side, ...], bool]
"""A unit's window that is open: when it closes, phase, step, sides, and whether what is learned was known by then."""


class Run:
    """One rehearsal; `seed` decides who comes and what they meet."""

    def __init__(
        self, scene: Scene, faults: Mapping[str, Fault], *, seed: int, only: str = "", most_scored: int = MOST_SCORED
    ) -> None:
        """`faults` of the candidate, by metric.

        `only`: one metric, as if no other said anything against the candidate. `most_scored`: see MOST_SCORED.
        """
        self._plan = plan = scene.plan
        self._specs = [spec for spec in plan.metrics if only in {"", spec.name} and is_rehearsed(spec)]
        self._crowd = crowd = scene.crowd
        self._draw = draw = random.Random(seed)  # noqa: S311 - a simulation
        self._metrics = [
            (spec.name, scene.baseline[spec.name].learned(draw), faults.get(spec.name), learns(spec))
            for spec in self._specs
            if spec.feedback is None
        ]
        self._measured = [name for name, *_ in self._metrics]
        self._told = Told(self._specs, scene.baseline, faults)
        self._limits = plan_limits(plan)
        self._state = EvidenceState.start(margins_of(self._specs))
        for name, metric, _, _ in self._metrics:
            metric.note(self._state, name)
        self._watch = Watch(self._state, plan, self._specs, self._limits)
        participants = taking_part(plan, crowd.users)
        self._others = crowd.users - participants
        self._arrivals = Arrivals(participants, crowd.visits_per_user_second, draw)
        self._learning = Learning(crowd.visits_per_user_second, draw)
        self._window_seconds = seconds(plan.window)
        self._longest_wait = seconds(plan.deadline) / _LOOKS
        self._open: deque[_Window] = deque()
        self._comes_at = self._looks_at = self._attends_at = math.inf
        self._known: list[tuple[float, tuple[Side, ...]]] = []
        self._phase: Phase = "live"
        self._unmet: set[Side] = set()
        self._met, self._noted_at = 0, 1.0
        self._touched: list[tuple[float, int]] = [(0.0, 0)]
        self._verdict: Verdict | None = None
        self._stale = True
        self._scored, self._most_scored = 0, most_scored
        self._end = ""
        self._rollout = attempt(plan)

    def play(self) -> RunResult:
        """Let users come until the rollout ends or a person would have to decide."""
        now = 0.0
        self._look(now)
        while not self._end:
            closes = self._open[0][0] if self._open else math.inf
            if closes <= self._comes_at and closes <= self._attends_at:
                now = closes
                self._close(now)
            elif self._comes_at <= self._attends_at:
                now = self._comes_at
                self._come(now)
            else:
                now = self._attends_at
                self._attend(now)
        return self._result(now)

    def _attend(self, now: float) -> None:
        """Do what is due and is neither a first visit nor the end of a window; then see what is next."""
        if self._known and now == self._known[-1][0]:
            self._meet(self._known.pop()[1], now)
        elif now == self._told.due_at:
            self._tell(now)
        else:
            self._look(now)
        known = self._known[-1][0] if self._known else math.inf
        self._attends_at = min(self._looks_at, known, self._told.due_at)

    def _look_soon(self, now: float) -> None:
        self._looks_at = min(self._looks_at, now + _TICK_SECONDS)
        self._attends_at = min(self._attends_at, self._looks_at)

    # --- users --------------------------------------------------------------------------------------------------

    def _come(self, now: float) -> None:
        """Somebody comes who has not been counted in this phase."""
        arm, mirrored = self._arrivals.take()
        sides = _BOTH if mirrored else _CANDIDATE if arm == "candidate" else _CONTROL
        capped = now >= self._learning.done_at
        self._open.append((now + self._window_seconds, self._phase, self._rollout.stage, sides, capped))
        self._comes_at = now + self._arrivals.wait()
        if self._unmet:
            self._meet(sides, now)
        if arm == "candidate":
            self._met += 1
            if self._met >= self._noted_at:
                self._note_touched(now)

    def _meet(self, sides: Sequence[Side], now: float) -> None:
        """Traffic flows in the step at hand; it is asked for nothing but whether it does."""
        for side in self._unmet.intersection(sides):
            self._state.generations[self._rollout.stage].add(side)
            self._look_soon(now)
        self._unmet.difference_update(sides)

    def _close(self, now: float) -> None:
        """A window is over, and says what its unit scored."""
        _, name, stage, sides, capped = self._open.popleft()
        phase, crossed = self._state.phases[name], False
        if name == "live" and self._told.metrics:
            self._told.follow(sides[0], stage, now)
            self._attends_at = min(self._attends_at, self._told.due_at)
        if sides is _CANDIDATE and has_waiting(phase, stage, self._measured):
            phase.units.add("candidate")
        else:
            requests = self._crowd.requests_in_window(self._draw, self._window_seconds)
            scores = {side: self._scores(side, requests, capped=capped) for side in sides}
            phase.count(scores, stage=stage, paired=len(scores) > 1)
            self._scored += requests * len(scores)
            self._stale = True
            crossed = self._watch.crossed(name)
        if crossed or self._watch.completed(name, self._rollout.stage):
            self._look_soon(now)
        if self._scored >= self._most_scored:
            self._end = "undecided"

    def _tell(self, now: float) -> None:
        """All that may be told of a unit has had its time."""
        self._told.tell(self._state.phases["live"], self._draw)
        self._stale = True
        if self._watch.crossed("live"):
            self._look_soon(now)

    def _scores(self, side: Side, requests: int, *, capped: bool) -> dict[str, float]:
        draw, faulty = self._draw, side == "candidate"
        return {
            name: metric.score(draw, requests, fault if faulty else None)
            for name, metric, fault, learns in self._metrics
            if capped or not learns
        }

    # --- decisions ----------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """Decide as the controller does, and as a person who is asked for nothing but to go on."""
        now_ms = round(1000 * now)
        rollout, _ = step(self._rollout, self._plan, self._observe(), now_ms=now_ms)
        if rollout.state == "paused" and rollout.pause_reason == "manual":
            rollout, _ = step(rollout, self._plan, _said("resume"), now_ms=now_ms)
        if rollout.state == "paused" and rollout.pause_reason == "harm":
            rollout, _ = step(rollout, self._plan, _said("abort", rollout.reason), now_ms=now_ms)
        if rollout.state == "rolling_back":
            rollout, _ = step(rollout, self._plan, Withdrawn(), now_ms=now_ms)
        moved = (rollout.state, rollout.stage) != (self._rollout.state, self._rollout.stage)
        self._stale = self._stale or moved
        self._rollout = rollout
        self._note_touched(now)
        waits = rollout.state == "paused" and rollout.pause_reason != "no_data"  # which ends when somebody comes
        if waits or rollout.state not in LIVE_STATES:
            self._end = rollout.state
        elif moved:
            self._serve(now)
        self._looks_at = now + (_TICK_SECONDS if moved else self._wait(now_ms))
        self._attends_at = self._looks_at

    def _wait(self, now_ms: int) -> float:
        """Return the seconds until a span that the plan names is over: of the step at hand, or of all."""
        rollout, plan = self._rollout, self._plan
        ends = [rollout.created_at_ms + 1000 * seconds(plan.deadline)]
        if rollout.stage >= 0:
            ends += [rollout.stage_entered_ms + 1000 * span for span in spans(plan.steps[rollout.stage])]
        return min([self._longest_wait, *((end - now_ms) / 1000 + 0.001 for end in ends if end > now_ms)])

    def _serve(self, now: float) -> None:
        """Let the routing that the state machine wants be in force."""
        self._phase = "shadow" if self._rollout.stage in self._plan.shadow_stages else "live"
        here = self._state.generations.setdefault(self._rollout.stage, Arms())
        self._unmet = {side for side in _BOTH if not getattr(here, side)}
        self._arrivals.serve(routing(self._rollout, self._plan), self._phase, now)
        self._learning.serve(self._arrivals.on_stable + self._others, now)
        self._comes_at = now + self._arrivals.wait()
        met = _BOTH if self._phase == "shadow" else _CONTROL
        known = [
            (now + self._arrivals.wait_for_known("candidate"), _CANDIDATE),
            (now + self._arrivals.wait_for_known("matched_control"), met),
        ]
        self._known = sorted(known, key=lambda one: -one[0])

    def _observe(self) -> Observation:
        rollout, state, phase = self._rollout, self._state, self._phase
        if rollout.stage >= 0 and self._stale:
            self._verdict = judge(state, self._specs, limits=self._limits, phase=phase, unit=self._plan.unit)
            self._stale = False
        units, here = state.phases[phase].units, state.generations.get(rollout.stage, Arms())
        return Observation(
            stable=rollout.stable,
            verdict=self._verdict,
            control_units=units.control,
            candidate_units=units.candidate,
            control_generations=here.control,
            candidate_generations=here.candidate,
            gate=gate_approval(rollout),
            evaluation=suite_passed(rollout, self._plan),
        )

    # --- what is told -------------------------------------------------------------------------------------------

    def _note_touched(self, now: float) -> None:
        self._met = self._arrivals.met(now)
        self._noted_at = _GROWTH * self._met + 1.0
        if self._met > self._touched[-1][1]:
            self._touched.append((now, self._met))

    def _result(self, now: float) -> RunResult:
        self._note_touched(now)
        decides = {spec.name: spec.role for spec in self._specs if not spec.dry_run}
        live, limit = self._state.phases["live"], math.log(self._limits.promotion)
        found = [] if self._verdict is None else self._verdict.metrics
        return RunResult(
            state=self._end,
            reason=self._rollout.reason,
            seconds=now,
            users_touched=self._touched[-1][1],
            touched=self._touched,
            units=live.units.candidate,
            scored=self._scored,
            harmed=sorted({one.name for one in found if one.failed and one.name in decides}),
            unproven=sorted(
                name
                for name, role in decides.items()
                if role != "signal" and live.metrics[name].non_inferior.log_peak < limit
            ),
        )


def _said(kind: CommandKind, reason: str = "") -> Command:
    return Command(kind=kind, actor="somebody", reason=reason)
