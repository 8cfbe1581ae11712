"""Which of an attempt's generations show best what its verdict is about. Pure: generations come in, newest first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from trimtab.analysis.words import measured
from trimtab.control.excerpts import ends_with, input_of, is_captured, output_of, starts_with, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trimtab.analysis.evidence import Phase
    from trimtab.analysis.model import MetricSpec
    from trimtab.events import Generation

    Measure = Callable[[Generation], float | None]

__all__ = ["MOST_EXAMPLES", "MOST_LOOKED_AT", "Example", "Match", "Pair", "Shortlist"]

MOST_EXAMPLES = 10
"""On each side."""
MOST_LOOKED_AT = 20_000
"""Generations of both arms."""
_INPUT_CHARACTERS = 400
_OUTPUT_CHARACTERS = 600
_CONTROLS_KEPT = 2_000
_CONTROLS_ENOUGH = 500
_UNITS_KEPT = 20 * MOST_EXAMPLES
_SIMILAR = 0.5
"""Share of the words of both inputs that they have in common from which they count as alike (Jaccard index)."""

Match = Literal["", "same request", "same input", "similar input", "recent"]


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One generation, cut for reading. `trimtab trace ID` shows the whole."""

    id: str
    at_ms: int
    unit: str
    arm: str
    status: str
    error_code: str
    value: float | None
    """What the metric measured, in its own unit; `null` where it does not apply to this generation."""
    measured: str
    """The same for people: `good`, `bad`, `1,240 ms`."""
    input: str
    """The end of what was asked last."""
    output: str
    """The beginning of the answer, and the tools it asked for."""
    captured: bool
    """Whether content was kept; where not, `input` and `output` are empty."""
    match: Match = ""
    """Of a control: why it stands beside the candidate's example."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """An example of the candidate and a control to hold beside it; either may be missing."""

    candidate: Example | None = None
    control: Example | None = None


class _Candidate(NamedTuple):
    generation: Generation
    badness: float
    """Larger is worse; minus infinity where the metric does not apply."""


class Shortlist:
    """Takes the generations of both arms, newest first; keeps the candidate's worst and controls to hold beside them.

    One example per unit while there are enough units: ten answers to one user are one story.
    """

    def __init__(self, spec: MetricSpec, measure: Measure, *, phase: Phase, most: int = MOST_LOOKED_AT) -> None:
        """`measure` is the metric in its own unit; of more than `most` generations no further ones are wanted."""
        self._spec = spec
        self._measure = measure
        self._phase = phase
        self._most = most
        self._worst: dict[str, list[_Candidate]] = {}
        """By unit, its worst first."""
        self._controls: dict[str, Generation] = {}
        self._wanted: set[str] = set()
        """Requests that candidates of the list mirror."""
        self._seen: set[str] = set()
        self._hopeless: set[str] = set()
        """Units with a measurement that could not be worse."""

    @property
    def looked_at(self) -> int:
        """Generations of both arms so far."""
        return len(self._seen)

    @property
    def wants_more(self) -> bool:
        """Whether there are fewer of the candidate's generations than are shown, or no control at all."""
        return sum(len(own) for own in self._worst.values()) < MOST_EXAMPLES or not self._controls

    @property
    def exhausted(self) -> bool:
        """Whether as many generations were looked at as ever are."""
        return len(self._seen) >= self._most

    @property
    def enough(self) -> bool:
        """Whether more generations would hardly make better examples."""
        if self.exhausted:
            return True
        if len(self._hopeless) < MOST_EXAMPLES or len(self._controls) < _CONTROLS_ENOUGH:
            return False
        return self._phase == "live" or all(one.mirrors in self._controls for one in self._chosen())

    def take(self, generation: Generation) -> None:
        """Take one generation of the phase at hand, of either arm."""
        if generation.id in self._seen or generation.status == "aborted":
            return
        self._seen.add(generation.id)
        if generation.arm == "matched_control":
            if len(self._controls) < _CONTROLS_KEPT or generation.id in self._wanted:
                self._controls[generation.id] = generation
            return
        value = self._measure(generation)
        badness = -math.inf if value is None else value if self._spec.lower_is_better else -value
        unit = generation.unit or generation.id
        own = self._worst.setdefault(unit, [])
        own.append(_Candidate(generation, badness))
        own.sort(key=lambda one: -one.badness)
        del own[MOST_EXAMPLES:]
        self._wanted.add(generation.mirrors)
        if badness == 0.0 and not self._spec.lower_is_better:
            self._hopeless.add(unit)
        if len(self._worst) > 2 * _UNITS_KEPT:
            self._worst = dict(sorted(self._worst.items(), key=lambda item: -item[1][0].badness)[:_UNITS_KEPT])

    def choose(self) -> list[Pair]:
        """Return the candidate's examples, the worst first, each beside a control as far as there are any."""
        candidates = self._chosen()
        free = dict(self._controls)
        matched = [_partner(candidate, free) for candidate in candidates]
        recent = iter(list(free.values())[:MOST_EXAMPLES])
        if not candidates:
            return [Pair(control=self._example(control, "recent")) for control in recent]
        pairs = []
        for candidate, found in zip(candidates, matched, strict=True):
            control, match = found or (next(recent, None), "recent")
            beside = None if control is None else self._example(control, match)
            pairs.append(Pair(candidate=self._example(candidate), control=beside))
        return pairs

    def _chosen(self) -> list[Generation]:
        """Return the worst, the worst of every unit before the second worst of any."""
        ranked = [(rank, one) for own in self._worst.values() for rank, one in enumerate(own)]
        ranked.sort(key=lambda pair: (pair[0], -pair[1].badness))
        return [one.generation for _, one in ranked[:MOST_EXAMPLES]]

    def _example(self, generation: Generation, match: Match = "") -> Example:
        value = self._measure(generation)
        return Example(
            id=generation.id,
            at_ms=generation.at_ms,
            unit=generation.unit,
            arm=generation.arm,
            status=generation.status,
            error_code=generation.error_code,
            value=value,
            measured=measured(value, self._spec),
            input=ends_with(input_of(generation), _INPUT_CHARACTERS),
            output=starts_with(output_of(generation), _OUTPUT_CHARACTERS),
            captured=is_captured(generation),
            match=match,
        )


def _partner(candidate: Generation, free: dict[str, Generation]) -> tuple[Generation, Match] | None:
    """Take the control that is most like a candidate's example; `None` where none is alike."""
    if candidate.mirrors:
        own = free.pop(candidate.mirrors, None)
        return None if own is None else (own, "same request")
    asked = _asked(candidate)
    if not any(asked):
        return None
    for key, control in free.items():
        if _asked(control) == asked:
            return free.pop(key), "same input"
    likeness = _likeness(asked, free)
    key = max(likeness, key=likeness.__getitem__, default="")
    return (free.pop(key), "similar input") if likeness.get(key, 0.0) >= _SIMILAR else None


def _likeness(asked: tuple[str, bytes], free: Mapping[str, Generation]) -> dict[str, float]:
    words = words_of(f"{asked[0]} {asked[1].decode()}")
    found = {}
    for key, control in free.items():
        text, variables = _asked(control)
        others = words_of(f"{text} {variables.decode()}")
        union = len(words | others)
        found[key] = len(words & others) / union if union else 0.0
    return found


def _asked(generation: Generation) -> tuple[str, bytes]:
    """Return the end of what was asked last, and the variables."""
    text = ends_with(input_of(generation), 4 * _INPUT_CHARACTERS)
    return text, msgspec.json.encode(generation.variables) if generation.variables else b""
