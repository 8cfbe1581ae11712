"""How much of a disk journals may use, and what gives way first where that is used up.

In this order: journals whose events are in files already (the server deletes them, see `salvage.reclaim`); the content
of new events, prompts and answers; new events. Withdrawals are written as long as a byte can be. What was recorded is
never given up for what is new.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Annotated

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["DiskBudget", "JournalLimits", "Shortage", "bytes_used"]

_CONTENT_SHARE = 0.8
"""Of `max_bytes`: from here on new events are written without content."""
_EVENTS_SHARE = 0.25
"""Of `min_free_bytes`: below it new events are not written at all, so that control state still can be."""
_LOOK_SECONDS = 1.0
_LOOK_SHARE = 100.0
"""A look at a folder of thousands of journals is repeated after this many times what it took."""
_BLOCK = 512


class JournalLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the journals of one data directory may use of its disk, and how long a segment of theirs is written to."""

    max_bytes: Annotated[int, msgspec.Meta(gt=0)] = 10 * 1024**3
    """Of all processes together. From half of it on the server deletes journals whose events are in files, the oldest
    first; from four fifths new events are written without content; at all of it they are dropped, and counted."""
    min_free_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 * 1024**2
    """Free space below which new events are written without content; below a quarter of it they are dropped."""
    segment_seconds: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    """How long a process writes to one segment. What is in a closed one can be deleted while its process lives."""


class Shortage(msgspec.Struct, frozen=True):
    """Why new events are not written whole."""

    code: str
    """What events without content say in `content_dropped`: `journal_full`, `disk_low`, `disk_slow`, `write_failed`."""
    message: str
    refuses: bool = False
    """Whether events are dropped and not only their content."""


class DiskBudget:
    """One process's view of it. What the process itself wrote counts at once, what others wrote at the next look."""

    def __init__(
        self, journals: Path, limits: JournalLimits, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._journals = journals
        self._limits = limits
        self._monotonic = monotonic
        self._looked_at = -float("inf")
        self._wait = 0.0
        self._used = 0
        self._free = 1 << 62

    def wrote(self, size: int) -> None:
        """Count bytes that this process wrote."""
        self._used += size
        self._free = max(0, self._free - size)

    def shortage(self) -> Shortage | None:
        """Return what is short now, looking at the disk where the last look is old."""
        began = self._monotonic()
        if began - self._looked_at >= self._wait:
            self._looked_at = began
            with contextlib.suppress(OSError):  # a folder that goes while it is looked at: the last numbers hold
                self._used = bytes_used(self._journals)
                disk = os.statvfs(self._journals)
                self._free = disk.f_bavail * disk.f_frsize
            self._wait = max(_LOOK_SECONDS, (self._monotonic() - began) * _LOOK_SHARE)
        return self._judged()

    def _judged(self) -> Shortage | None:
        limits = self._limits
        used, free = self._used, self._free
        if used >= _CONTENT_SHARE * limits.max_bytes:
            full = used >= limits.max_bytes
            seen = f"journals hold {_mib(used)} of {_mib(limits.max_bytes)} (journal.max_bytes)"
            return Shortage("journal_full", f"{seen}: {_consequence(refuses=full)}", full)
        if free < limits.min_free_bytes:
            out = free < _EVENTS_SHARE * limits.min_free_bytes
            seen = f"the disk has {_mib(free)} left, under {_mib(limits.min_free_bytes)} (journal.min_free_bytes)"
            return Shortage("disk_low", f"{seen}: {_consequence(refuses=out)}", out)
        return None


def bytes_used(journals: Path) -> int:
    """Return what the journals of all processes take of the disk; raises `OSError`."""
    total = 0
    with os.scandir(journals) as folders:
        for folder in folders:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder.path) as files:
                for file in files:
                    with contextlib.suppress(FileNotFoundError):
                        total += file.stat().st_blocks * _BLOCK
    return total


def _consequence(*, refuses: bool) -> str:
    return "new events are dropped" if refuses else "new events are written without content"


def _mib(size: int) -> str:
    return f"{size / 1024**2:,.0f} MiB"
