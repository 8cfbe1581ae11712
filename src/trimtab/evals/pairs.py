"""One metric of two runs over the same items, paired: how far apart they are, and how sure that is. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from trimtab.stats import (
    Interval,
    PairedCounts,
    binary_variance,
    clustered_mean,
    mcnemar,
    newcombe_interval,
    non_inferiority,
    signed_rank,
    tango_interval,
)
from trimtab.stats.beta import binomial_cdf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.stats import ClusteredMean

__all__ = ["Method", "Pairs", "paired"]

Method = Literal["pairs", "clusters", "means"]
"""`pairs`: Tango and McNemar over items that pass or fail. `clusters`: the same, made wider by a clustered standard
error. `means`: a t interval over items' means, and Wilcoxon's test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Values of the items that both runs have."""

    items: Sequence[str]
    before: Sequence[float]
    after: Sequence[float]
    clusters: Sequence[str]
    binary: bool
    """Every value is 0 or 1."""
    sign: float
    """-1 where less is better."""
    bounded: bool = False
    """Values are shares of answers that passed."""

    @property
    def counts(self) -> PairedCounts | None:
        """Passed and not, where that is what values say."""
        pairs = zip(self.before, self.after, strict=True)
        return PairedCounts.of((a == 1.0, b == 1.0) for a, b in pairs) if self.binary else None

    @property
    def baseline(self) -> float:
        """Mean before; 0 without items."""
        return math.fsum(self.before) / len(self.before) if self.before else 0.0

    @property
    def candidate(self) -> float:
        """Mean now; 0 without items."""
        return math.fsum(self.after) / len(self.after) if self.after else 0.0

    @property
    def differences(self) -> list[float]:
        """By item, candidate - baseline."""
        return [after - before for before, after in zip(self.before, self.after, strict=True)]

    @property
    def grouped(self) -> bool:
        """Whether any two items are of one cluster."""
        return len(set(self.clusters)) < len(self.clusters)

    @property
    def method(self) -> Method:
        """How they are compared."""
        return "means" if not self.binary else "clusters" if self.grouped else "pairs"

    def mean(self) -> ClusteredMean | None:
        """Return the mean difference with its clustered standard error; `None` below two clusters.

        Of shares one deviation as large as there can be is added, a loss that nobody has met yet: twenty items that
        all passed again are no certainty.
        """
        found = clustered_mean(self.differences, self.clusters)
        if found is None or not self.bounded or self.binary:
            return found
        wider = math.hypot(found.standard_error, 1.0 / found.items)
        return msgspec.structs.replace(found, standard_error=wider)

    def interval(self, alpha: float) -> Interval | None:
        """Return the interval of the difference; `None` where nothing can be said.

        Binary and clustered: the wider of Tango's and the clustered one at each end, for where no pair disagrees the
        clustered standard error is 0, and with few items that is no certainty.
        """
        mean = self.mean()
        counts = self.counts
        if counts is None:
            return None if mean is None else mean.interval(alpha=alpha)
        tango = tango_interval(counts, alpha=alpha)
        if not self.grouped:
            return tango
        if mean is None:
            return None
        wide = mean.interval(alpha=alpha)
        return Interval(max(-1.0, min(tango.low, wide.low)), min(1.0, max(tango.high, wide.high)))

    def newcombe(self, alpha: float) -> Interval | None:
        """Return Newcombe's interval of the difference, of binary values alone."""
        return None if (counts := self.counts) is None else newcombe_interval(counts, alpha=alpha)

    def changed(self) -> float | None:
        """Return the two-sided p-value that nothing changed: McNemar's exact mid-p, or Wilcoxon's with Pratt's zeros.

        Clustered: the larger of that and the clustered t-test's.
        """
        mean, counts = self.mean(), self.counts
        if counts is not None:
            exact = mcnemar(counts, mid=True)
            if not self.grouped:
                return exact
            return None if mean is None else max(exact, mean.p_value())
        if self.grouped:
            return None if mean is None else mean.p_value()
        return signed_rank(self.differences).p_value if self.items else None

    def better(self, margin: float = 0.0) -> float | None:
        """Return the one-sided p-value against "the candidate is worse than the baseline by at least `margin`".

        With margin 0: against "it is not better".
        """
        counts, mean = self.counts, self.mean()
        by_mean = None if mean is None else _oriented(mean, self.sign).above(-margin)
        if counts is None:
            return by_mean
        turned = _turned(counts) if self.sign < 0 else counts
        exact = non_inferiority(turned, margin=margin) if margin else _one_sided(turned)
        if not self.grouped:
            return exact
        return None if by_mean is None else max(exact, by_mean)

    def worse(self) -> float | None:
        """Return the one-sided p-value against "the candidate is not worse"."""
        counts, mean = self.counts, self.mean()
        by_mean = None if mean is None else _oriented(mean, -self.sign).above(0.0)
        if counts is None:
            return by_mean
        exact = _one_sided(counts if self.sign < 0 else _turned(counts))
        if not self.grouped:
            return exact
        return None if by_mean is None else max(exact, by_mean)

    def variance(self) -> float | None:
        """Return the variance of one item's difference, clusters taken into account, for statements of power.

        Where no pair disagreed, as if half a pair had: nothing is certain yet.
        """
        mean, counts = self.mean(), self.counts
        if counts is None:
            return None if mean is None else mean.variance
        if not counts.items:
            return None
        least = binary_variance(max(counts.discordance, 0.5 / counts.items), counts.difference)
        return least * (max(mean.design_effect, 1.0) if mean is not None and self.grouped else 1.0)


def _turned(counts: PairedCounts) -> PairedCounts:
    return PairedCounts(
        both_passed=counts.both_passed, lost=counts.gained, gained=counts.lost, both_failed=counts.both_failed
    )


def _oriented(mean: ClusteredMean, sign: float) -> ClusteredMean:
    return msgspec.structs.replace(mean, value=sign * mean.value)


def _one_sided(counts: PairedCounts) -> float:
    """Return the exact p-value against "no more is gained than lost"."""
    disagreeing = counts.gained + counts.lost
    return binomial_cdf(counts.lost, disagreeing, 0.5) if disagreeing else 1.0


def paired(
    before: Mapping[str, Sequence[float]],
    after: Mapping[str, Sequence[float]],
    groups: Mapping[str, str],
    *,
    binary: bool,
    lower_is_better: bool = False,
    items: Sequence[str] | None = None,
) -> Pairs:
    """Return the pairs of items that both runs measured; several samples of an item count by their mean.

    `groups` names the cluster of an item, where it is in one. `items` are those looked at, all where absent.
    """
    shared = [item for item in (before if items is None else items) if item in before and item in after]
    means = [[math.fsum(run[item]) / len(run[item]) for item in shared] for run in (before, after)]
    return Pairs(
        items=shared,
        before=means[0],
        after=means[1],
        clusters=[groups.get(item) or f"\x1f{item}" for item in shared],
        binary=binary and all(value in {0.0, 1.0} for value in (*means[0], *means[1])),
        sign=-1.0 if lower_is_better else 1.0,
        bounded=binary,
    )
