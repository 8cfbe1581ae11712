"""A baseline from what stable's users were recorded with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.evidence import CapLearning, EvidenceState, ScaleLearning
from trimtab.analysis.ledger import unit_of
from trimtab.analysis.model import MetricSpec
from trimtab.analysis.scorers import Measurement
from trimtab.analysis.scoring import LEARNING_UNITS, learned_edge
from trimtab.rollout.rehearsal.faults import is_scaled
from trimtab.rollout.rehearsal.outcomes import default_baseline, learns
from trimtab.stats import RatioScale, ratio_scale, within

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping

    from trimtab.analysis.scorers import Meter
    from trimtab.events import Generation
    from trimtab.releases.model import CompiledRelease
    from trimtab.rollout.rehearsal.faults import Fault
    from trimtab.rollout.rehearsal.outcomes import Baseline

__all__ = ["LEAST_USERS", "Measured", "measured_baseline"]

LEAST_USERS = 30
"""Below this many recorded users an assumption says more."""


class Measured(msgspec.Struct, frozen=True):
    """What recorded users measured: a window takes requests of one of them, drawn anew (bootstrap of users)."""

    spec: MetricSpec
    users: Sequence[Sequence[Measurement]]
    """By user, in the metric's unit; no user without one."""
    healthy: float | None = None
    """Mean of the users' mean scores, where a fault spoils answers."""
    edge: float | None = None
    """The cap or the limit, as soon as it is known."""
    scale: RatioScale | None = None

    @property
    def words(self) -> str:
        count = f"{len(self.users):,} recorded users"
        if self.healthy is not None:
            return f"{100 * self.healthy:.4g} % good ({count})"
        typical = sorted(math.fsum(map(_ratio, user)) / len(user) for user in self.users)[len(self.users) // 2]
        return f"median {typical:.4g} ({count})"

    def learned(self, draw: random.Random) -> Measured:
        if not learns(self.spec):
            return msgspec.structs.replace(self, edge=self.spec.limit or self.spec.cap)
        sample = [draw.choice(draw.choice(self.users)) for _ in range(LEARNING_UNITS)]
        if self.spec.kind == "ratio":
            return msgspec.structs.replace(self, scale=ratio_scale([(_value(one), one.per) for one in sample]))
        return msgspec.structs.replace(self, edge=learned_edge([_value(one) for one in sample], self.spec))

    def note(self, state: EvidenceState, name: str) -> None:
        if self.scale is not None:
            state.scales[name] = ScaleLearning(scale=self.scale)
        elif learns(self.spec):
            state.caps[name] = CapLearning(value=self.edge)

    def score(self, draw: random.Random, requests: int, fault: Fault | None) -> float:
        seen = draw.choice(self.users)
        some = seen if requests >= len(seen) else draw.sample(seen, requests)
        factor = 1.0
        if fault is not None and self.healthy is None:
            factor = fault.times if self.spec.lower_is_better else 1.0 / fault.times
        found = [self._score(_value(one) * factor, one.per) for one in some]
        if fault is not None and self.healthy:
            kept = fault.good_after(self.healthy) / self.healthy
            found = [score if draw.random() < kept else 0.0 for score in found]
        return min(max(math.fsum(found) / len(found), 0.0), 1.0)

    def _score(self, value: float, per: float) -> float:
        """As the engine scores it (`analysis.scoring`)."""
        lower = self.spec.lower_is_better
        if self.spec.kind == "ratio":
            return 0.5 if self.scale is None else self.scale.line(value, per, lower_is_better=lower)
        if self.spec.kind == "quantile":
            return within(value, self.edge or 0.0, lower_is_better=lower)
        share = value if self.edge is None else min(value, self.edge) / self.edge
        return 1.0 - share if lower else share


def _value(measurement: Measurement) -> float:
    return measurement.value or 0.0


def _ratio(measurement: Measurement) -> float:
    return _value(measurement) / measurement.per if measurement.per else 0.0


def measured_baseline(
    meters: Sequence[Meter], generations: Iterable[Generation], releases: Mapping[str, CompiledRelease]
) -> Baseline:
    """Return each metric as the users behind `generations` (stable's) measured it, else as it is assumed to be.

    `releases` by digest, for metrics that judge an answer by what its release promises.
    """
    found: dict[str, dict[str, list[Measurement]]] = {meter.spec.name: {} for meter in meters}
    for generation in generations:
        unit = unit_of(generation)
        for meter in meters:
            measurement = meter.measure(generation, releases.get(generation.release))
            if measurement.value is not None:
                found[meter.spec.name].setdefault(unit, []).append(measurement)
    baseline = default_baseline([meter.spec for meter in meters])
    for meter in meters:
        spec, users = meter.spec, list(found[meter.spec.name].values())
        if len(users) >= LEAST_USERS and _can_be_learned(spec, users):
            baseline[spec.name] = Measured(spec, users, None if is_scaled(spec) else _mean(spec, users))
    return baseline


def _can_be_learned(spec: MetricSpec, users: Sequence[Sequence[Measurement]]) -> bool:
    """Whether every draw of users teaches what has to be learned: a ratio of nothing is none."""
    return spec.kind != "ratio" or all(_ratio(one) > 0 for user in users for one in user)


def _mean(spec: MetricSpec, users: Sequence[Sequence[Measurement]]) -> float:
    mean = math.fsum(math.fsum(map(_value, user)) / len(user) for user in users) / len(users)
    return 1.0 - mean if spec.lower_is_better else mean
