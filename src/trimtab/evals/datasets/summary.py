"""What a dataset is like, for people: size, splits, freshness, slices."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.quantity import quantity
from trimtab.evals.datasets.shaping import in_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.evals.datasets.item import Item

__all__ = ["DatasetSummary", "summarise"]

_DAY_MS = 86_400_000
_VALUES_SHOWN = 8


class DatasetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Counts; ages in days."""

    items: int
    train: int
    heldout: int
    with_expected: int
    with_checks: int
    groups: int
    """Different groups; 0 where items stand alone."""
    dated: int
    """Items of which it is known when they happened."""
    newest_days: float | None = None
    median_days: float | None = None
    oldest_days: float | None = None
    slices: dict[str, dict[str, int]] = {}
    """Items by slice and value."""

    def lines(self) -> list[str]:
        """Return the summary as lines of text."""
        known = f"{self.with_expected:,} with an expected answer, {self.with_checks:,} with checks of their own"
        told = [f"{quantity(self.items, 'item')}: {self.train:,} train, {self.heldout:,} held out; {known}"]
        if self.groups:
            told.append(f"in {quantity(self.groups, 'group')}")
        if self.dated:
            undated = f"; {self.items - self.dated:,} of unknown age" if self.dated < self.items else ""
            newest = quantity(round(self.newest_days or 0), "day")
            ages = f"newest {newest}, median {self.median_days:.0f}, oldest {self.oldest_days:.0f}"
            told.append(f"age: {ages}{undated}")
        else:
            told.append("age: nobody said when these happened")
        for name, values in self.slices.items():
            shown = ", ".join(f"{value} {count:,}" for value, count in list(values.items())[:_VALUES_SHOWN])
            more = f" and {len(values) - _VALUES_SHOWN:,} more" if len(values) > _VALUES_SHOWN else ""
            told.append(f"{name}: {shown}{more}")
        return told


def summarise(items: Sequence[Item], *, heldout: float, now_ms: int) -> DatasetSummary:
    """Return what a dataset is like."""
    ages = sorted((now_ms - item.at_ms) / _DAY_MS for item in items if item.at_ms)
    names = sorted({name for item in items for name in item.slices})
    held = sum(in_split(item, "heldout", heldout=heldout) for item in items)
    return DatasetSummary(
        items=len(items),
        train=len(items) - held,
        heldout=held,
        with_expected=sum(item.expected is not None for item in items),
        with_checks=sum(bool(item.checks) for item in items),
        groups=len({item.group for item in items if item.group}),
        dated=len(ages),
        newest_days=ages[0] if ages else None,
        median_days=ages[len(ages) // 2] if ages else None,
        oldest_days=ages[-1] if ages else None,
        slices={
            name: dict(Counter(item.slices[name] for item in items if name in item.slices).most_common())
            for name in names
        },
    )
