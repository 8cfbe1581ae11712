"""How far what is recorded was sent on: a file, replaced whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.serving.journal_reader import JournalPosition

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EXPORT_FILE", "ExportState", "read_export_state"]

EXPORT_FILE = "otlp.bin"


class ExportState(msgspec.Struct):
    """How far it is. Kept in a file."""

    version: int = 1
    cursors: dict[str, JournalPosition] = {}
    sent: dict[str, int] = {}
    """Spans and log events that the collector took, by signal."""
    rejected: dict[str, int] = {}
    """Those that it refused for good."""
    unsampled: int = 0
    lost: int = 0
    """Events whose journals were deleted or damaged before they were read."""
    at_ms: int = 0
    """When everything up to the cursors had been taken."""


def read_export_state(path: Path) -> ExportState:
    """Return the state in a file; a fresh one where there is none or it cannot be read."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=ExportState)
    except (OSError, msgspec.DecodeError):
        return ExportState()
