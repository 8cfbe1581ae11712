"""How much evidence there is, for monitoring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.serving.journal_reader import JournalPosition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trimtab.evidence.log import LiveFile

__all__ = ["EvidenceState", "Held"]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Files of one kind of event."""

    files: int = 0
    rows: int = 0
    size: int = 0
    """Bytes."""


class EvidenceState(msgspec.Struct, frozen=True, kw_only=True):
    """What one machine has in files, and how far it moved its journals there."""

    kinds: dict[str, Held]
    newest_ms: int
    """Of the events in files, the time of the newest; 0 where there are none."""
    cursors: dict[str, JournalPosition]

    @classmethod
    def of(cls, files: Iterable[LiveFile], cursors: Mapping[str, JournalPosition]) -> EvidenceState:
        """Sum up the files that count."""
        kinds: dict[str, Held] = {}
        newest_ms = 0
        for file in files:
            held = kinds.get(file.kind, Held())
            kinds[file.kind] = Held(files=held.files + 1, rows=held.rows + file.rows, size=held.size + file.size)
            newest_ms = max(newest_ms, file.newest_ms)
        return cls(kinds=kinds, newest_ms=newest_ms, cursors=dict(cursors))
