"""What is kept of units that a judge scored."""

from __future__ import annotations

import msgspec

from trimtab.analysis.arms import Arms, Side
from trimtab.stats.judged import LabelledScores

__all__ = ["JudgedUnits"]


class JudgedUnits(msgspec.Struct, kw_only=True):
    """What a judge said of live units, and what people's labels say of the judge."""

    scores: LabelledScores = msgspec.field(default_factory=LabelledScores)
    units: Arms = msgspec.field(default_factory=Arms)
    """Units that the judge scored."""
    since_label: dict[int, dict[Side, tuple[float, int]]] = {}
    """By stage and side: sum and number of the judge's scores since the last label."""
    unlearned: dict[int, list[tuple[float, float]]] = {}
    """By stage: judge's score and label of units of which some pair is still open."""
