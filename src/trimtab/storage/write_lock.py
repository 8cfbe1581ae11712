"""One writer at a time across processes, in turn.

A bare file lock starves: whoever lets go takes it again before the others wake. Here a writer first passes a gate and
holds it until the lock itself is its own, so that somebody who has just written queues behind everybody who waits.
Both are kernel locks: killing a holder or a waiter frees them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from typing import TYPE_CHECKING

from trimtab.core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["WriteLock"]

_POLL_SECONDS = 0.0005
_MAX_POLL_SECONDS = 0.01


class WriteLock:
    """Reusable, thread-safe, not reentrant."""

    def __init__(self, path: Path, *, timeout_seconds: float = 30.0) -> None:
        """`path` and `path.gate` are made when first needed."""
        self._path = path
        self._gate_path = path.with_name(f"{path.name}.gate")
        self._timeout_seconds = timeout_seconds
        self._threads = threading.Lock()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; raises `StorageError` (`write_lock_timeout`) where others keep it too long."""
        deadline = time.monotonic() + self._timeout_seconds
        if not self._threads.acquire(timeout=self._timeout_seconds):
            raise self._timeout()
        try:
            gate = self._acquire(self._gate_path, deadline)
            try:
                lock = self._acquire(self._path, deadline)
            finally:
                os.close(gate)
            try:
                yield
            finally:
                os.close(lock)
        finally:
            self._threads.release()

    def _acquire(self, path: Path, deadline: float) -> int:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(
                "write_lock_unavailable", f"cannot open the write lock: {error.strerror}", param=str(path)
            ) from error
        pause_seconds = _POLL_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise self._timeout() from None
                time.sleep(pause_seconds)
                pause_seconds = min(1.5 * pause_seconds, _MAX_POLL_SECONDS)
            else:
                return descriptor

    def _timeout(self) -> StorageError:
        return StorageError(
            "write_lock_timeout",
            f"another process held the write lock for more than {self._timeout_seconds:.0f} s",
            param=str(self._path),
            hint="is a trimtab process stopped (SIGSTOP) or its disk stuck? `fuser` on the file names it",
        )
