"""What is usual: learnt from the outputs of both sides at once, so that swapping the sides changes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

from trimtab.behaviour.reading import Usual, type_name

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from trimtab.behaviour.reading import Reading

__all__ = ["tools_called", "usual_of"]

_Key = TypeVar("_Key", bound="Hashable")
_Value = TypeVar("_Value", bound="Hashable")
_TOOLS_TOLD = 20
"""Tools that get a detector of their own: the most called."""


def usual_of(readings: Iterable[Reading]) -> Usual:
    """Return what is most common among outputs."""
    keys: Counter[frozenset[str]] = Counter()
    orders: defaultdict[frozenset[str], Counter[tuple[str, ...]]] = defaultdict(Counter)
    types: defaultdict[str, Counter[str]] = defaultdict(Counter)
    arguments: defaultdict[str, Counter[frozenset[str]]] = defaultdict(Counter)
    argument_types: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    languages: Counter[str] = Counter()
    openings: Counter[str] = Counter()
    endings: Counter[str] = Counter()
    for reading in readings:
        if reading.object is not None:
            names = frozenset(reading.object)
            keys[names] += 1
            orders[names][tuple(reading.object)] += 1
            for key, value in reading.object.items():
                if value is not None:
                    types[key][type_name(value)] += 1
        if reading.language:
            languages[reading.language] += 1
        openings[reading.opening] += 1
        endings[reading.ending] += 1
        for call in reading.calls:
            if call.arguments is not None:
                arguments[call.name][frozenset(call.arguments)] += 1
                for key, value in call.arguments.items():
                    if value is not None:
                        argument_types[call.name, key][type_name(value)] += 1
    return Usual(
        keys=_most(keys) if keys else None,
        order=_most_of_each(orders),
        types=_most_of_each(types),
        arguments=_most_of_each(arguments),
        argument_types=_most_of_each(argument_types),
        language=_most(languages) if languages else "",
        opening=_most(openings) if openings else "",
        ending=_most(endings) if endings else "",
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
