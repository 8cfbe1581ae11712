"""Folding generations into evidence. No I/O and no clock: the same events in the same order give the same wealth."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from trimtab.analysis.answers import Answers
from trimtab.analysis.cohorts import Cohorts
from trimtab.analysis.evidence import Arms, EvidenceState, Pace, Side, Window
from trimtab.analysis.experiment_ledger import ExperimentLedger
from trimtab.analysis.judging import forget_judged
from trimtab.analysis.sample_ratio import count_unit
from trimtab.analysis.scoring import Scoring
from trimtab.analysis.segments import add_unit, segment_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trimtab.analysis.evidence import Phase
    from trimtab.analysis.experiment_evidence import ExperimentDesign
    from trimtab.analysis.model import MetricSpec
    from trimtab.analysis.sample_ratio import Split
    from trimtab.analysis.scorers import Meter
    from trimtab.analysis.segments import SegmentSpec
    from trimtab.events import Generation
    from trimtab.releases.model import CompiledRelease

__all__ = ["MAX_PER_WINDOW", "Ledger", "counting_key", "margins_of", "unit_of"]

MAX_PER_WINDOW = 1000
"""A window counts its first thousand generations; more would not move a mean, only grow the state."""
_SHADOW_PATIENCE_MS = 60_000
"""How long past its window a shadow unit waits for its other side: a slow candidate must not look like no candidate."""


def unit_of(generation: Generation) -> str:
    """Return the unit a generation counts for: its own, or itself (a shadow's: the generation it mirrors)."""
    return generation.unit or generation.mirrors or generation.id


def counting_key(phase: Phase, unit: str) -> str:
    """Return the key under which a unit is counted once: short, and no copy of a user's name."""
    return phase[0] + hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()


def _nowhere(_unit: str) -> float:
    return 0.0


class Ledger:
    """Evidence of one attempt, and how generations change it.

    `counted` holds the keys of closed units and is kept up to date. After a failed commit, throw the ledger away and
    build it from the store again: what it folded was not kept.
    """

    def __init__(  # noqa: PLR0913 - what a plan fixes about the counting
        self,
        state: EvidenceState,
        *,
        meters: Sequence[Meter],
        window_ms: int,
        shadow_stages: frozenset[int],
        counted: set[str],
        splits: Mapping[int, Split] | None = None,
        position: Callable[[str], float] = _nowhere,
        segments: Sequence[SegmentSpec] = (),
        told: Sequence[MetricSpec] = (),
        experiments: Mapping[int, ExperimentDesign] | None = None,
        pasts: Mapping[str, bytes] | None = None,
    ) -> None:
        """`splits` are for the sizes of the arms; `position` is a unit's in [0, 1), by the assignment.

        Of the metrics in `told`, those that are told are followed and those of texts compared. `experiments` are
        designs by step, `pasts` what is stored of units from before (see `ExperimentLedger`).
        """
        self.state = state
        self.counted = counted
        self.candidate = ""
        """Digest of the release in the candidate's place; what others of its arm say is of no account. Empty: any."""
        self.scoring = Scoring(state, meters)
        self._window_ms = window_ms
        self._shadow_stages = shadow_stages
        self._splits = splits or {}
        self._position = position
        self._segments = segments
        self.experiments = ExperimentLedger(
            state,
            experiments or {},
            margins=margins_of([*(meter.spec for meter in meters), *told]),
            window_ms=window_ms,
            position=position,
            pasts=pasts or {},
        )
        self.cohorts = Cohorts(state, told, window_ms=window_ms, experiments=self.experiments)
        self.answers = Answers(state, told)

    def add(self, generation: Generation, release: CompiledRelease | None, *, now_ms: int) -> None:
        """Fold one generation in. Aborted and already counted ones change nothing but the traffic seen."""
        if generation.status == "aborted" or self._is_of_another(generation):
            return
        side: Side = "control" if generation.arm in {"stable", "matched_control"} else "candidate"
        if side == "control":
            self.scoring.learn(counting_key("live", unit_of(generation)), generation, release)
            if generation.unit and self.experiments.learns(generation.stage):
                self._learn_past(generation, release)
        if generation.arm == "stable":
            return
        challenger = generation.release if generation.arm == "challenger" else ""
        if challenger:
            self.experiments.of(challenger)
        else:
            self.state.generations.setdefault(generation.stage, Arms()).add(side)
        phase: Phase = "shadow" if generation.stage in self._shadow_stages else "live"
        key = counting_key(phase, unit_of(generation))
        if key in self.counted:
            return
        window = self._window(key, phase, generation, side, now_ms)
        if window is not None and window.challenger == challenger:
            window.ids.append(generation.id)
            self.cohorts.note(key, generation.id)
            scores = dict(self.scoring.scores(generation, release))
            if phase == "live":
                _sum(window, side, scores)
                self.answers.compare(window, generation, side)
            else:
                _pair(window, generation, side, scores)

    def _learn_past(self, generation: Generation, release: CompiledRelease | None) -> None:
        """Remember what stable answered to a unit in no arm yet, or in shadow, where stable answers too."""
        if generation.arm == "stable" or generation.stage in self._shadow_stages:
            scores = self.scoring.scores(generation, release, only=self.experiments.learned_goals)
            self.experiments.learn(counting_key("live", generation.unit), scores, generation.at_ms)

    def _is_of_another(self, generation: Generation) -> bool:
        return generation.arm in {"candidate", "shadow"} and self.candidate not in {"", generation.release}

    def crown(self, challenger: str) -> None:
        """Put a challenger in the candidate's place, with what is known of each."""
        self.experiments.crown(challenger, former=self.candidate)
        self.answers.restart()
        forget_judged(self.state)
        self.candidate = challenger

    def _window(self, key: str, phase: Phase, generation: Generation, side: Side, now_ms: int) -> Window | None:
        """Return the open window this generation belongs to, opened if need be; `None` where it counts for none."""
        window = self.state.windows.get(key)
        if window is None:
            window = Window(
                phase=phase,
                stage=generation.stage,
                opened_ms=min(generation.at_ms, now_ms),  # a clock ahead of ours must not hold a window open
                sums={side: {}} if phase == "live" else {},
                challenger=generation.release if generation.arm == "challenger" else "",
                fresh=self.experiments.is_fresh(generation.stage, generation.unit),
            )
            self.state.windows[key] = window
            if phase == "live":
                self._meet(key, window, generation, side)
            return window
        if phase == "live" and side not in window.sums:
            return None  # the unit changed arms within its window: the arm it met first counts
        late = generation.at_ms >= window.opened_ms + self._window_ms
        expected = side not in window.sums if phase == "live" else _request(generation) in window.unanswered
        if (late and not expected) or len(window.ids) >= MAX_PER_WINDOW or generation.id in window.ids:
            return None
        return window

    def _meet(self, key: str, window: Window, generation: Generation, side: Side) -> None:
        """Note what a live unit is, by its first generation: its arm's size and its segments do not wait for scores.

        Both are about candidate and control, and a challenger's units are neither's.
        """
        if not window.challenger:
            window.segments = segment_labels(self.state, self._segments, generation)
        self.cohorts.open(key, window, side)
        split = self._splits.get(window.stage)
        if split is not None and not window.challenger:
            count_unit(
                self.state.levels,
                split,
                is_candidate=side == "candidate",
                position=self._position(generation.unit),
                at_ms=window.opened_ms,
            )

    def close(self, now_ms: int) -> list[str]:
        """Close the windows that are over at `now_ms`; returns the keys of the units newly counted, in order."""
        due = sorted(
            (window.opened_ms, key)
            for key, window in self.state.windows.items()
            if window.opened_ms + self._window_ms <= now_ms
        )
        closed: list[str] = []
        for _, key in due:
            window = self.state.windows[key]
            if window.phase == "shadow" and len(window.sums) < 2:  # noqa: PLR2004 - both sides
                if window.opened_ms + self._window_ms + _SHADOW_PATIENCE_MS > now_ms:
                    continue
                self.state.unpaired += 1
            else:
                self._count(key, window, now_ms)
            del self.state.windows[key]
            closed.append(key)
        self.counted.update(closed)
        return closed

    def _count(self, key: str, window: Window, now_ms: int) -> None:
        means = {
            side: {name: min(max(total / count, 0.0), 1.0) for name, (total, count) in sums.items()}
            for side, sums in window.sums.items()
        }
        state = self.state
        if not window.challenger:
            state.phases[window.phase].count(means, stage=window.stage, paired=window.phase == "shadow")
            pace = state.paces.setdefault(window.stage, Pace(first_ms=now_ms, last_ms=now_ms, units=Arms()))
            pace.last_ms = now_ms
            for side in means:
                pace.units.add(side)
        if window.segments:
            for side, by_name in means.items():
                add_unit(state, window.segments, self.scoring.specs, by_name, side=side, stage=window.stage)
        if window.phase == "live":
            self.experiments.count(key, window, means)


def _sum(window: Window, side: Side, scores: Mapping[str, float]) -> None:
    sums = window.sums.setdefault(side, {})
    for name, score in scores.items():
        total, count = sums.get(name, (0.0, 0))
        sums[name] = (total + score, count + 1)


def _request(generation: Generation) -> str:
    """Return the user's generation that one in shadow is about: itself, or the one that it mirrors."""
    return generation.mirrors or generation.id


def _pair(window: Window, generation: Generation, side: Side, scores: dict[str, float]) -> None:
    """Count a request once both sides have answered it, and of its scores those that both have.

    Else the sides would be held against each other over different requests: those that were not mirrored are not like
    the others (dearer, with tools, in the busiest minutes).
    """
    request = _request(generation)
    other = window.unanswered.pop(request, None)
    if other is None or other[0] == side:
        window.unanswered[request] = (side, scores)
        return
    _sum(window, other[0], {name: score for name, score in other[1].items() if name in scores})
    _sum(window, side, {name: score for name, score in scores.items() if name in other[1]})


def margins_of(specs: Sequence[MetricSpec]) -> dict[str, float]:
    """Return δ by metric name, of metrics that have one: whether answers differ is asked without."""
    return {spec.name: spec.tolerance for spec in specs if not spec.compares_answers}
