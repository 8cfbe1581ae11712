"""Copies of requests for a shadowed candidate: after the user was answered, bounded, never in anybody's way."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Mirror", "MirrorQueue"]


class Mirror(Protocol):
    """One copy of a request."""

    size: int
    """Bytes of the request that it holds on to."""

    def start(self, done: Callable[[], None]) -> None:
        """Send it; `done` is called once, when its answer or failure is recorded."""
        ...

    def cancel(self) -> None:
        """Give it up; `done` is still called."""
        ...

    def drop(self, code: str) -> None:
        """Note, as an event with this error code, that it was never sent."""
        ...


class MirrorQueue:
    """Runs a bounded number of mirrors at once, keeps a bounded number and size waiting, drops and counts the rest."""

    def __init__(self, *, concurrency: int, waiting: int, waiting_bytes: int = 64 * 1024 * 1024) -> None:
        self._concurrency = concurrency
        self._limit = waiting
        self._limit_bytes = waiting_bytes
        self._waiting: deque[Mirror] = deque()
        self._waiting_bytes = 0
        self._active: set[Mirror] = set()
        self.sent = 0
        self.dropped = 0

    @property
    def pending(self) -> int:
        """Mirrors that run or wait."""
        return len(self._active) + len(self._waiting)

    def submit(self, mirror: Mirror) -> None:
        """Take a mirror, or drop it (`mirror_overloaded`) where too many, or too large ones, wait."""
        if len(self._active) < self._concurrency:
            self._start(mirror)
        elif len(self._waiting) < self._limit and self._waiting_bytes + mirror.size <= self._limit_bytes:
            self._waiting.append(mirror)
            self._waiting_bytes += mirror.size
        else:
            self.dropped += 1
            mirror.drop("mirror_overloaded")

    def abandon(self) -> None:
        """Give up whatever has not been answered (the process ends): all of it is recorded as `mirror_abandoned`."""
        self.dropped += len(self._waiting)
        waiting, self._waiting = self._waiting, deque()
        self._waiting_bytes = 0
        for mirror in waiting:
            mirror.drop("mirror_abandoned")
        for mirror in tuple(self._active):
            mirror.cancel()

    def _start(self, mirror: Mirror) -> None:
        self._active.add(mirror)
        self.sent += 1
        mirror.start(lambda: self._done(mirror))

    def _done(self, mirror: Mirror) -> None:
        self._active.discard(mirror)
        if self._waiting and len(self._active) < self._concurrency:
            following = self._waiting.popleft()
            self._waiting_bytes -= following.size
            self._start(following)
