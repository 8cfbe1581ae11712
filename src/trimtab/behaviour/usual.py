"""What is usual: learnt from the outputs of both sides at once, so that swapping the sides changes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

from trimtab.behaviour.reading import Usual, type_name

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from trimtab.behaviour.reading import Call, Reading

__all__ = ["tools_called", "usual_of"]

_Key = TypeVar("_Key", bound="Hashable")
_Value = TypeVar("_Value", bound="Hashable")
_TOOLS_TOLD = 20
"""Tools that get a detector of their own: the most called."""


class _Counts:
    """How often each form of each thing was seen."""

    def __init__(self) -> None:
        self.keys: Counter[frozenset[str]] = Counter()
        self.orders: defaultdict[frozenset[str], Counter[tuple[str, ...]]] = defaultdict(Counter)
        self.types: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.cases: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.arguments: defaultdict[str, Counter[frozenset[str]]] = defaultdict(Counter)
        self.argument_types: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.languages: Counter[str] = Counter()
        self.openings: Counter[str] = Counter()
        self.endings: Counter[str] = Counter()

    def text(self, reading: Reading) -> None:
        self.openings[reading.opening] += 1
        self.endings[reading.ending] += 1
        if reading.language:
            self.languages[reading.language] += 1

    def json(self, reading: Reading) -> None:
        for key, case in reading.words:
            self.cases[key][case] += 1
        if reading.object is None:
            return
        names = frozenset(reading.object)
        self.keys[names] += 1
        self.orders[names][tuple(reading.object)] += 1
        for key, value in reading.object.items():
            if value is not None:
                self.types[key][type_name(value)] += 1

    def call(self, call: Call) -> None:
        if call.arguments is None:
            return
        self.arguments[call.name][frozenset(call.arguments)] += 1
        for key, value in call.arguments.items():
            if value is not None:
                self.argument_types[call.name, key][type_name(value)] += 1


def usual_of(readings: Iterable[Reading]) -> Usual:
    """Return what is most common among outputs."""
    counts = _Counts()
    for reading in readings:
        counts.text(reading)
        counts.json(reading)
        for call in reading.calls:
            counts.call(call)
    return Usual(
        keys=_most(counts.keys) if counts.keys else None,
        order=_most_of_each(counts.orders),
        types=_most_of_each(counts.types),
        cases=_most_of_each(counts.cases),
        arguments=_most_of_each(counts.arguments),
        argument_types=_most_of_each(counts.argument_types),
        language=_most(counts.languages) if counts.languages else "",
        opening=_most(counts.openings) if counts.openings else "",
        ending=_most(counts.endings) if counts.endings else "",
    )


def tools_called(readings: Iterable[Reading]) -> list[str]:
    """Return the names of the tools that outputs call most, at most 20."""
    counts = Counter(name for reading in readings for name in {call.name for call in reading.calls})
    return [name for name, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_TOOLS_TOLD]]


def _most_of_each(counts: Mapping[_Key, Counter[_Value]]) -> dict[_Key, _Value]:
    return {key: _most(values) for key, values in counts.items()}


def _most(counts: Counter[_Value]) -> _Value:
    """Return the most common; of equally common ones the first in the alphabet, whichever came first."""
    return min(counts, key=lambda value: (-counts[value], _alphabetical(value)))


def _alphabetical(value: Any) -> list[str]:  # noqa: ANN401 - what is counted
    return sorted(value) if isinstance(value, frozenset) else list(value) if isinstance(value, tuple) else [value]
