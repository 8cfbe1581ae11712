"""Writing the journal: events are copied into the hot buffer, a thread turns them into fsynced frames.

`append` costs a memory copy. Nothing recorded is lost by killing the process; losing power loses at most what the last
flush did not cover (see docs/decisions/0002).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import StorageError
from trimtab.serving.frames import encode_frame, prefixed
from trimtab.serving.hot_buffer import HALF_BYTES, HotBuffer
from trimtab.serving.snapshot_file import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.serving.hot_buffer import HotHalf

__all__ = ["HOT_FILE", "LOCK_FILE", "JournalCounters", "JournalWriter", "append_frame", "segment_path", "segments"]

HOT_FILE = "hot.buffer"
LOCK_FILE = "owner.lock"
SEGMENT_BYTES = 64 * 1024 * 1024
_FLUSH_SECONDS = 0.05


class JournalCounters(msgspec.Struct):
    """What happened to events, for health checks."""

    recorded: int = 0
    durable: int = 0
    """Fsynced."""
    dropped: int = 0
    """Refused, because the disk would not take them and the buffer was full."""
    problem: str = ""
    """Why the last write failed; empty while all is well."""


def segment_path(folder: Path, number: int) -> Path:
    """Return the path of a segment."""
    return folder / f"{number:08d}.seg"


def segments(folder: Path) -> list[Path]:
    """Return the segments of a process, oldest first."""
    return sorted(folder.glob("*.seg"))


def append_frame(folder: Path, number: int, frame: bytes) -> None:
    """Append a frame to a segment and fsync it; on failure the segment is cut back to what it was."""
    path = segment_path(folder, number)
    fresh = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        try:
            written = 0
            while written < len(frame):
                written += os.pwrite(descriptor, frame[written:], size + written)
            os.fdatasync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
    if fresh:
        sync_folder(folder)


class _Orphan:
    """Lets a forked child let go of its parent's lock: else the parent would seem alive as long as the child is."""

    def __init__(self, writer: JournalWriter) -> None:
        self._writer = weakref.ref(writer)

    def __call__(self) -> None:
        writer = self._writer()
        if writer is not None:
            writer.disown()


class JournalWriter:
    """The journal of this process; thread-safe. The owner's lock tells readers that it lives."""

    def __init__(self, folder: Path, *, half_bytes: int = HALF_BYTES, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Make the folder; raises `StorageError` where it cannot be made or is owned by somebody else."""
        self._folder = folder
        self._segment_bytes = segment_bytes
        try:
            folder.mkdir(parents=True)
            self._lock_file = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(
                "journal_unavailable", f"the journal cannot be made: {error}", param=str(folder)
            ) from error
        self._hot = HotBuffer(folder / HOT_FILE, create=True, half_bytes=half_bytes)
        self._append_lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._half = 0
        self._segment = 0
        self._segment_size = 0
        self.counters = JournalCounters()
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="trimtab-journal", daemon=True)
        self._thread.start()
        os.register_at_fork(after_in_child=_Orphan(self))

    def append(self, record: bytes, subject_ms: int) -> bool:
        """Copy one event into the hot buffer; returns whether it was taken. Never blocks on a disk."""
        data = prefixed(record)
        with self._append_lock:
            if self._closed or not self._hot.append(self._half, data, subject_ms):
                self.counters.dropped += 1
                self._wake.set()
                return False
            self.counters.recorded += 1
            return True

    def flush(self, timeout_seconds: float) -> None:
        """Return when everything appended before is fsynced; raises `StorageError` where it cannot be."""
        deadline = time.monotonic() + timeout_seconds
        wanted = self.counters.recorded
        while self.counters.durable < wanted:
            if not self._flush_lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
                raise StorageError("flush_timeout", "the journal was not flushed in time", param=str(self._folder))
            try:
                self._flush_once()
            finally:
                self._flush_lock.release()
            if self.counters.problem:
                raise StorageError(
                    "journal_write_failed",
                    f"the journal cannot be written: {self.counters.problem}",
                    param=str(self._folder),
                    hint="is the disk full? Events are kept in memory-mapped buffers until they are full too",
                )

    def close(self) -> None:
        """Flush what can be flushed and let go of the folder; what remains is salvaged by the next reader."""
        with self._append_lock:
            if self._closed:
                return
            self._closed = True
        self._wake.set()
        self._thread.join()
        with self._flush_lock:
            self._flush_once()
            self._flush_once()
            empty = self.counters.durable == self.counters.recorded
            self._hot.close()
            if empty:
                (self._folder / HOT_FILE).unlink(missing_ok=True)
            os.close(self._lock_file)

    def disown(self) -> None:
        """In a forked child: close the inherited lock without unlocking it, and take no more events."""
        if not self._closed:
            self._closed = True
            os.close(self._lock_file)

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(_FLUSH_SECONDS)
            self._wake.clear()
            with self._flush_lock:
                self._flush_once()

    def _flush_once(self) -> None:
        """Write the half that is not filling (left by a failure), else swap halves and write the one that was."""
        with self._append_lock:
            idle = 1 - self._half
            half = self._hot.read(idle)
            if half is None:
                half = self._hot.read(self._half)
                if half is None:
                    return
                idle, self._half = self._half, idle
                self._hot.reset(self._half, first_sequence=half.first_sequence + half.events)
        try:
            self._write(half)
        except OSError as error:
            self.counters.problem = error.strerror or str(error)
            return
        self._hot.reset(idle, first_sequence=0)
        self.counters.problem = ""
        self.counters.durable += half.events

    def _write(self, half: HotHalf) -> None:
        frame = encode_frame(half.records, events=half.events, first_sequence=half.first_sequence, span_ms=half.span_ms)
        if self._segment_size and self._segment_size + len(frame) > self._segment_bytes:
            self._segment += 1
            self._segment_size = 0
        append_frame(self._folder, self._segment, frame)
        self._segment_size += len(frame)
