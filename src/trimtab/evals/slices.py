"""Where a candidate is worse although on average it is not: slices, corrected for looking at many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.evals.pairs import Pairs
from trimtab.stats import Interval, benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SliceComparison", "compare_slices"]

_FEWEST = 5
"""Pairs below which a slice is not looked at."""
_MOST_VALUES = 50
"""A label with more values than this (an id, say) makes no slices."""


class SliceComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One metric within one slice."""

    name: str
    value: str
    metric: str
    items: int
    baseline: float
    candidate: float
    difference: float
    interval: Interval | None
    """Simultaneous: all slices' intervals together hold with 1 - alpha (Bonferroni)."""
    p_worse: float | None
    adjusted: float | None = None
    """After Benjamini-Hochberg over all slices and metrics."""
    worse: bool = False
    """The adjusted p-value is at most alpha."""


def compare_slices(
    measured: Mapping[str, Pairs], labels: Mapping[str, Mapping[str, str]], *, alpha: float
) -> list[SliceComparison]:
    """Return every metric within every slice of at least 5 pairs, worst first.

    `measured` are pairs by metric, `labels` slices by item.
    """
    cells = _cells(labels)
    parts = [
        (cell, metric, part)
        for cell, members in cells.items()
        for metric, pairs in measured.items()
        if len((part := _within(pairs, members)).items) >= _FEWEST
    ]
    found = [
        SliceComparison(
            name=name,
            value=value,
            metric=metric,
            items=len(part.items),
            baseline=part.baseline,
            candidate=part.candidate,
            difference=part.candidate - part.baseline,
            interval=part.interval(alpha / len(parts)),
            p_worse=part.worse(),
        )
        for (name, value), metric, part in parts
    ]
    tested = [index for index, one in enumerate(found) if one.p_worse is not None]
    adjusted = benjamini_hochberg([found[index].p_worse or 0.0 for index in tested])
    for index, value in zip(tested, adjusted, strict=True):
        found[index] = msgspec.structs.replace(found[index], adjusted=value, worse=value <= alpha)
    return sorted(found, key=lambda one: (2.0 if one.p_worse is None else one.p_worse, one.name, one.value, one.metric))


def _cells(labels: Mapping[str, Mapping[str, str]]) -> dict[tuple[str, str], set[str]]:
    """Return the items of every slice of every label that has between two and fifty values."""
    members: dict[tuple[str, str], set[str]] = {}
    for item, slices in labels.items():
        for name, value in slices.items():
            members.setdefault((name, value), set()).add(item)
    values: dict[str, int] = {}
    for name, _ in members:
        values[name] = values.get(name, 0) + 1
    return {cell: items for cell, items in sorted(members.items()) if 1 < values[cell[0]] <= _MOST_VALUES}


def _within(pairs: Pairs, members: set[str]) -> Pairs:
    kept = [index for index, item in enumerate(pairs.items) if item in members]
    return Pairs(
        items=[pairs.items[index] for index in kept],
        before=[pairs.before[index] for index in kept],
        after=[pairs.after[index] for index in kept],
        clusters=[pairs.clusters[index] for index in kept],
        binary=pairs.binary,
        sign=pairs.sign,
        bounded=pairs.bounded,
    )
