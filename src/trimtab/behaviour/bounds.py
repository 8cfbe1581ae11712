"""How much worse what programs read may be although no change was told from chance. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.stats.paired_binary import PairedCounts, tango_interval

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.behaviour.columns import Column

__all__ = ["Bound", "bound_of"]

_ALPHA = 0.05
_MOST = 0.5


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """The detector of what breaks readers of which least is known."""

    detector: str
    says: str
    loss: float
    """Share of all items by which it may be worse, net of what is better: upper end of a one-sided 95 % interval."""

    @property
    def text(self) -> str:
        """It in words."""
        return (
            f"what programs read is worse in at most {100 * self.loss:.1f} % of the answers (95 %; `{self.detector}`)"
        )


def bound_of(columns: Iterable[Column], items: int) -> Bound | None:
    """Return the largest loss that no detector of what breaks readers rules out; `None` where none could be asked.

    Where each of several losses is shown to be below a margin at 95 %, all of them are (intersection-union test). An
    item of which a detector cannot be asked counts as one that did not change.
    """
    found = [
        Bound(detector=one.detector.id, says=one.detector.says, loss=_loss(one, items))
        for one in columns
        if one.detector.severity == "breaks" and one.detector.kind == "share" and one.detector.worse and _asked(one)
    ]
    return max(found, key=lambda one: one.loss, default=None)


def _asked(column: Column) -> int:
    return sum(before is not None and after is not None for before, after in zip(column.old, column.new, strict=True))


def _loss(column: Column, items: int) -> float:
    asked = [
        (before, after)
        for before, after in zip(column.old, column.new, strict=True)
        if before is not None and after is not None
    ]
    gained = sum(1 for before, after in asked if after and not before)
    lost = sum(1 for before, after in asked if before and not after)
    unmoved = items - gained - lost
    interval = tango_interval(
        PairedCounts(both_passed=unmoved, gained=gained, lost=lost, both_failed=0), alpha=2.0 * _ALPHA
    )
    match column.detector.worse:
        case "fewer":
            return -interval.low
        case "either":
            return max(interval.high, -interval.low)
        case "unusual":  # which form is usual was the old one's where most of the old had it
            usual = sum(1 for before, _ in asked if before) >= _MOST * len(asked)
            return -interval.low if usual else interval.high
        case _:
            return interval.high
