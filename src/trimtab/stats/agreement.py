"""How far annotators agree beyond chance: Krippendorff's alpha.

Krippendorff, "Content analysis" (4th ed., 2019), chapter 12; "Computing Krippendorff's alpha-reliability" (2011).
Any number of annotators, gaps allowed. 1 is perfect agreement, 0 what chance gives, below 0 systematic disagreement.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Literal

import msgspec

from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

__all__ = ["Level", "krippendorff_alpha"]

Level = Literal["nominal", "ordinal", "interval"]


class _Spread(msgspec.Struct):
    """Disagreement within units, and among all values."""

    observed: float
    expected: float


def krippendorff_alpha(units: Iterable[Sequence[Hashable | None]], *, level: Level = "nominal") -> float | None:
    """Return alpha of units' values, one value or `None` per annotator; `None` where there is nothing to disagree on.

    A unit that fewer than two annotators judged says nothing. Ordinal and interval values are numbers; raises
    `InputError` for others. Time is linear in the number of values.
    """
    pairable = [values for unit in units if len(values := [value for value in unit if value is not None]) > 1]
    if level == "nominal":
        spread = _nominal(pairable)
    else:
        numbers = [[_number(value) for value in unit] for unit in pairable]
        spread = _squared(_ranked(numbers) if level == "ordinal" else numbers)
    return 1.0 - spread.observed / spread.expected if spread.expected > 0.0 else None


def _number(value: Hashable) -> float:
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    raise InputError("not_a_number", f"{value!r} has no place on a scale", param="units", hint="use level `nominal`")


def _nominal(units: Sequence[Sequence[Hashable]]) -> _Spread:
    """Share of pairs of values that differ."""
    observed = sum((len(unit) ** 2 - _squares(unit)) / (len(unit) - 1) for unit in units)
    everything = list(chain.from_iterable(units))
    count = len(everything)
    return _Spread(observed, (count * count - _squares(everything)) / (count - 1) if count > 1 else 0.0)


def _squares(values: Iterable[Hashable]) -> int:
    return sum(times * times for times in Counter(values).values())


def _squared(units: Sequence[Sequence[float]]) -> _Spread:
    """Squared distances of pairs of values: of m values they sum up to 2·m times the squared deviations."""
    observed = math.fsum(2.0 * len(unit) * _deviations(unit) / (len(unit) - 1) for unit in units)
    everything = list(chain.from_iterable(units))
    count = len(everything)
    return _Spread(observed, 2.0 * count * _deviations(everything) / (count - 1) if count > 1 else 0.0)


def _deviations(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)


def _ranked(units: Sequence[Sequence[float]]) -> list[list[float]]:
    """Put values by their mid-ranks: squared distances of those are Krippendorff's ordinal metric."""
    counts = Counter(chain.from_iterable(units))
    ranks: dict[float, float] = {}
    before = 0
    for value in sorted(counts):
        ranks[value] = before + counts[value] / 2.0
        before += counts[value]
    return [[ranks[value] for value in unit] for unit in units]
