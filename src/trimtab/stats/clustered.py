"""Mean of paired differences whose items come in groups: questions about one document, turns of one conversation.

Items of a group err together, so they say less than as many independent ones (Miller, "Adding error bars to evals",
arXiv 2411.00640, sections 2.2 and 4.2). Here with the small-sample correction CR2 and Satterthwaite degrees of freedom
of Bell & McCaffrey (Survey Methodology 28, 2002), which for a mean have closed forms; with each item a group of its own
they are the usual standard error and n - 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import InputError
from trimtab.stats.beta import t_quantile, t_tail
from trimtab.stats.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

__all__ = ["ClusteredMean", "clustered_mean"]


class ClusteredMean(msgspec.Struct, frozen=True, kw_only=True):
    """A mean, how sure it is, and what it was computed from."""

    value: float
    standard_error: float
    degrees: float
    items: int
    clusters: int
    naive_error: float
    """Standard error if every item stood for itself."""

    @property
    def design_effect(self) -> float:
        """How many times more items it takes for being in groups; 1 where nothing varies."""
        return (self.standard_error / self.naive_error) ** 2 if self.naive_error else 1.0

    @property
    def variance(self) -> float:
        """Variance of one item, groups taken into account: n·SE²."""
        return self.items * self.standard_error**2

    def interval(self, *, alpha: float = 0.05) -> Interval:
        """Return the two-sided t interval, for one look."""
        half = t_quantile(1.0 - alpha / 2.0, self.degrees) * self.standard_error
        return Interval(self.value - half, self.value + half)

    def above(self, limit: float) -> float:
        """Return the one-sided p-value against "the mean is at most `limit`"."""
        if not self.standard_error:
            return 0.0 if self.value > limit else 1.0
        return t_tail((self.value - limit) / self.standard_error, self.degrees)

    def p_value(self) -> float:
        """Return the two-sided p-value that the mean is 0."""
        if not self.standard_error:
            return 0.0 if self.value else 1.0
        return 2.0 * t_tail(abs(self.value) / self.standard_error, self.degrees)


def clustered_mean(values: Sequence[float], clusters: Sequence[Hashable] | None = None) -> ClusteredMean | None:
    """Return the mean of values with a standard error for their clusters; `None` below two clusters.

    `clusters` names the cluster of each value, in the same order; without it each value is its own.
    Raises `InputError` where there are not as many names as values.
    """
    names: Sequence[Hashable] = range(len(values)) if clusters is None else clusters
    if len(names) != len(values):
        raise InputError("clusters_unlike_values", f"{len(names)} clusters for {len(values)} values", param="clusters")
    sizes: dict[Hashable, int] = {}
    for name in names:
        sizes[name] = sizes.get(name, 0) + 1
    count = len(values)
    if len(sizes) < 2:  # noqa: PLR2004 - a variance needs two of them
        return None
    mean = math.fsum(values) / count
    sums = dict.fromkeys(sizes, 0.0)
    squares = 0.0
    for value, name in zip(values, names, strict=True):
        sums[name] += value - mean
        squares += (value - mean) ** 2
    variance = math.fsum(sums[name] ** 2 / (1.0 - size / count) for name, size in sizes.items()) / count**2
    return ClusteredMean(
        value=mean,
        standard_error=math.sqrt(variance),
        degrees=_degrees(list(sizes.values()), count),
        items=count,
        clusters=len(sizes),
        naive_error=math.sqrt(squares / (count - 1) / count),
    )


def _degrees(sizes: Sequence[int], count: int) -> float:
    weights = [size * size / (1.0 - size / count) for size in sizes]
    beside = (sum(weights) ** 2 - sum(weight * weight for weight in weights)) / count**2
    return count**2 / (sum(size * size for size in sizes) + beside)
