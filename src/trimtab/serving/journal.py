"""Writing the journal: events are copied into the hot buffer, a thread turns them into fsynced frames.

`append` costs a memory copy. Nothing recorded is lost by killing the process; losing power loses at most what the last
flush did not cover (see docs/decisions/0002). What it takes is bounded: of memory two halves of a buffer and a frame,
of the disk what `disk_budget` says.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final

from trimtab.core.errors import StorageError
from trimtab.serving.disk_budget import DiskBudget, JournalLimits, Shortage
from trimtab.serving.frames import encode_frame
from trimtab.serving.hot_buffer import HALF_BYTES, HotBuffer
from trimtab.serving.journal_counters import JournalCounters
from trimtab.serving.journal_folder import HOT_FILE, append_frame, claim, open_segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trimtab.serving.hot_buffer import HotHalf

__all__ = ["JournalWriter"]

SEGMENT_BYTES: Final = 64 * 1024 * 1024
_FLUSH_SECONDS: Final = 0.05
_JOIN_SECONDS: Final = 5.0
_SLOW: Final = Shortage(
    "disk_slow",
    "the disk takes longer to write than events take to fill the buffer: new events are written without content",
)
"""What is left of the buffer holds several times as many events without content."""


class _Orphan:
    """Lets a forked child let go of its parent's lock: else the parent would seem alive as long as the child is."""

    def __init__(self, writer: JournalWriter) -> None:
        self.writer: JournalWriter | None = writer
        """`None` once it is closed: what is to be done in children is never forgotten."""

    def __call__(self) -> None:
        if self.writer is not None:
            self.writer.disown()


