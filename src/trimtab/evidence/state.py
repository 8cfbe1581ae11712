"""How much evidence there is, for monitoring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.serving.journal_reader import JournalPosition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trimtab.evidence.log import LiveFile

__all__ = ["EvidenceState", "Held", "Owed"]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Files of one kind of event."""

    files: int = 0
    rows: int = 0
    size: int = 0
    """Bytes."""


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """Erasures that were asked for where evidence is kept, and that some writer has not carried out."""

    count: int = 0
    oldest_ms: int = 0
    """When the oldest was asked for, milliseconds since the Unix epoch; 0 where there is none."""
    waits_for: list[str] = []
    """Writers that have not carried out all of them."""
    patience_ms: int = 0
    """Older ones are worth a warning."""

    def late(self, now_ms: int) -> bool:
        """Return whether the oldest is worth a warning."""
        return self.count > 0 and now_ms - self.oldest_ms > self.patience_ms


_NOTHING_OWED = Owed()


class EvidenceState(msgspec.Struct, frozen=True, kw_only=True):
    """What one machine has in files, and how far it moved its journals there."""

    kinds: dict[str, Held]
    newest_ms: int
    """Of the events in files, the time of the newest; 0 where there are none."""
    cursors: dict[str, JournalPosition]
    owed: Owed = _NOTHING_OWED

    @classmethod
    def of(
        cls, files: Iterable[LiveFile], cursors: Mapping[str, JournalPosition], owed: Owed = _NOTHING_OWED
    ) -> EvidenceState:
        """Sum up the files that count."""
        kinds: dict[str, Held] = {}
        newest_ms = 0
        for file in files:
            held = kinds.get(file.kind, Held())
            kinds[file.kind] = Held(files=held.files + 1, rows=held.rows + file.rows, size=held.size + file.size)
            newest_ms = max(newest_ms, file.newest_ms)
        return cls(kinds=kinds, newest_ms=newest_ms, cursors=dict(cursors), owed=owed)
