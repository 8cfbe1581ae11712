"""How the loops of a process fare: when each last did its work, and what keeps it from it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from trimtab.core.clock import Clock

__all__ = ["LoopState", "LoopWatch"]


class LoopState(msgspec.Struct, frozen=True, kw_only=True):
    """One loop."""

    name: str
    turned_ms: int
    """When it last came round, well or not; when it began, before the first time."""
    succeeded_ms: int
    """When it last did its work; 0 before the first time."""
    problem: str = ""
    """Why its last turn failed; empty where it did not."""
    failures: int = 0
    """Turns that failed, ever."""


class LoopWatch:
    """Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, LoopState] = {}

    def began(self, name: str) -> None:
        """A loop starts."""
        self._put(LoopState(name=name, turned_ms=self._clock.now_ms(), succeeded_ms=0))

    def succeeded(self, name: str) -> None:
        """It came round."""
        now_ms = self._clock.now_ms()
        self._put(msgspec.structs.replace(self._states[name], turned_ms=now_ms, succeeded_ms=now_ms, problem=""))

    def failed(self, name: str, problem: str) -> None:
        """It came round and could not do its work."""
        before = self._states[name]
        now_ms = self._clock.now_ms()
        self._put(msgspec.structs.replace(before, turned_ms=now_ms, problem=problem, failures=before.failures + 1))

    def states(self) -> list[LoopState]:
        """Return all loops, in the order in which they began."""
        with self._lock:
            return list(self._states.values())

    def _put(self, state: LoopState) -> None:
        with self._lock:
            self._states[state.name] = state
