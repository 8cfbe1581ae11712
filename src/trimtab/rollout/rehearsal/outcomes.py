"""What a unit scores: from recorded users where there are some, else from assumptions that are told."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from trimtab.analysis.evidence import CapLearning, EvidenceState, ScaleLearning
from trimtab.analysis.scoring import LEARNING_UNITS, learned_units
from trimtab.rollout.rehearsal.faults import is_rehearsed, is_scaled
from trimtab.stats import RatioScale, quantile, ratio_scale

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from trimtab.analysis.model import MetricSpec
    from trimtab.rollout.rehearsal.faults import Fault

__all__ = ["Baseline", "Metric", "Rate", "Ratio", "Spread", "Within", "default_baseline", "learns"]

_RATES = {"error": 0.99, "refusal": 0.98, "format": 0.99, "schema": 0.99}
_OTHER_RATE = 0.95
_SPREADS = {"latency": 0.6, "tokens": 0.5, "cost": 0.5, "length": 0.5}
_OTHER_SPREAD = 0.5
_MEDIANS = {"latency": 1000.0, "tokens": 200.0, "input_tokens": 1000.0, "cost": 0.01, "length": 800.0}
"""In milliseconds, tokens, US dollars and characters; nothing but words depends on them."""
_CAP_Z = 2.3263
"""99th percentile of the standard normal distribution."""
_LIKENESS = 0.2
"""How much a user's requests resemble each other: intraclass correlation."""


class Metric(Protocol):
    """One metric as stable's users show it."""

    @property
    def words(self) -> str:
        """What is known or assumed, for people."""
        ...

    @property
    def healthy(self) -> float | None:
        """Share of good answers; `None` for what is measured in a unit of its own."""
        ...

    def learned(self, draw: random.Random) -> Metric:
        """Return the metric with what one attempt happens to learn of stable, where it learns anything."""
        ...

    def note(self, state: EvidenceState, name: str) -> None:
        """Write down what was learned where the engine keeps it: its words are in the metric's own unit."""
        ...

    def score(self, draw: random.Random, requests: int, fault: Fault | None) -> float:
        """Return a unit's score in [0, 1], higher is better; the candidate's where a fault is given."""
        ...


Baseline = dict[str, Metric]
"""By the metric's name."""


class Rate(msgspec.Struct, frozen=True):
    """Each request is good or bad; users differ (beta-binomial, `likeness` is the intraclass correlation)."""

    good: float
    likeness: float = _LIKENESS

    @property
    def words(self) -> str:
        return f"{100 * self.good:.4g} % good (assumed)"

    @property
    def healthy(self) -> float:
        return self.good

    def learned(self, draw: random.Random) -> Rate:  # noqa: ARG002 - it has no cap
        return self

    def note(self, state: EvidenceState, name: str) -> None:
        pass

    def score(self, draw: random.Random, requests: int, fault: Fault | None) -> float:
        """Draw as from Pólya's urn: every answer makes the next one of its kind likelier."""
        good = self.good if fault is None else fault.good_after(self.good)
        likeness = self.likeness
        weight = 1.0 / likeness - 1.0 if likeness > 0 else 0.0
        seen = 0
        for index in range(requests):
            chance = (good * weight + seen) / (weight + index) if likeness > 0 else good
            seen += draw.random() < chance
        return seen / requests


class Spread(msgspec.Struct, frozen=True):
    """Log-normal, half of the variance of the logarithm between users; clipped at a cap."""

    sigma: float
    lower_is_better: bool = True
    edge_z: float = _CAP_Z
    """The cap, in standard deviations of the logarithm above its mean."""
    learned_share: float | None = None
    """Which of stable's quantiles its first units teach as the cap; `None` where that is known."""
    median: float = 1.0
    """In the metric's unit."""

    @property
    def words(self) -> str:
        return f"median {self.median:g}, log-normal with sigma {self.sigma:g} (assumed)"

    @property
    def healthy(self) -> None:
        return None

    def learned(self, draw: random.Random) -> Self:
        if self.learned_share is None:
            return self
        edge = quantile([draw.gauss(0.0, 1.0) for _ in range(LEARNING_UNITS)], self.learned_share)
        return msgspec.structs.replace(self, edge_z=edge, learned_share=None)

    def note(self, state: EvidenceState, name: str) -> None:
        state.caps[name] = CapLearning(value=self.median * math.exp(self.edge_z * self.sigma))

    def score(self, draw: random.Random, requests: int, fault: Fault | None) -> float:
        # In logarithms of shares of the cap: a value at the cap is 0.
        share = 0.0
        for value in _logarithms(draw, requests, sigma=self.sigma, mean=self._typical(fault)):
            share += math.exp(value) if value < 0 else 1.0
        share /= requests
        return 1.0 - share if self.lower_is_better else share

    def _typical(self, fault: Fault | None) -> float:
        worse = 0.0 if fault is None else math.log(fault.times)
        return (worse if self.lower_is_better else -worse) - self.edge_z * self.sigma


