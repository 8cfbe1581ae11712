"""One detector, old against new: how large the change is, and how sure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from trimtab.stats.paired_binary import PairedCounts, mcnemar, newcombe_interval
from trimtab.stats.signed_rank import signed_rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.behaviour.columns import Column
    from trimtab.stats.intervals import Interval

__all__ = ["Contrast", "contrast"]

_TOLD = 5
"""Items named as examples."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """What a column says of the pairs it was asked of."""

    column: Column
    pairs: int
    old: float
    """Share of yes, geometric mean (`ratio`) or mean of the old outputs."""
    new: float
    moved: int
    """Pairs whose outputs differ: only they can say anything."""
    p_value: float
    """Two-sided: how probable so large a change is where it is a matter of chance which output is the new one."""
    interval: tuple[float, float]
    """95 %, of `effect`."""
    rows: tuple[int, ...] = ()
    """Rows that moved the way that most did, farthest first where that can be said."""

    @property
    def smallest_p(self) -> float:
        """Smallest p-value that so many moved pairs could have given, had all moved the same way."""
        return min(1.0, 2.0 ** (1 - self.moved))

    @property
    def effect(self) -> float:
        """New minus old; for a `ratio`, new over old minus 1."""
        return self.new / self.old - 1.0 if self.column.detector.kind == "ratio" else self.new - self.old


def contrast(column: Column, rows: Sequence[int] | None = None) -> Contrast | None:
    """Compare a column's sides, over some rows or all; `None` where nothing was asked of both, or nothing moved."""
    places = range(len(column.old)) if rows is None else rows
    asked = [
        (row, before, after)
        for row in places
        if (before := column.old[row]) is not None and (after := column.new[row]) is not None
    ]
    if not asked:
        return None
    return _share(column, asked) if column.detector.kind == "share" else _number(column, asked)


def _share(column: Column, asked: list[tuple[int, float, float]]) -> Contrast | None:
    gained = [row for row, before, after in asked if after and not before]
    lost = [row for row, before, after in asked if before and not after]
    if not gained and not lost:
        return None
    yes = sum(1 for _, before, after in asked if before and after)
    counts = PairedCounts(
        both_passed=yes, gained=len(gained), lost=len(lost), both_failed=len(asked) - yes - len(gained) - len(lost)
    )
    return Contrast(
        column,
        pairs=len(asked),
        old=counts.baseline,
        new=counts.candidate,
        moved=len(gained) + len(lost),
        p_value=mcnemar(counts),
        interval=_ends(newcombe_interval(counts)),
        rows=tuple((gained if len(gained) >= len(lost) else lost)[:_TOLD]),
    )


def _number(column: Column, asked: list[tuple[int, float, float]]) -> Contrast | None:
    ratio = column.detector.kind == "ratio"
    if ratio:
        asked = [(row, math.log(before), math.log(after)) for row, before, after in asked if before > 0 and after > 0]
    differences = [after - before for _, before, after in asked]
    moved = sum(1 for one in differences if one)
    if not moved:
        return None
    old = math.fsum(before for _, before, _ in asked) / len(asked)
    mean = math.fsum(differences) / len(differences)
    half = NormalDist().inv_cdf(0.975) * _standard_error(differences, mean)
    ordered = sorted(zip(differences, asked, strict=True), key=lambda one: (-one[0] if mean > 0 else one[0], one[1][0]))
    rows = tuple(row for difference, (row, _, _) in ordered[:_TOLD] if difference)
    low, high = mean - half, mean + half
    return Contrast(
        column,
        pairs=len(asked),
        old=math.exp(old) if ratio else old,
        new=math.exp(old + mean) if ratio else old + mean,
        moved=moved,
        p_value=signed_rank(differences).p_value,
        interval=(math.expm1(low), math.expm1(high)) if ratio else (low, high),
        rows=rows,
    )


def _standard_error(values: list[float], mean: float) -> float:
    if len(values) < 2:  # noqa: PLR2004 - a variance needs two values
        return math.inf
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


def _ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high
