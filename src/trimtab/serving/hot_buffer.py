"""Memory that outlives its process: a preallocated file, mapped, into which events are copied as they happen.

Killing the process loses nothing that was committed, for the kernel owns the pages. Two halves take turns: one fills
while the other is compressed and fsynced. Per half: committed bytes u64, first sequence u64, events u64, oldest ms u64,
newest ms u64, then records. The committed length is stored after the record, as one aligned word, so that a reader of a
killed process's file never sees half an event.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["HALF_BYTES", "HotBuffer", "HotHalf"]

_STATE = struct.Struct("<QQQQQ")
_USED = struct.Struct("<Q")
_COUNTS = struct.Struct("<QQQQ")
_NEVER_MS = (1 << 63) - 1
HALF_BYTES = 4 * 1024 * 1024


class HotHalf(msgspec.Struct, frozen=True):
    """What one half of a hot buffer holds: everything a frame needs."""

    records: bytes
    first_sequence: int
    events: int
    span_ms: tuple[int, int]


class HotBuffer:
    """The mapped file. Not locked: the writer serialises."""

    def __init__(self, path: Path, *, create: bool, half_bytes: int = HALF_BYTES) -> None:
        """Create the file with its blocks reserved, or open an existing one; raises `StorageError`."""
        try:
            flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0)
            self._file = os.open(path, flags, 0o600)
            if create:
                # reserved now: writing into a hole of a full disk would kill the process (SIGBUS)
                os.posix_fallocate(self._file, 0, 2 * half_bytes)
            self._half = os.fstat(self._file).st_size // 2
            self._map = mmap.mmap(self._file, 2 * self._half)
        except (OSError, ValueError) as error:
            raise StorageError(
                "journal_unavailable", f"the journal's buffer cannot be made: {error}", param=str(path)
            ) from error
        if create:
            for half in (0, 1):
                self.reset(half, first_sequence=0)

    def append(self, half: int, record: bytes, subject_ms: int) -> bool:
        """Copy a record (with its length before it) into a half; returns whether there was room."""
        base = half * self._half
        used, first, events, oldest, newest = _STATE.unpack_from(self._map, base)
        start = base + _STATE.size + used
        end = start + len(record)
        if end > base + self._half:
            return False
        self._map[start:end] = record
        _COUNTS.pack_into(
            self._map, base + _USED.size, first, events + 1, min(oldest, subject_ms), max(newest, subject_ms)
        )
        _USED.pack_into(self._map, base, used + len(record))  # last: what is committed is whole
        return True

    def read(self, half: int) -> HotHalf | None:
        """Return what a half holds, or `None` where it is empty.

        Of a killed process `events` may count one event more than the records hold.
        """
        base = half * self._half
        used, first, events, oldest, newest = _STATE.unpack_from(self._map, base)
        if not used or used > self._half - _STATE.size:
            return None
        start = base + _STATE.size
        return HotHalf(self._map[start : start + used], first, events, (oldest, newest))

    def reset(self, half: int, *, first_sequence: int) -> None:
        """Empty a half; its next event will have `first_sequence`."""
        _STATE.pack_into(self._map, half * self._half, 0, first_sequence, 0, _NEVER_MS, 0)

    def close(self) -> None:
        """Unmap and close."""
        self._map.close()
        os.close(self._file)
