"""Numbers of a comparison in words, the same in every report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trimtab.core.quantity import quantity

if TYPE_CHECKING:
    from trimtab.evals.comparison import Comparison, MetricComparison
    from trimtab.evals.slices import SliceComparison
    from trimtab.stats import Interval

__all__ = ["difference", "flips", "headline", "interval", "level", "p_value", "power", "slice_line"]

_APART = 2.0 / math.sqrt(math.pi)
"""Mean distance of two draws from a normal distribution, in standard deviations."""


def level(value: float, kind: str) -> str:
    """Return a mean: percent of a binary metric."""
    return f"{100 * value:.1f} %" if kind == "binary" else f"{value:.4g}"


def difference(value: float, kind: str) -> str:
    """Return a difference: points of a binary metric."""
    return f"{100 * value:+.1f}" if kind == "binary" else f"{value:+.3g}"


def interval(value: Interval | None, kind: str) -> str:
    """Return an interval of a difference."""
    return "-" if value is None else f"[{difference(value.low, kind)}, {difference(value.high, kind)}]"


def p_value(value: float | None) -> str:
    """Return a p-value, short."""
    return "-" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"  # noqa: PLR2004 - as papers do


def headline(comparison: Comparison) -> str:
    """Return what was compared, in one line."""
    one, other = comparison.baseline, comparison.candidate
    split = "" if one.split == "all" else f" ({one.split})"
    return f"{one.label} → {other.label} on {one.dataset}{split}: {quantity(comparison.items, 'item')}"


def flips(found: MetricComparison) -> str:
    """Return who passed before and does not any more; empty where a metric does not flip."""
    flip = found.flips
    if flip is None:
        spread = None if found.noise is None else found.noise.spread
        return (
            ""
            if spread is None
            else f"two answers of the baseline to one item differ by {1.128 * spread:.3g} on average"
        )
    told = f"{flip.counts.lost:,} lost, {flip.counts.gained:,} gained"
    if flip.excess is None or flip.excess_interval is None:
        return told
    low, high = flip.excess_interval.low, flip.excess_interval.high
    return (
        f"{told}; negative flips {100 * flip.negative:.1f} %, in excess of the baseline against itself "
        f"{100 * flip.excess:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
    )


def power(found: MetricComparison) -> str:
    """Return how many items a margin needs, and what these can show; empty where nothing is known."""
    if found.detectable is None:
        return ""
    can = f"{quantity(found.items, 'item')} can show equality within {_size(found.detectable, found.kind)}"
    if found.needed is None or found.margin is None:
        return can
    return f"{can}; {_size(found.margin, found.kind)} need {found.needed:,}"


def _size(value: float, kind: str) -> str:
    return f"{100 * value:.1f} points" if kind == "binary" else f"{value:.3g}"


def slice_line(found: SliceComparison, kind: str) -> str:
    """Return a slice in one line."""
    return (
        f"{found.name}={found.value} {found.metric}: {level(found.baseline, kind)} → {level(found.candidate, kind)}, "
        f"{difference(found.difference, kind)} {interval(found.interval, kind)}, {quantity(found.items, 'item')}, "
        f"adjusted p {p_value(found.adjusted)}"
    )
