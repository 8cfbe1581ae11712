"""One file per data directory with what was counted; whoever holds its lock counts on, everybody may read it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

import msgspec

from trimtab.serving.durable_file import write_atomically
from trimtab.serving.process_status import read_processes
from trimtab.telemetry.follower import follow
from trimtab.telemetry.tally import Tally, TallyCounter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trimtab.serving.directory import DataDirectory

__all__ = ["TallyKeeper", "claim", "read_tally", "refresh_tally"]

_AT_ONCE = 5_000
"""Events between two looks at whoever else wants to run."""
_FORGET_MS = 2 * 3_600_000
"""Longer than any status file lies around."""
_MOST_PER_REFRESH = 200_000
"""Bounds what a scrape costs where nobody else counts."""


def read_tally(directory: DataDirectory) -> Tally:
    """Return what was counted up to now; nothing where the file is not there or not readable."""
    try:
        return msgspec.msgpack.decode(_file(directory).read_bytes(), type=Tally)
    except (OSError, msgspec.DecodeError):
        return Tally()


def refresh_tally(directory: DataDirectory, *, now_ms: int) -> Tally:
    """Return the counts, brought up to date where nobody else sees to that."""
    with claim(directory.telemetry / "tally.lock") as mine:
        if not mine:
            return read_tally(directory)
        keeper = TallyKeeper(directory)
        keeper.catch_up(now_ms=now_ms, limit=_MOST_PER_REFRESH)
        return keeper.tally


@contextlib.contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Hold a lock if nobody does; yields whether it is held. `False` also where the folder cannot be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = False
        else:
            held = True
        yield held
    finally:
        os.close(descriptor)


class TallyKeeper:
    """Counts on from the file. Used by whoever holds the lock."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self.tally = read_tally(directory)
        self._counter = TallyCounter(self.tally)

    def catch_up(self, *, now_ms: int, limit: int) -> bool:
        """Count what is new, about `limit` events at most, and write the file; returns whether more is waiting.

        Raises `StorageError` where it cannot be written; the next keeper then counts again from the file of before.
        """
        tally = self.tally
        counted, more = 0, True
        while more and counted < limit:
            followed = follow(self._directory.journals, tally.cursors, self._counter.count, limit=_AT_ONCE)
            tally.cursors = followed.cursors
            tally.damaged += followed.damaged
            tally.missing += followed.missing
            counted += followed.records
            more = followed.more
            time.sleep(0)  # this may be a thread of a process that serves
        statuses = read_processes(self._directory.processes, environment=None, now_ms=now_ms)
        self._counter.observe(statuses, now_ms=now_ms, forget_ms=_FORGET_MS)
        tally.at_ms = now_ms
        write_atomically(_file(self._directory), msgspec.msgpack.encode(tally), durable=False)
        return more


def _file(directory: DataDirectory) -> Path:
    return directory.telemetry / "tally.bin"
