"""Where the controller writes registered scorers' results: a journal of its own, so that a trace shows them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from trimtab.events import encode_event
from trimtab.events.model import subject_time_ms
from trimtab.serving.journal import JournalWriter
from trimtab.serving.recordable import without_content

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trimtab.events import Score
    from trimtab.serving.disk_budget import JournalLimits

__all__ = ["ScoreJournal", "is_score_journal"]


_KIND = "controller-"


def is_score_journal(process: str) -> bool:
    """Return whether a journal holds what a controller made of events that it had read."""
    return process.startswith(_KIND)


class ScoreJournal:
    """A `rollout.ports.ScoreSink`. Scores are derived: where the disk refuses them, they are dropped and counted."""

    def __init__(self, journals: Path, limits: JournalLimits | None = None) -> None:
        self._writer = JournalWriter(journals / f"{_KIND}{os.getpid()}-{os.urandom(4).hex()}", limits=limits)

    def record(self, scores: Sequence[Score]) -> None:
        """Append scores; a repeated one has the same id and is read once."""
        shortage = self._writer.shortage
        for score in scores:
            kept = without_content(score, shortage.code) if shortage else score
            self._writer.append(encode_event(kept), subject_time_ms(score))

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()
