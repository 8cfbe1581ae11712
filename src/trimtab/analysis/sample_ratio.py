"""Sample ratio: whether candidate and matched control get the units that their weights promise.

Counted are users as they come into the comparison: each once, when its first window opens. Only the two arms that are
compared are looked at; to count the rest of stable, every user of the feature would have to be remembered.

What share is due to whom, and of which users, is told by a :class:`Split` per step (see `rollout.splits`). Steps of
one weight are one level: they draw from the same split, and each level is tested by itself.

Users are counted by when they came, and not before everybody who came then has had time to be answered: a candidate
that answers slowly reports its users later than control does, which is no mismatch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.words import odds
from trimtab.stats import SampleRatio

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LevelState", "RatioEvidence", "Split", "count_unit", "ripen", "weigh_ratio"]

_COHORT_MS = 5_000
_PATIENCE_MS = 120_000
"""How long after its request an answer may come and its user still be counted with those of the same moment."""


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """How the users who are met for the first time in a step divide between candidate and matched control."""

    level: int
    """The step that set the weight in force."""
    weight: float
    """Share of all users on the candidate, in (0, 1)."""
    candidate: float
    """The candidate's share of those counted, in (0, 1)."""
    fringe: float = 0.5
    """Only users whose position is below it, or at least 1 minus it, are counted; 0.5 counts all."""


class LevelState(msgspec.Struct, kw_only=True):
    """What was counted at one weight."""

    test: SampleRatio
    """Candidate first, matched control second."""
    waiting: dict[int, list[int]] = {}
    """By when they came: users who are not in the test yet, because answers of that time may still be on their way."""


class RatioEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """How the sizes of the arms fit, at one weight."""

    stage: int
    """Index of the step that set the weight."""
    weight: float
    candidate_units: int
    control_units: int
    expected_candidate: float
    """The candidate's share of both, in (0, 1)."""
    evidence: float
    """Largest E so far against the expected shares."""
    limit: float
    broken: bool
    """`evidence` reached `limit`."""
    words: str


def count_unit(levels: dict[int, LevelState], split: Split, *, is_candidate: bool, position: float, at_ms: int) -> None:
    """Count a user who came into the comparison; `position` is where the assignment put it in [0, 1)."""
    if split.fringe <= position < 1.0 - split.fringe:
        return
    level = levels.get(split.level)
    if level is None:
        level = LevelState(test=SampleRatio.start([split.candidate, 1.0 - split.candidate]))
        levels[split.level] = level
    counts = level.waiting.setdefault(at_ms // _COHORT_MS, [0, 0])
    counts[0 if is_candidate else 1] += 1


def ripen(levels: Mapping[int, LevelState], now_ms: int) -> bool:
    """Take users into the tests who came long enough ago; returns whether there were any."""
    changed = False
    for level in levels.values():
        for cohort in sorted(level.waiting):
            if (cohort + 1) * _COHORT_MS + _PATIENCE_MS <= now_ms:
                level.test.add(level.waiting.pop(cohort))
                changed = True
    return changed


def weigh_ratio(
    levels: Mapping[int, LevelState], splits: Mapping[int, Split], *, limit: float, unit: str = "user"
) -> list[RatioEvidence]:
    """Return how the sizes of the arms fit at each weight at which anybody was counted, in order of steps."""
    by_level = {split.level: split for split in splits.values()}
    return [
        _weigh(levels[number].test, split, limit, unit)
        for number, split in sorted(by_level.items())
        if number in levels and levels[number].test.units
    ]


def _weigh(test: SampleRatio, split: Split, limit: float, unit: str) -> RatioEvidence:
    candidate, control = test.counts
    broken = test.peak >= limit
    due = test.units * split.candidate
    words = (
        f"The arms' sizes {'do not fit' if broken else 'fit'} at weight {100 * split.weight:g} %: "
        f"{candidate:,} candidate {unit}s and {control:,} control {unit}s came into the comparison, "
        f"{due:,.0f} and {test.units - due:,.0f} were due ({100 * split.candidate:.3g} : "
        f"{100 * (1 - split.candidate):.3g}); evidence {odds(test.peak)} against that split, limit {odds(limit)}."
    )
    if broken:
        words += f" {unit.capitalize()}s are lost on the way into one arm, so what is compared is not alike."
    return RatioEvidence(
        stage=split.level,
        weight=split.weight,
        candidate_units=candidate,
        control_units=control,
        expected_candidate=split.candidate,
        evidence=test.peak,
        limit=limit,
        broken=broken,
        words=words,
    )