class Within(Spread, frozen=True):
    """Of a quantity that is log-normal, how many requests keep to a limit: metrics of type `quantile`."""

    @property
    def words(self) -> str:
        return f"{100 * NormalDist().cdf(self.edge_z):.3g} % within the limit, sigma {self.sigma:g} (assumed)"

    def score(self, draw: random.Random, requests: int, fault: Fault | None) -> float:
        typical = self._typical(fault)
        kept = sum(value <= 0 for value in _logarithms(draw, requests, sigma=self.sigma, mean=typical))
        return (kept if self.lower_is_better else requests - kept) / requests


class Ratio(msgspec.Struct, frozen=True):
    """A ratio whose parts above the line are log-normal, with equal ones below it."""

    sigma: float
    lower_is_better: bool = True
    scale: RatioScale | None = None

    @property
    def words(self) -> str:
        return f"log-normal, sigma {self.sigma:g} (assumed)"

    @property
    def healthy(self) -> None:
        return None

    def learned(self, draw: random.Random) -> Ratio:
        scale = ratio_scale([(self._above(draw, 1, None)[0], 1.0) for _ in range(LEARNING_UNITS)])
        return msgspec.structs.replace(self, scale=scale)

    def note(self, state: EvidenceState, name: str) -> None:
        state.scales[name] = ScaleLearning(scale=self.scale)

    def score(self, draw: random.Random, requests: int, fault: Fault | None) -> float:
        scale = self.scale or RatioScale(ratio=1.0, denominator=1.0)
        above = math.fsum(self._above(draw, requests, fault)) / requests
        return scale.score(above, 1.0, lower_is_better=self.lower_is_better)

    def _above(self, draw: random.Random, requests: int, fault: Fault | None) -> list[float]:
        """Draw around a mean of 1."""
        worse = 0.0 if fault is None else math.log(fault.times)
        mean = (worse if self.lower_is_better else -worse) - self.sigma**2 / 2
        return [math.exp(value) for value in _logarithms(draw, requests, sigma=self.sigma, mean=mean)]


def _logarithms(draw: random.Random, requests: int, *, sigma: float, mean: float) -> list[float]:
    """Draw the requests of one unit: half of the variance is the unit's own."""
    half = sigma * math.sqrt(0.5)
    typical = draw.gauss(mean, half)
    return [draw.gauss(typical, half) for _ in range(requests)]


def learns(spec: MetricSpec) -> bool:
    """Return whether a metric has to learn of stable before it scores anybody."""
    return learned_units(EvidenceState.start({}), spec) is not None


def default_baseline(metrics: Sequence[MetricSpec]) -> Baseline:
    """Return what is assumed of a healthy feature that nobody has recorded yet; some is not rehearsed."""
    return {spec.name: _assumed(spec) for spec in metrics if is_rehearsed(spec)}


def _assumed(spec: MetricSpec) -> Metric:
    if not is_scaled(spec):
        return Rate(_RATES.get(spec.name, _OTHER_RATE))
    sigma, lower = _SPREADS.get(spec.source, _OTHER_SPREAD), spec.lower_is_better
    if spec.kind == "ratio":
        return Ratio(sigma, lower_is_better=lower)
    edge = NormalDist().inv_cdf(spec.learned_share)
    kind = Within if spec.kind == "quantile" else Spread
    share = spec.learned_share if learns(spec) else None
    return kind(sigma, lower, edge_z=edge, learned_share=share, median=_MEDIANS.get(spec.source, 1.0))
