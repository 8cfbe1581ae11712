"""Answers that were right and are wrong now, beyond those that flip when nothing changes.

An average hides them: a model that mends 40 answers and breaks 15 has improved, and 15 users are worse off (Yan et al.,
"Positive-congruent training: towards regression-free model updates", CVPR 2021, call them negative flips). Asked twice,
the old model flips some answers too; only the excess is the new one's doing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.behaviour.findings import slices_of
from trimtab.stats.beta import clopper_pearson
from trimtab.stats.intervals import Interval
from trimtab.stats.paired_binary import PairedCounts, mcnemar, newcombe_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.behaviour.columns import Column
    from trimtab.behaviour.model import Pair

__all__ = ["Flips", "SliceFlips", "flips_of"]

_TOLD = 10
_HALF = 0.025
_ALPHA = 0.01
_WORTH_TELLING = 0.01
"""Rate of negative flips that is told of an improvement where the old one was not asked twice."""


class SliceFlips(msgspec.Struct, frozen=True, kw_only=True):
    """Negative flips in one slice."""

    slice: str
    pairs: int
    negative: int
    rate: Interval
    """95 %, exact (Clopper and Pearson)."""


class Flips(msgspec.Struct, frozen=True, kw_only=True):
    """How right answers fared."""

    pairs: int
    """With a score on both sides."""
    right_before: int
    right_after: int
    negative: int
    """Right before, wrong now."""
    positive: int
    rate: Interval
    """Of negative flips among all pairs: 95 %, exact (Clopper and Pearson)."""
    change: Interval
    """Of the share that is right: 95 % (Newcombe)."""
    again_negative: int | None = None
    """Right before, wrong when the old one was asked again; `None` where it was not."""
    again_rate: Interval | None = None
    excess: float | None = None
    """Rate of negative flips beyond that of the old one asked again."""
    excess_interval: Interval | None = None
    """At least 95 %: the difference of two exact 97.5 % intervals, whatever the dependence."""
    excess_p: float | None = None
    """That the new one flips as often as the old one asked again: McNemar's exact test."""
    hidden: bool = False
    """The share that is right did not fall for sure, and yet answers flipped beyond what chance or the old one does."""
    items: tuple[str, ...] = ()
    """Items of negative flips, at most 10."""
    slices: tuple[SliceFlips, ...] = ()
    """The worst first."""

    @property
    def negative_share(self) -> float:
        """Negative flips among all pairs."""
        return self.negative / self.pairs

    @property
    def gain(self) -> float:
        """Change of the share that is right."""
        return (self.right_after - self.right_before) / self.pairs


def flips_of(column: Column, pairs: Sequence[Pair]) -> Flips | None:
    """Return the flips of the column of right answers; `None` where no pair has a score on both sides."""
    rows = [row for row in range(len(pairs)) if column.old[row] is not None and column.new[row] is not None]
    if not rows:
        return None
    counts = PairedCounts.of((bool(column.old[row]), bool(column.new[row])) for row in rows)
    lost = {row for row in rows if column.old[row] and not column.new[row]}
    rate = clopper_pearson(counts.lost, counts.items)
    change = newcombe_interval(counts)
    flips = Flips(
        pairs=counts.items,
        right_before=counts.both_passed + counts.lost,
        right_after=counts.both_passed + counts.gained,
        negative=counts.lost,
        positive=counts.gained,
        rate=rate,
        change=change,
        hidden=change.high >= 0.0 and rate.low > _WORTH_TELLING,
        items=tuple(pairs[row].item for row in sorted(lost)[:_TOLD]),
        slices=_slices(pairs, set(rows), lost),
    )
    return _beyond_noise(flips, column, rows)


def _beyond_noise(flips: Flips, column: Column, rows: list[int]) -> Flips:
    """Add what the old one, asked again, flips by itself."""
    again = column.again
    if again is None or any(again[row] is None for row in rows):
        return flips
    right = [row for row in rows if column.old[row]]
    beside = PairedCounts.of((not again[row], not column.new[row]) for row in right)  # flipped again, flipped now
    negative = beside.both_passed + beside.lost
    ours = clopper_pearson(flips.negative, flips.pairs, alpha=_HALF)
    theirs = clopper_pearson(negative, flips.pairs, alpha=_HALF)
    interval = Interval(ours.low - theirs.high, ours.high - theirs.low)
    p_value = mcnemar(beside)
    excess = (flips.negative - negative) / flips.pairs
    return msgspec.structs.replace(
        flips,
        again_negative=negative,
        again_rate=clopper_pearson(negative, flips.pairs),
        excess=excess,
        excess_interval=interval,
        excess_p=p_value,
        hidden=flips.change.high >= 0.0 and excess > 0.0 and p_value <= _ALPHA,
    )


def _slices(pairs: Sequence[Pair], rows: set[int], lost: set[int]) -> tuple[SliceFlips, ...]:
    found = []
    for name, members in slices_of(pairs):
        scored = [row for row in members if row in rows]
        negative = sum(1 for row in scored if row in lost)
        if scored:
            rate = clopper_pearson(negative, len(scored))
            found.append(SliceFlips(slice=name, pairs=len(scored), negative=negative, rate=rate))
    return tuple(sorted(found, key=lambda one: (-one.negative / one.pairs, one.slice)))
