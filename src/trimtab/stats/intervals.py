"""Intervals for people to look at. No decision depends on them: decisions read e-processes."""

from __future__ import annotations

import math
from statistics import NormalDist

import msgspec

__all__ = ["Interval", "Moments", "mean_difference_sequence", "wilson_interval"]

_TUNED_FOR = 200.0
"""Number of observations at which the confidence sequence is tightest."""


class Interval(msgspec.Struct, frozen=True):
    """A closed interval."""

    low: float
    high: float


class Moments(msgspec.Struct):
    """Count, mean and sum of squared deviations, updated one value at a time (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Take one more value into account."""
        self.count += 1
        delta = value - self.mean
        self.mean += delta / self.count
        self.squares += delta * (value - self.mean)

    @property
    def variance(self) -> float:
        """Sample variance; 0 below two values."""
        return self.squares / (self.count - 1) if self.count > 1 else 0.0


def wilson_interval(successes: float, trials: int, *, alpha: float = 0.05) -> Interval:
    """Return the score interval of a proportion, for one look (Wilson 1927). [0, 1] where nothing was tried."""
    if trials <= 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(1.0 - alpha / 2.0)
    share = successes / trials
    denominator = 1.0 + z * z / trials
    centre = (share + z * z / (2 * trials)) / denominator
    half = z / denominator * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def mean_difference_sequence(control: Moments, candidate: Moments, *, alpha: float = 0.05) -> Interval | None:
    """Return an interval for mean(candidate) - mean(control) that may be looked at any time; `None` below 2 a side.

    Asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, arXiv 2103.06476, eq. for the
    Gaussian mixture), applied to each mean at alpha/2 and added: conservative, and only shown.
    """
    if control.count < 2 or candidate.count < 2:  # noqa: PLR2004 - a variance needs two values
        return None
    centre = candidate.mean - control.mean
    half = _radius(control, alpha / 2) + _radius(candidate, alpha / 2)
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def _radius(moments: Moments, alpha: float) -> float:
    count = moments.count
    rho_squared = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / _TUNED_FOR
    scale = count * rho_squared + 1
    variance = moments.variance + 0.25 / count  # five equal scores are not certainty
    return math.sqrt(2 * variance * scale / (count * count * rho_squared) * math.log(math.sqrt(scale) / alpha))
