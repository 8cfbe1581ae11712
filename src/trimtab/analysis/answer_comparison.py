"""What is kept of the answers that were compared."""

from __future__ import annotations

import msgspec

from trimtab.analysis.arms import Arms
from trimtab.stats.two_sample import TwoSampleBetting

__all__ = ["AnswerComparison"]


class AnswerComparison(msgspec.Struct, kw_only=True):
    """How the texts of the arms' answers compare, one answer per live unit; below 6 kB, whatever was seen."""

    betting: TwoSampleBetting = msgspec.field(default_factory=TwoSampleBetting)
    units: Arms = msgspec.field(default_factory=Arms)
    """Units of which an answer was compared or waits for another's."""
    stage: int = -1
    """The latest step of which an answer came: answers meet within one step."""
    uncaptured: int = 0
    """Answers that were given, and recorded without their text."""
