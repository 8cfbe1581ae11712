"""Scorers that measure how alike two texts are, from 0 to 1."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Literal

from trimtab.evals.scoring.case import NOTHING, LocalSpec, Scored

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from trimtab.evals.scoring.case import Case

__all__ = ["Similarity", "common_subsequence", "edit_distance"]

_WORD = re.compile(r"\w+")


class Similarity(LocalSpec, frozen=True, kw_only=True, tag="similarity"):
    """How alike the answer and the expected one are.

    `edits`: 1 - Levenshtein's distance / length of the longer. `words`: F1 of the words, as SQuAD counts it. `rougeL`:
    F1 of the longest common subsequence of words (Lin 2004).
    """

    method: Literal["edits", "words", "rougeL"] = "edits"
    value: str | None = None
    """What is expected; the item's `expected` where absent, or its `reference` where `against` says so."""
    against: Literal["expected", "reference"] = "expected"

    always_binary: ClassVar[bool] = False

    def judge(self, case: Case) -> Scored:
        wanted = self.value
        if wanted is None:
            wanted = case.item.reference if self.against == "reference" else case.expected
        if not wanted:
            return NOTHING
        if self.method == "edits":
            longer = max(len(wanted), len(case.answer.output))
            return Scored(1.0 - edit_distance(wanted, case.answer.output) / longer)
        one, other = _WORD.findall(wanted.casefold()), _WORD.findall(case.answer.output.casefold())
        common = (
            sum((Counter(one) & Counter(other)).values()) if self.method == "words" else common_subsequence(one, other)
        )
        return Scored(2.0 * common / (len(one) + len(other)) if one or other else 1.0)


def edit_distance(one: str, other: str) -> int:
    """Return Levenshtein's distance (bit-parallel: Myers 1999, as Hyyrö 2003 has it), in time n·⌈m/30⌉."""
    if not one or not other:
        return len(one) + len(other)
    positions = _positions(one)
    every, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    up, down, distance = every, 0, len(one)
    for character in other:
        matches = positions.get(character, 0)
        diagonal = (((matches & up) + up) ^ up) | matches | down
        right_up = down | ~(diagonal | up)
        right_down = up & diagonal
        if right_up & last:
            distance += 1
        elif right_down & last:
            distance -= 1
        right_up = (right_up << 1) | 1
        up = ((right_down << 1) | ~(diagonal | right_up)) & every
        down = right_up & diagonal & every
    return distance


def common_subsequence(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence (bit-parallel: Crochemore et al. 2001)."""
    positions = _positions(one)
    every = (1 << len(one)) - 1
    rest = every
    for value in other:
        matches = rest & positions.get(value, 0)
        rest = ((rest + matches) | (rest - matches)) & every
    return len(one) - rest.bit_count()


def _positions(values: Sequence[Hashable]) -> dict[Hashable, int]:
    positions: dict[Hashable, int] = {}
    for index, value in enumerate(values):
        positions[value] = positions.get(value, 0) | 1 << index
    return positions
