"""What happened to the events of one journal."""

from __future__ import annotations

import msgspec

__all__ = ["JournalCounters"]


class JournalCounters(msgspec.Struct):
    """What happened to events, for health checks."""

    recorded: int = 0
    durable: int = 0
    """Fsynced."""
    dropped: int = 0
    """Refused: the disk would not take them and the buffer was full, there was no room, or the journal was closed."""
    problem: str = ""
    """Why the last write failed; empty while all is well."""
