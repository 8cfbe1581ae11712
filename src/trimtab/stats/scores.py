"""Scores in [0, 1] for metrics that have none of their own: quantiles and ratios.

A bet needs bounded scores whose *mean* is what the metric is about. A quantile has no mean: what is compared instead is
how often an arm exceeds a limit frozen beforehand. A ratio of sums (cost per token, retries per request) is a mean only
after linearising: Budylin, Drutsa, Katsev & Tsoy, "Consistent transformation of ratio metrics for efficient online
controlled experiments" (WSDM 2018, doi 10.1145/3159652.3159699).

Whatever is learned here is learned from stable before any bet reads it, and never moves afterwards.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RATIO_REACH", "RatioScale", "quantile", "ratio_margin", "ratio_scale", "within"]

RATIO_REACH = 2.0
"""A unit counts for at most this many times what stable's average unit spends, above and below stable's ratio."""


def quantile(sample: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the sample does not exceed (the inverse of its distribution).

    Raises `InputError` for an empty sample and a share outside (0, 1].
    """
    if not sample or not 0.0 < share <= 1.0:
        raise InputError("invalid_quantile", f"no quantile {share} of {len(sample)} values", param="share")
    ordered = sorted(sample)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def within(value: float, limit: float, *, lower_is_better: bool = True) -> float:
    """Return 1.0 where a measurement keeps to the limit, 0.0 where it is beyond it; equal keeps to it.

    With stable's frozen 95th percentile as the limit, about 95 % of stable's units score 1. How well the limit was
    learned does not matter for validity: both arms are held to the same one, so equal arms have equal means whatever
    it is. It matters for power alone. A margin of 0.05 allows the share beyond the limit to double.
    """
    return float(value <= limit if lower_is_better else value >= limit)


def ratio_margin(relative: float, *, reach: float = RATIO_REACH) -> float:
    """Return the margin, in scores of a :class:`RatioScale`, of a relative change of the ratio (0.1: ten per cent)."""
    return relative / (2.0 * reach)


class RatioScale(msgspec.Struct, frozen=True):
    """How a unit's sums become a score: by the excess of its numerator over what stable would have had.

    The excess N - R·D of a unit is measured in R·mean(D), what stable's average unit has of the numerator, and clipped
    at `reach` of these either way; 0.5 is stable's ratio. A ratio that is worse by a share r therefore lowers the mean
    score by r / (2·reach) as long as nothing is clipped, whatever the metric's unit.

    Where arms differ in D *and* stable has drifted from R, a part of the drift (at most drift x difference in D) looks
    like harm; compare D itself in a metric of its own.
    """

    ratio: float
    """Stable's frozen R: sum of numerators over sum of denominators."""
    denominator: float
    """Stable's frozen mean(D) of a unit."""
    reach: float = RATIO_REACH

    def score(self, numerator: float, denominator: float, *, lower_is_better: bool = True) -> float:
        """Return the score in [0, 1] of one unit's sums; higher is better."""
        return min(max(self.line(numerator, denominator, lower_is_better=lower_is_better), 0.0), 1.0)

    def line(self, numerator: float, denominator: float, *, lower_is_better: bool = True) -> float:
        """Return the score before it is clipped; linear, so that means of it are what means of the parts score."""
        excess = (numerator - self.ratio * denominator) / (self.ratio * self.denominator)
        share = excess / self.reach
        return 0.5 - share / 2.0 if lower_is_better else 0.5 + share / 2.0


def ratio_scale(units: Sequence[tuple[float, float]], *, reach: float = RATIO_REACH) -> RatioScale:
    """Learn a scale from stable's units, each (sum of numerator, sum of denominator).

    Raises `InputError` where either sum over all units is not positive: there is no ratio to compare with.
    """
    above = math.fsum(numerator for numerator, _ in units)
    below = math.fsum(denominator for _, denominator in units)
    if not (above > 0.0 and below > 0.0 and math.isfinite(above / below)):
        raise InputError(
            "invalid_ratio",
            f"{len(units)} units of stable sum to {above} over {below}: a ratio needs both to be positive",
            param="units",
        )
    return RatioScale(ratio=above / below, denominator=below / len(units), reach=reach)
