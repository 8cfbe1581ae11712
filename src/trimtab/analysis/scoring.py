"""From a generation to scores in [0, 1], higher is better; and what has to be learned of stable before that can be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.evidence import CapLearning, ScaleLearning
from trimtab.events import Generation
from trimtab.stats import quantile, ratio_scale, within

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trimtab.analysis.evidence import EvidenceState
    from trimtab.analysis.model import MetricSpec
    from trimtab.analysis.scorers import Measurement, Meter
    from trimtab.releases.model import CompiledRelease

__all__ = ["LEARNING_UNITS", "ScorerResult", "Scoring", "learned_edge", "learned_units"]

LEARNING_UNITS = 100
"""Stable's units from which a cap, a limit or a scale is learned."""
_LEARNING_AT_MOST = 10 * LEARNING_UNITS
"""How many units to wait for a ratio that is not zero; after them it stays unknown."""
_HEADROOM = 2.0
_SMALLEST_CAP = 1e-9
"""In the metric's unit; keeps the scale defined where stable measured only zeros."""


class ScorerResult(msgspec.Struct, frozen=True):
    """What a registered scorer said about a generation."""

    generation: Generation
    name: str
    value: float


def learned_units(state: EvidenceState, spec: MetricSpec) -> int | None:
    """Return of how many of stable's units a metric has learned so far; `None` where it need not learn any more."""
    if spec.kind == "ratio":
        scale = state.scales.get(spec.name, ScaleLearning())
        return len(scale.units) if scale.scale is None else None
    if not (spec.learns_cap or spec.learns_limit):
        return None
    learning = state.caps.get(spec.name, CapLearning())
    return len(learning.units) if learning.value is None else None


class Scoring:
    """The meters of a plan, and what their scores need to know of stable."""

    def __init__(self, state: EvidenceState, meters: Sequence[Meter]) -> None:
        self.results: list[ScorerResult] = []
        """Registered scorers' judgements since the list was last taken."""
        self._state = state
        self._meters = list(meters)
        self._caps = {
            meter.spec.name: state.caps.setdefault(meter.spec.name, CapLearning())
            for meter in self._meters
            if meter.spec.learns_cap or meter.spec.learns_limit
        }
        self._scales = {
            meter.spec.name: state.scales.setdefault(meter.spec.name, ScaleLearning())
            for meter in self._meters
            if meter.spec.kind == "ratio"
        }

    @property
    def specs(self) -> list[MetricSpec]:
        """The metrics that are measured."""
        return [meter.spec for meter in self._meters]

    def scores(
        self, generation: Generation, release: CompiledRelease | None, *, only: frozenset[str] | None = None
    ) -> Iterator[tuple[str, float]]:
        """Yield (metric, score) of each metric that applies, or of those in `only`.

        A ratio's is not clipped to [0, 1] yet: that is done with the mean of a window.
        """
        for meter in self._meters:
            if only is not None and meter.spec.name not in only:
                continue
            measurement = meter.measure(generation, release)
            if meter.spec.scorer is not None:
                self._note(meter.spec.name, generation, measurement)
            score = self._score(meter.spec, measurement)
            if score is not None:
                yield meter.spec.name, score

    def _score(self, spec: MetricSpec, measurement: Measurement) -> float | None:
        value = measurement.value
        if value is None:
            return None
        if spec.kind == "ratio":
            scale = self._scales[spec.name].scale
            if scale is None:
                return None
            return scale.line(value, measurement.per, lower_is_better=spec.lower_is_better)
        edge = self._caps[spec.name].value if spec.name in self._caps else spec.limit or spec.cap
        if edge is None and spec.name in self._caps:
            return None  # not frozen yet: nothing to hold it against
        if spec.kind == "quantile":
            return within(value, edge or 0.0, lower_is_better=spec.lower_is_better)
        share = value if edge is None else min(value, edge) / edge
        return 1.0 - share if spec.lower_is_better else share

    def _note(self, name: str, generation: Generation, measurement: Measurement) -> None:
        state = self._state
        state.scored[name] = state.scored.get(name, 0) + 1
        if measurement.error:
            state.scorer_errors[name] = state.scorer_errors.get(name, 0) + 1
            state.last_scorer_error[name] = measurement.error
        if measurement.value is not None:
            self.results.append(ScorerResult(generation, name, measurement.value))

    def learn(self, key: str, generation: Generation, release: CompiledRelease | None) -> None:
        """Learn from a generation of stable; `key` stands for its unit, each of which counts once per metric."""
        for meter in self._meters:
            name = meter.spec.name
            cap, scale = self._caps.get(name), self._scales.get(name)
            if cap is not None and cap.value is None and key not in cap.units:
                _learn_cap(cap, key, meter, meter.measure(generation, release))
            elif scale is not None and scale.scale is None and key not in scale.units:
                _learn_scale(scale, key, meter.measure(generation, release))


def learned_edge(sample: Sequence[float], spec: MetricSpec) -> float:
    """Return the cap or the limit that stable's measurements teach.

    A cap is at least twice their median where less is better: were stable's values all alike, whatever is worse would
    be clipped to look the same.
    """
    found = quantile(sample, spec.learned_share)
    if spec.kind != "mean":
        return found
    headroom = _HEADROOM * quantile(sample, 0.5) if spec.lower_is_better else 0.0
    return max(found, headroom, _SMALLEST_CAP)


def _learn_cap(learning: CapLearning, key: str, meter: Meter, measurement: Measurement) -> None:
    if measurement.value is None:
        return
    learning.sample.append(measurement.value)
    learning.units.append(key)
    if len(learning.sample) >= LEARNING_UNITS:
        learning.value = learned_edge(learning.sample, meter.spec)
        learning.sample, learning.units = [], []


def _learn_scale(learning: ScaleLearning, key: str, measurement: Measurement) -> None:
    if measurement.value is None or len(learning.units) >= _LEARNING_AT_MOST:
        return
    learning.sample.append((measurement.value, measurement.per))
    learning.units.append(key)
    if len(learning.sample) < LEARNING_UNITS:
        return
    if min(math.fsum(above for above, _ in learning.sample), math.fsum(below for _, below in learning.sample)) > 0:
        learning.scale = ratio_scale(learning.sample)
        learning.sample, learning.units = [], []