class JournalWriter:
    """The journal of this process; thread-safe."""

    def __init__(
        self,
        folder: Path,
        *,
        half_bytes: int = HALF_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        limits: JournalLimits | None = None,
        before_flush: Callable[[], bool] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make the folder; raises `StorageError` where it cannot be made or is owned by somebody else.

        `before_flush` is called by the flusher before each turn: it may append, and returns whether it wants to again.
        """
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._lock_file = claim(folder)
        try:
            self._hot = HotBuffer(folder / HOT_FILE, half_bytes=half_bytes)
        except StorageError:
            os.close(self._lock_file)
            raise
        self.largest_record = self._hot.largest_record
        """Bytes of the largest event that can be taken."""
        self._wake_bytes = half_bytes // 2
        self._append_lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._before_flush = before_flush
        self._segment = 0
        self._segment_size = 0
        self._segment_began = 0.0
        limits = limits or JournalLimits()
        self._segment_seconds = limits.segment_seconds
        self._monotonic = monotonic
        self._budget = DiskBudget(folder.parent, limits, monotonic=monotonic)
        self.counters = JournalCounters()
        self._dropped_told = 0
        self.shortage: Shortage | None = None
        """Why new events are to be written without content, or are not taken; `None` while there is room."""
        self._refuses = False
        self._look()
        self._wake = threading.Event()
        self._closed = False
        self._flusher = threading.Thread(target=self._run, name="trimtab-journal", daemon=True)
        self._flusher.start()
        self._orphan = _Orphan(self)
        os.register_at_fork(after_in_child=self._orphan)

    @property
    def alive(self) -> bool:
        """Whether the flusher runs."""
        return self._flusher.is_alive()

    def append(self, record: bytes, subject_ms: int, *, vital: bool = False) -> bool:
        """Copy one event into the hot buffer; returns whether it was taken. Never blocks on a disk.

        A `vital` one is taken as long as the buffer has room, whatever is short.
        """
        counters = self.counters
        with self._append_lock:
            used = 0 if self._closed or (self._refuses and not vital) else self._hot.append(record, subject_ms)
            if not used:
                counters.dropped += 1
                self._wake.set()
                return False
            counters.recorded += 1
        if used > self._wake_bytes:
            self._wake.set()  # a burst need not wait for the clock
            if self.shortage is None and self._hot.waits:
                self.shortage = _SLOW
        return True

    def flush(self, timeout_seconds: float) -> None:
        """Return when everything appended before is fsynced; raises `StorageError` where it cannot be."""
        deadline = time.monotonic() + timeout_seconds
        wanted = self.counters.recorded
        while self.counters.durable < wanted:
            if not self._flush_lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
                raise StorageError("flush_timeout", "the journal was not flushed in time", param=str(self._folder))
            try:
                if self._closed:
                    raise StorageError(
                        "closed", "the journal was closed before it was durable", param=str(self._folder)
                    )
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

    def vouch(self) -> None:
        """Raise `StorageError` (`events_dropped`) where events were not taken since the last call."""
        dropped = self.counters.dropped
        new, self._dropped_told = dropped - self._dropped_told, dropped
        if new:
            raise StorageError(
                "events_dropped",
                f"{new:,} events since the last flush were not taken",
                param=str(self._folder),
                hint=self.shortage.message if self.shortage else "`health()` tells how many in all",
            )

    def close(self) -> None:
        """Flush what can be flushed and let go of the folder; what remains is salvaged by the next reader."""
        with self._append_lock:
            if self._closed:
                return
            self._closed = True
        self._orphan.writer = None
        self._wake.set()
        self._flusher.join(_JOIN_SECONDS)
        if not self._flush_lock.acquire(timeout=_JOIN_SECONDS):
            return  # the disk hangs; the lock goes with the process
        try:
            self._flush_once()
            self._flush_once()
            empty = self.counters.durable == self.counters.recorded
            self._hot.close()
            if empty:
                (self._folder / HOT_FILE).unlink(missing_ok=True)
            os.close(self._lock_file)
        finally:
            self._flush_lock.release()

    def disown(self) -> None:
        """In a forked child: close the inherited lock without unlocking it, and take no more events."""
        self._append_lock = threading.Lock()  # another thread of the parent may have held them
        self._flush_lock = threading.Lock()
        self._wake = threading.Event()
        if not self._closed:
            self._closed = True
            os.close(self._lock_file)

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(_FLUSH_SECONDS)
            self._wake.clear()
            more = True
            while more:
                more = self._before_flush is not None and self._before_flush()
                with self._flush_lock:
                    self._flush_once()
                    self._turn_segment()
            self._look()

    def _look(self) -> None:
        """Learn what is short, for the events to come."""
        problem = self.counters.problem
        shortage = self._budget.shortage()
        if shortage is None and problem:
            shortage = Shortage("write_failed", f"journals cannot be written: {problem}")
        self.shortage = shortage
        self._refuses = shortage is not None and shortage.refuses

    def _flush_once(self) -> None:
        """Write the half that was filling, or the one that a failure left behind. Called under the flush lock."""
        with self._append_lock:
            half = self._hot.swap()
        if half is None:
            return
        try:
            self._write(half)
        except (OSError, MemoryError) as error:
            self.counters.problem = getattr(error, "strerror", None) or str(error) or "out of memory"
            return
        self._hot.done()
        self.counters.problem = ""
        self.counters.durable += half.events
        self._look()  # a burst that fills the disk is to be noticed by its first half, not at the next turn

    def _write(self, half: HotHalf) -> None:
        frame = encode_frame(half.records, events=half.events, first_sequence=half.first_sequence, span_ms=half.span_ms)
        if self._segment_size and self._segment_size + len(frame) > self._segment_bytes:
            self._segment += 1
            self._segment_size = 0
        append_frame(self._folder, self._segment, frame)
        if not self._segment_size:
            self._segment_began = self._monotonic()
        self._segment_size += len(frame)
        self._budget.wrote(len(frame))

    def _turn_segment(self) -> None:
        """Close a segment that was written to for long enough: what is in a closed one can be deleted."""
        if not self._segment_size or self._monotonic() - self._segment_began < self._segment_seconds:
            return
        try:
            open_segment(self._folder, self._segment + 1)
        except OSError:
            return  # at the next turn
        self._segment += 1
        self._segment_size = 0
