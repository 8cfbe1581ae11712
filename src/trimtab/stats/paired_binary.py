"""Two runs over the same items, each passed or failed: whether the share that passes changed, or is not worse.

Only the items on which the two disagree say so. Test: McNemar's, exact. Intervals: Newcombe's method 10 ("square and
add", Statistics in Medicine 17, 1998, 2635-2650) and Tango's score interval (Statistics in Medicine 17, 1998, 891-908);
Fagerland, Lydersen & Laake (Statistics in Medicine 33, 2014, 2850-2875) compare them with others and recommend both.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import InputError
from trimtab.stats.beta import binomial_cdf, falling_root
from trimtab.stats.intervals import Interval, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PairedCounts", "mcnemar", "newcombe_interval", "non_inferiority", "tango_interval"]

_standard = NormalDist()


class PairedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Items by how both runs ended."""

    both_passed: int = 0
    lost: int = 0
    """Passed before, fails now: a negative flip."""
    gained: int = 0
    both_failed: int = 0

    def __post_init__(self) -> None:
        if min(self.both_passed, self.lost, self.gained, self.both_failed) < 0:
            raise InputError("invalid_counts", "counts of items cannot be negative")

    @classmethod
    def of(cls, pairs: Iterable[tuple[bool, bool]]) -> PairedCounts:
        """Count pairs of (baseline passed, candidate passed)."""
        counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
        for before, after in pairs:
            counts[bool(before), bool(after)] += 1
        return cls(
            both_passed=counts[True, True],
            lost=counts[True, False],
            gained=counts[False, True],
            both_failed=counts[False, False],
        )

    @property
    def items(self) -> int:
        """Number of pairs."""
        return self.both_passed + self.lost + self.gained + self.both_failed

    @property
    def baseline(self) -> float:
        """Share that passed before; 0 without items."""
        return (self.both_passed + self.lost) / self.items if self.items else 0.0

    @property
    def candidate(self) -> float:
        """Share that passes now; 0 without items."""
        return (self.both_passed + self.gained) / self.items if self.items else 0.0

    @property
    def difference(self) -> float:
        """Candidate's share minus the baseline's."""
        return (self.gained - self.lost) / self.items if self.items else 0.0

    @property
    def discordance(self) -> float:
        """Share of the items on which the two disagree."""
        return (self.gained + self.lost) / self.items if self.items else 0.0


def mcnemar(counts: PairedCounts, *, mid: bool = False) -> float:
    """Return the two-sided p-value of McNemar's exact test that both pass equally often.

    `mid` counts the observed outcome half: nearer the nominal level and still below it in nearly all cases (Fagerland,
    Lydersen & Laake, BMC Medical Research Methodology 13:91, 2013). 1 where no pair disagrees.
    """
    disagreeing, fewer = counts.lost + counts.gained, min(counts.lost, counts.gained)
    if not disagreeing:
        return 1.0
    tail = binomial_cdf(fewer, disagreeing, 0.5)
    if mid:
        tail -= (tail - binomial_cdf(fewer - 1, disagreeing, 0.5)) / 2.0
    return min(1.0, 2.0 * tail)


def newcombe_interval(counts: PairedCounts, *, alpha: float = 0.05) -> Interval:
    """Return Newcombe's interval (method 10) for the difference candidate - baseline. [-1, 1] without items."""
    items = counts.items
    if not items:
        return Interval(-1.0, 1.0)
    first, second = counts.candidate, counts.baseline
    one = wilson_interval(counts.both_passed + counts.gained, items, alpha=alpha)
    two = wilson_interval(counts.both_passed + counts.lost, items, alpha=alpha)
    correlation = _newcombe_correlation(counts)
    down = _added(first - one.low, two.high - second, correlation)
    up = _added(second - two.low, one.high - first, correlation)
    return Interval(max(-1.0, counts.difference - down), min(1.0, counts.difference + up))


def _added(first: float, second: float, correlation: float) -> float:
    return math.sqrt(max(first * first - 2.0 * correlation * first * second + second * second, 0.0))


def _newcombe_correlation(counts: PairedCounts) -> float:
    passed = counts.both_passed + counts.gained, counts.both_passed + counts.lost
    margins = [part for one in passed for part in (one, counts.items - one)]
    if 0 in margins:
        return 0.0
    cross = float(counts.both_passed * counts.both_failed - counts.lost * counts.gained)
    if cross > 0.0:  # continuity correction, towards independence
        cross = max(cross - counts.items / 2.0, 0.0)
    return cross / math.sqrt(math.prod(margins))


def tango_interval(counts: PairedCounts, *, alpha: float = 0.05) -> Interval:
    """Return Tango's score interval for the difference candidate - baseline. [-1, 1] without items."""
    if not counts.items:
        return Interval(-1.0, 1.0)
    z = _standard.inv_cdf(1.0 - alpha / 2.0)
    low = falling_root(lambda delta: _score(counts, delta) - z, -1.0, counts.difference)
    high = falling_root(lambda delta: _score(counts, delta) + z, counts.difference, 1.0)
    return Interval(low, high)


def non_inferiority(counts: PairedCounts, *, margin: float) -> float:
    """Return the one-sided p-value against "the candidate passes at least `margin` less often" (Tango's score test).

    `margin` is a share in (0, 1). Below alpha the candidate is non-inferior; that is the case exactly where the lower
    end of `tango_interval(counts, alpha=2 * alpha)` lies above `-margin`. 1 without items.
    """
    if not 0.0 < margin < 1.0:
        raise InputError("invalid_margin", f"a margin of {margin} is not in (0, 1)", param="margin")
    return _standard.cdf(-_score(counts, -margin)) if counts.items else 1.0


def _score(counts: PairedCounts, delta: float) -> float:
    """Return the score statistic of the difference, with the likeliest rate of losses given that it is `delta`."""
    items, gained, lost = counts.items, counts.gained, counts.lost
    distance = gained - lost - items * delta
    a = 2.0 * items
    b = -gained - lost + (2.0 * items - gained + lost) * delta
    c = -lost * delta * (1.0 - delta)
    rate = (math.sqrt(max(b * b - 4.0 * a * c, 0.0)) - b) / (2.0 * a)
    variance = items * (2.0 * rate + delta * (1.0 - delta))
    if variance <= 0.0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)
