"""Which value is given, where values are few: labels of a classifier, one-word answers, arguments that are choices.

What counts as few is decided over both sides' outputs together, so that swapping the sides changes nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from trimtab.behaviour.detector import Detector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trimtab.behaviour.reading import Place, Reading

__all__ = ["value_detector", "values_told"]

_MOST_VALUES = 12
_FEWEST_OUTPUTS = 20
_FEWEST_EACH = 5
"""Outputs for each value, on average: choices come again, free text does not."""
_MOST_DETECTORS = 40


def values_told(readings: Iterable[Reading]) -> list[Detector]:
    """Return a detector for each value of each place whose values are few; where there are two, for the commoner.

    Few are at most 12, seen in at least 20 outputs, five times each on average. The 40 commonest are told.
    """
    counts: defaultdict[Place, Counter[str]] = defaultdict(Counter)
    for reading in readings:
        for place, value in reading.choices.items():
            counts[place][value] += 1
    told: list[tuple[int, Place, str]] = []
    for place, values in counts.items():
        if not _are_choices(values):
            continue
        ranked = sorted(values.items(), key=lambda one: (-one[1], one[0]))
        told += [(count, place, value) for value, count in (ranked[:1] if len(ranked) == 2 else ranked)]  # noqa: PLR2004
    told.sort(key=lambda one: (-one[0], one[1], one[2]))
    return [value_detector(place, value) for _, place, value in told[:_MOST_DETECTORS]]


def value_detector(place: Place, value: str) -> Detector:
    """Return the detector of one value at one place."""
    where = ".".join(place)
    if place[0] == "text":
        says, rule = f"is {value}", f"The whole text, white space at its ends aside, is {value}."
    elif place[0] == "json":
        says = f"says {place[1]}: {value}"
        rule = f"The JSON object has {value} under {place[1]}. Asked where it has a short string or a boolean there."
    else:
        says = f"calls `{place[1]}` with {place[2]}: {value}"
        rule = f"The first call of {place[1]} has {value} for {place[2]}. Asked where it has a short string or boolean."

    def measure(reading: Reading) -> bool | None:
        found = reading.choices.get(place)
        return None if found is None else found == value

    return Detector(f"value.{where}={value}", "content", says, _documented(measure, rule))


def _are_choices(values: Mapping[str, int]) -> bool:
    total = sum(values.values())
    few = 1 < len(values) <= _MOST_VALUES
    return few and total >= _FEWEST_OUTPUTS and total >= _FEWEST_EACH * len(values)


def _documented(measure: Callable[[Reading], bool | None], rule: str) -> Callable[[Reading], bool | None]:
    measure.__doc__ = rule
    return measure
