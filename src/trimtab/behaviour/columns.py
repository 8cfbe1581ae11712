"""Every detector's answers for both outputs of every pair: what is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.behaviour.detector import Detector
from trimtab.behaviour.detectors import DETECTORS
from trimtab.behaviour.detectors.tools import calls_tool
from trimtab.behaviour.detectors.values import values_told
from trimtab.behaviour.reading import NO_JSON, Reading
from trimtab.behaviour.usual import tools_called, usual_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trimtab.behaviour.model import Expected, Output, Pair
    from trimtab.behaviour.reading import Call

__all__ = ["SAMENESS", "Column", "columns_of"]

Values = list[float | None]


@dataclass(frozen=True, slots=True)
class Column:
    """One detector over all pairs, in their order; `None` where it could not be asked."""

    detector: Detector
    old: Values
    new: Values
    again: Values | None = None
    """Of the old one asked once more, where every pair has that."""


def columns_of(
    pairs: Sequence[Pair], expected: Expected, progress: Callable[[int, int], None] | None = None
) -> list[Column]:
    """Return the columns of every detector that can be asked, those of single tools and of sameness among them.

    `progress` is told how many of how many pairs are done.
    """
    replayed = all(pair.again is not None for pair in pairs)
    sides = [[Reading(output, expected) for output in _outputs(pair, replayed=replayed)] for pair in pairs]
    both = [reading for side in sides for reading in side[:2]]
    usual = usual_of(both)
    detectors = [one for one in DETECTORS if not one.needs or getattr(expected, one.needs) is not None]
    detectors += [*map(calls_tool, tools_called(both)), *values_told(both)]
    del both
    answers: list[tuple[Values, ...]] = [([], [], []) for _ in detectors]
    same: list[tuple[Values, Values]] = [([], []) for _ in SAMENESS]
    for done, side in enumerate(sides):
        for reading in side:
            reading.usual = usual
        for detector, values in zip(detectors, answers, strict=True):
            for reading, column in zip(side, values, strict=False):
                column.append(detector.measure(reading))
        if replayed:
            for (_, ask), (before, after) in zip(SAMENESS, same, strict=True):
                before.append(ask(side[0], side[2]))
                after.append(ask(side[0], side[1]))
        sides[done] = []  # what was worked out of these texts is not needed any more
        if progress is not None:
            progress(done + 1, len(pairs))
    columns = [
        Column(detector, old, new, again if replayed else None)
        for detector, (old, new, again) in zip(detectors, answers, strict=True)
    ]
    if replayed:
        columns.extend(Column(one, *values) for (one, _), values in zip(SAMENESS, same, strict=True))
    return columns


def _outputs(pair: Pair, *, replayed: bool) -> list[Output]:
    return [pair.old, pair.new, pair.again] if replayed and pair.again is not None else [pair.old, pair.new]


def _same_text(one: Reading, other: Reading) -> bool:
    return one.stripped == other.stripped


def _same_json(one: Reading, other: Reading) -> bool | None:
    if one.inner_json is NO_JSON:
        return None
    return bool(one.inner_json == other.inner_json)


def _same_tools(one: Reading, other: Reading) -> bool | None:
    if not one.calls and not other.calls:
        return None
    return sorted(call.name for call in one.calls) == sorted(call.name for call in other.calls)


def _same_arguments(one: Reading, other: Reading) -> bool | None:
    if not one.calls or not _same_tools(one, other):
        return None
    return all(a.arguments == b.arguments for a, b in zip(_by_name(one), _by_name(other), strict=True))


def _by_name(reading: Reading) -> list[Call]:
    return sorted(reading.calls, key=lambda call: call.name)


def _text_rule(_: Reading) -> None:
    """The text is the old one's, white space at its ends aside; compared with the old one asked again."""


def _json_rule(_: Reading) -> None:
    """The JSON equals the old one's as a value; compared with the old one asked again."""


def _tools_rule(_: Reading) -> None:
    """The tools called are those the old one called, each as often; compared with the old one asked again."""


def _arguments_rule(_: Reading) -> None:
    """The arguments equal the old one's, where the same tools are called; compared with the old one asked again."""


SAMENESS: tuple[tuple[Detector, Callable[[Reading, Reading], bool | None]], ...] = (
    (Detector("same.text", "style", "says word for word what the old one said", _text_rule), _same_text),
    (Detector("same.json", "content", "gives the JSON that the old one gave", _json_rule, worse="fewer"), _same_json),
    (
        Detector("same.tools", "breaks", "calls the tools that the old one called", _tools_rule, worse="fewer"),
        _same_tools,
    ),
    (
        Detector(
            "same.arguments", "content", "calls with the arguments of the old one", _arguments_rule, worse="fewer"
        ),
        _same_arguments,
    ),
)
"""Questions asked of two outputs of one item: how often the new one agrees with the old, next to how often the old one
agrees with itself. Only asked where the old one was asked twice."""
