"""Why answers stopped being readable, and the output adapter that would mend it: tried out, not guessed.

For every question whose "no" means that a program cannot read the answer, the new outputs of the items that were lost
are adapted and asked again. What the mildest of the best adapters brings back, it explains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.artifacts.model import AdapterContent, OutputStep
from trimtab.artifacts.output_steps import apply_output_adapters
from trimtab.behaviour.detectors import DETECTORS
from trimtab.behaviour.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trimtab.behaviour.columns import Column
    from trimtab.behaviour.model import Expected, Pair

__all__ = ["Cause", "adapt", "causes_of"]

_CANDIDATES: tuple[tuple[str, tuple[OutputStep, ...]], ...] = (
    ("white space around it", ("trim",)),
    ("the code fence", ("strip_code_fence",)),
    ("the preamble", ("drop_preamble",)),
    ("the closer", ("drop_closer",)),
    ("the preamble and the closer", ("drop_closer", "drop_preamble", "trim")),
    ("the code fence and the preamble", ("drop_closer", "drop_preamble", "strip_code_fence")),
    ("the code fence and the text around it", ("extract_code_block",)),
    ("the text around the JSON", ("extract_json",)),
)
"""What would be to blame, and the steps that take it away; the mildest first."""
_READ_BY_PROGRAMS = ("parser.reads", "json.schema", "json.parses", "code.parses")
"""The most telling first."""
_MEASURES: dict[str, Callable[[Reading], float | None]] = {one.id: one.measure for one in DETECTORS}
_PLURALS = {"is": "are", "satisfies": "satisfy"}
"""Of the verbs with which they begin to say what they ask."""
_SHARE_EXPLAINED = 0.5
_FEWEST_LOST = 3
_TOLD = 5


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """What explains that answers cannot be read any more, and the adapter that takes it away."""

    detector: str
    says: str
    cause: str
    """In words: "the code fence"."""
    parts: tuple[tuple[str, int], ...]
    """How many of the lost each simpler cause explains by itself, such as the code fence without the text around it."""
    steps: tuple[OutputStep, ...]
    """The proposed output adapter."""
    pairs: int
    lost: int
    """Items whose old output could be read and whose new one cannot."""
    explained: int
    """Of those, how many can be read once they are adapted."""
    before: float
    """Share of all new outputs that can be read."""
    after: float
    """The same with the adapter."""
    broken: int
    """New outputs that could be read and cannot any more with the adapter."""
    unexplained: tuple[str, ...] = ()
    """Items that stay lost, at most 5."""

    @property
    def adapter(self) -> AdapterContent:
        """The proposed adapter as an artifact."""
        return AdapterContent(output=list(self.steps))

    @property
    def text(self) -> str:
        """In one sentence."""
        alone = next((f" ({words} alone {count:,})" for words, count in self.parts if count < self.explained), "")
        return (
            f"{self.cause} explains {self.explained:,} of {self.lost:,} lost answers{alone} (`{self.detector}`); "
            f"with adapter [{', '.join(self.steps)}] {self.before:.0%} → {self.after:.0%} of the new ones "
            f"{_plural(self.says)}"
        )


def causes_of(columns: Sequence[Column], pairs: Sequence[Pair], expected: Expected) -> list[Cause]:
    """Return what explains at least half of what was lost, one cause for each question; empty where nothing does."""
    by_id = {column.detector.id: column for column in columns}
    asked = [by_id[name] for name in _READ_BY_PROGRAMS if name in by_id]
    return [cause for column in asked if (cause := _cause(column, pairs, expected)) is not None]


def adapt(pair: Pair, steps: Sequence[OutputStep]) -> Pair:
    """Return the pair with its new output as an adapter of these steps would have it."""
    new = msgspec.structs.replace(pair.new, text=apply_output_adapters(pair.new.text, steps))
    return msgspec.structs.replace(pair, new=new)


def _cause(column: Column, pairs: Sequence[Pair], expected: Expected) -> Cause | None:
    unread = [row for row, value in enumerate(column.new) if value is not None and not value]
    lost = [row for row in unread if column.old[row]]
    gained = sum(1 for before, after in zip(column.old, column.new, strict=True) if after and before == 0)
    if len(lost) < _FEWEST_LOST or len(lost) <= gained:
        return None
    measure = _MEASURES[column.detector.id]

    def mended(steps: Sequence[OutputStep], row: int) -> bool:
        text = pairs[row].new.text
        adapted = apply_output_adapters(text, steps)
        if adapted == text:
            return bool(column.new[row])
        return bool(measure(Reading(msgspec.structs.replace(pairs[row].new, text=adapted), expected)))

    explained = {words: sum(mended(steps, row) for row in lost) for words, steps in _CANDIDATES}
    words, steps = max(_CANDIDATES, key=lambda one: explained[one[0]])  # the first, so the mildest, of the best
    if explained[words] < _SHARE_EXPLAINED * len(lost):
        return None
    asked = [row for row, value in enumerate(column.new) if value is not None]
    read = [mended(steps, row) for row in asked]
    return Cause(
        detector=column.detector.id,
        says=column.detector.says,
        cause=words,
        parts=tuple((one, explained[one]) for one, _ in _CANDIDATES if one != words and explained[one]),
        steps=steps,
        pairs=len(asked),
        lost=len(lost),
        explained=explained[words],
        before=1.0 - len(unread) / len(asked),
        after=sum(read) / len(read),
        broken=sum(1 for row, ok in zip(asked, read, strict=True) if column.new[row] and not ok),
        unexplained=tuple(pairs[row].item for row in lost if not mended(steps, row))[:_TOLD],
    )


def _plural(says: str) -> str:
    verb, _, rest = says.partition(" ")
    return f"{_PLURALS[verb]} {rest}"
