"""One writer at a time across processes and threads, first come, first served.

A bare file lock starves: whoever lets go takes it again before the others wake. Here every writer draws a ticket, a
numbered file in a queue folder that it keeps locked while it waits and works, and waits for all smaller numbers to be
let go. The kernel lets go for whoever dies, holder or waiter; the file that is left behind counts for nothing and is
swept away by the next in line.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from typing import TYPE_CHECKING

from trimtab.core.errors import StorageError
from trimtab.storage.refusals import nested_write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["WriteLock"]

_GATE = "gate"
_POLL_SECONDS = 0.0005
_MAX_POLL_SECONDS = 0.004
"""Who waits longer looks more seldom. The order is fixed by the tickets, so looking seldom costs no turn."""


class WriteLock:
    """Reusable and thread-safe; not reentrant. Local file systems only (`flock`)."""

    def __init__(self, folder: Path, *, timeout_seconds: float = 30.0) -> None:
        """`folder` holds the queue and is made when first needed."""
        self._folder = folder
        self._timeout_seconds = timeout_seconds
        self._holder: int | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises `StorageError`: `nested_write` where this thread holds it already, `write_lock_timeout` where others keep
        it too long, `write_lock_unavailable` where the queue folder cannot be written.
        """
        if self._holder == threading.get_ident():
            raise nested_write(str(self._folder))
        deadline = time.monotonic() + self._timeout_seconds
        with self._translating():
            ticket, descriptor, earlier = self._draw(deadline)
        try:
            with self._translating():
                for number in earlier:
                    self._outlast(number, deadline)
            self._holder = threading.get_ident()
            try:
                yield
            finally:
                self._holder = None
        finally:
            self._leave(ticket, descriptor)

    def _draw(self, deadline: float) -> tuple[int, int, list[int]]:
        """Return a new ticket, the descriptor that keeps it, and the numbers before it."""
        gate = self._open_gate()
        try:
            self._wait_for(gate, fcntl.LOCK_EX, deadline)
            earlier = sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdecimal())
            number = earlier[-1] + 1 if earlier else 1
            descriptor = os.open(self._path(number), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody looks at it before the gate opens
            except BaseException:
                os.close(descriptor)
                raise
            return number, descriptor, earlier
        finally:
            os.close(gate)

    def _open_gate(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self._folder / _GATE, flags, 0o600)
        except FileNotFoundError:
            self._folder.mkdir(exist_ok=True)
            return os.open(self._folder / _GATE, flags, 0o600)

    def _outlast(self, number: int, deadline: float) -> None:
        """Wait until a ticket is let go: given back by its writer, or left behind by one that died."""
        try:
            descriptor = os.open(self._path(number), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            self._wait_for(descriptor, fcntl.LOCK_SH, deadline)
            self._path(number).unlink(missing_ok=True)  # numbers below a live ticket are never drawn again
        finally:
            os.close(descriptor)

    def _wait_for(self, descriptor: int, kind: int, deadline: float) -> None:
        pause_seconds = _POLL_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise self._timeout() from None
                time.sleep(pause_seconds)
                pause_seconds = min(1.2 * pause_seconds, _MAX_POLL_SECONDS)
            else:
                return

    def _leave(self, number: int, descriptor: int) -> None:
        """Give a ticket back, unlocking it by name: a child forked meanwhile may hold the descriptor still."""
        with contextlib.suppress(OSError):  # a file that stays is swept away by the next in line
            self._path(number).unlink()
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)

    def _path(self, number: int) -> Path:
        return self._folder / str(number)

    @contextlib.contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                "write_lock_unavailable",
                f"cannot queue for the write lock: {error.strerror}",
                param=str(self._folder),
                hint="the data directory must be writable, with disk space left",
            ) from error

    def _timeout(self) -> StorageError:
        return StorageError(
            "write_lock_timeout",
            f"other writers held the lock for more than {self._timeout_seconds:g} s",
            param=str(self._folder),
            hint="is a trimtab process stopped (SIGSTOP) or its disk stuck? `fuser` on the folder's files names it",
        )
