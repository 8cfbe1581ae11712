"""What the processes of one machine have used of a team's limits: one small mapped file, one slot per process.

Each slot is written by its owner alone, so nobody waits for a lock while a request is served. A process owns a slot by
a lock on the slot's own byte, which the kernel takes back when the process ends, however it ends. Whoever takes a slot
over goes on with what was spent in it today, so money survives restarts and kill -9.

    slot: eight u64 in native byte order: minute | requests in it | requests in the minute before
          | day | micro-dollars spent in it | requests in flight | heartbeat, ms | nothing
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SLOTS", "UsageFile", "UsageSlots", "Used"]

SLOTS: Final = 128
_WORDS: Final = 8
_BYTES: Final = SLOTS * _WORDS * 8
_MINUTE: Final = 0
_NOW: Final = 1
_BEFORE: Final = 2
_DAY: Final = 3
_SPENT: Final = 4
_FLYING: Final = 5
_HEARTBEAT: Final = 6
_LOCK: Final = struct.Struct("hhqqi4x")
_SILENT_MS: Final = 5_000
"""A process that has not shown itself for so long has nothing in flight any more."""


class Used(NamedTuple):
    """What slots say of one moment."""

    this_minute: int
    last_minute: int
    micro_usd: int
    in_flight: int


class UsageSlots:
    """The slots in memory; `own` is this process's. Also used without a file, where the disk refuses one."""

    def __init__(self, memory: memoryview, own: int) -> None:
        self._words = memory.cast("Q")
        self._own = own * _WORDS

    def others(self, minute: int, day: int, now_ms: int) -> Used:
        """Return what all other processes have used."""
        words = self._words
        now = before = spent = flying = 0
        heartbeats: list[int] = words[_HEARTBEAT::_WORDS].tolist()  # at once: nearly all slots are free
        for slot, heartbeat in enumerate(heartbeats):
            start = slot * _WORDS
            if start == self._own or not heartbeat:
                continue
            at = words[start + _MINUTE]
            if at == minute:
                now += words[start + _NOW]
                before += words[start + _BEFORE]
            elif at == minute - 1:
                before += words[start + _NOW]
            if words[start + _DAY] == day:
                spent += words[start + _SPENT]
            if abs(now_ms - heartbeat) < _SILENT_MS:
                flying += words[start + _FLYING]
        return Used(now, before, spent, flying)

    def mine(self) -> Used:
        """Return what this process has used, of the minute and day it was last told of."""
        words, own = self._words, self._own
        return Used(words[own + _NOW], words[own + _BEFORE], words[own + _SPENT], words[own + _FLYING])

    def turn(self, minute: int, day: int) -> None:
        """Begin a new minute or day where one has begun. A clock set back by more than a minute begins anew, too."""
        words, own = self._words, self._own
        at = words[own + _MINUTE]
        if at not in {minute, minute + 1}:  # within a minute ahead: the clock was mended, not turned back
            words[own + _BEFORE] = words[own + _NOW] if at == minute - 1 else 0
            words[own + _NOW] = 0
            words[own + _MINUTE] = minute
        if words[own + _DAY] != day:
            words[own + _SPENT] = 0
            words[own + _DAY] = day

    def began(self) -> None:
        """Count a request that was admitted."""
        words, own = self._words, self._own
        words[own + _NOW] += 1
        words[own + _FLYING] += 1

    def ended(self, micro_usd: int) -> None:
        """Count its end and what it cost."""
        words, own = self._words, self._own
        if words[own + _FLYING]:
            words[own + _FLYING] -= 1
        words[own + _SPENT] += micro_usd

    def beat(self, now_ms: int) -> None:
        """Show that this process lives."""
        self._words[self._own + _HEARTBEAT] = now_ms

    def reset_flights(self) -> None:
        """Forget what the slot's former owner had in flight."""
        self._words[self._own + _FLYING] = 0


class UsageFile:
    """A team's file, with a slot taken."""

    def __init__(self, path: Path) -> None:
        """Open or make the file and take a free slot; raises `OSError` where the disk refuses or no slot is free."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(self._descriptor, 0, _BYTES)  # a hole of a full disk would kill the process when written
            self._slot = slot = self._take()
            self._map = mmap.mmap(self._descriptor, _BYTES)
        except OSError:
            os.close(self._descriptor)
            raise
        self.slots = UsageSlots(memoryview(self._map), slot)
        self.slots.reset_flights()

    def close(self) -> None:
        """Give the slot back; what was spent in it stays."""
        self.slots.reset_flights()
        self._lock(fcntl.F_UNLCK, self._slot)  # the map holds the file open as long as anybody holds the map
        os.close(self._descriptor)

    def _take(self) -> int:
        for slot in range(SLOTS):
            # Owned by the open file, not by the process: two meters of one process are two owners (Linux, fcntl(2)).
            try:
                self._lock(fcntl.F_WRLCK, slot)
            except BlockingIOError:
                continue
            return slot
        raise OSError(f"all {SLOTS} slots are taken")

    def _lock(self, kind: int, slot: int) -> None:
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _LOCK.pack(kind, os.SEEK_SET, slot, 1, 0))


def in_memory() -> UsageSlots:
    """Return slots that nobody shares."""
    return UsageSlots(memoryview(bytearray(_BYTES)), 0)
