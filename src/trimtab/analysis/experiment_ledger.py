"""The part of the ledger that is about experiments: challengers, goals, and what units did before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.cuped import Past, freeze, take_past
from trimtab.analysis.evidence import PhaseState
from trimtab.analysis.experiment_evidence import CANDIDATE, ExperimentState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from trimtab.analysis.evidence import Cohort, EvidenceState, Side, Window
    from trimtab.analysis.experiment_evidence import ExperimentDesign

__all__ = ["ExperimentLedger"]

_MOST_PASTS = 100_000
"""Units whose past is remembered; those beyond count as having none."""
_past_encoder = msgspec.msgpack.Encoder()
_past_decoder = msgspec.msgpack.Decoder(dict[str, Past])


class ExperimentLedger:
    """Folds units into the experiments of a plan."""

    def __init__(
        self,
        state: EvidenceState,
        designs: Mapping[int, ExperimentDesign],
        *,
        margins: Mapping[str, float],
        window_ms: int,
        position: Callable[[str], float],
        pasts: Mapping[str, bytes],
    ) -> None:
        """`pasts` is what :meth:`take_changed_pasts` returned, by counting key."""
        self._state = state
        self._designs = designs
        self._margins = margins
        self._window_ms = window_ms
        self._position = position
        self._pasts = {key: _past_decoder.decode(data) for key, data in pasts.items()}
        self._changed: set[str] = set()
        adjusted = [design for design in designs.values() if design.cuped]
        self._learns_before = min(designs) if adjusted else -1  # a challenger's units return to stable, changed by it
        self.learned_goals = frozenset(goal for design in adjusted for goal in design.goals)
        """Metrics of which the past is remembered."""

    def learns(self, stage: int) -> bool:
        """Whether what stable answers in a step is remembered: in those before the first experiment, where one asks."""
        return stage < self._learns_before

    def learn(self, key: str, scores: Iterator[tuple[str, float]], at_ms: int) -> None:
        """Remember the scores of an answer of stable to a unit."""
        past = self._pasts.get(key)
        if past is None:
            if len(self._pasts) >= _MOST_PASTS:
                return
            past = self._pasts[key] = {}
        take_past(past, self._state.slopes, scores, at_ms=at_ms, window_ms=self._window_ms)
        self._changed.add(key)

    def take_changed_pasts(self) -> dict[str, bytes]:
        """Return what changed since the last call, by counting key, as the store keeps it."""
        changed = {key: _past_encoder.encode(self._pasts[key]) for key in sorted(self._changed)}
        self._changed = set()
        return changed

    def is_fresh(self, stage: int, unit: str) -> bool:
        """Whether a unit may count in the experiment of a step, by where it lies."""
        design = self._designs.get(stage)
        if design is None or not design.fresh_from:
            return True
        return design.fresh_from <= self._position(unit) < 1.0 - design.fresh_from

    def of(self, challenger: str) -> PhaseState:
        """Return what is known of a challenger by all metrics."""
        return self._state.challengers.setdefault(challenger, PhaseState.start(self._margins))

    def count(self, key: str, window: Window, means: Mapping[Side, Mapping[str, float]]) -> None:
        """Take a unit in whose window is over."""
        design = self._designs.get(window.stage)
        if window.challenger:
            self.of(window.challenger).count(means, stage=window.stage, paired=False)
        if design is None or not window.fresh:
            return
        experiments = self._state.experiments
        experiment = experiments.get(window.stage)
        if experiment is None:
            adjustments = freeze(self._state.slopes, design.goals) if design.cuped else {}
            experiment = experiments[window.stage] = ExperimentState.start(design, adjustments)
        past = {goal: known.mean for goal, known in self._pasts.get(key, {}).items()}
        if "candidate" in means:
            experiment.count_arm(window.challenger or CANDIDATE, means["candidate"], past)
        if "control" in means:
            experiment.count_control(means["control"], past)
            for challenger in design.challengers:
                self.of(challenger).count(means, stage=window.stage, paired=False)

    def tell(self, cohort: Cohort, metric: str, score: float) -> None:
        """Take in what was told of a unit when its time was over, by one metric."""
        design = self._designs.get(cohort.stage)
        if cohort.challenger:
            self.of(cohort.challenger).metrics[metric].add_unit("candidate", score, cohort.stage)
        experiment = self._state.experiments.get(cohort.stage)
        if design is None or experiment is None or not cohort.fresh:
            return
        if cohort.side == "candidate":
            experiment.add_to_arm(cohort.challenger or CANDIDATE, {metric: score}, {})
            return
        experiment.add_to_control({metric: score}, {})
        for challenger in design.challengers:
            self.of(challenger).metrics[metric].add_unit("control", score, cohort.stage)

    def crown(self, challenger: str, *, former: str) -> None:
        """Put a challenger in the candidate's place, with what is known of each."""
        state = self._state
        crowned = self.of(challenger)
        del state.challengers[challenger]
        state.challengers[former], state.phases["live"] = state.phases["live"], crowned
        met: list[Window | Cohort] = [
            window for window in state.windows.values() if window.phase == "live" and "candidate" in window.sums
        ]
        met += [cohort for cohort in state.following.cohorts.values() if cohort.side == "candidate"]
        for unit in met:
            if unit.challenger in {"", challenger}:
                unit.challenger = former if unit.challenger == "" else ""
