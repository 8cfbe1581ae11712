"""Time as a value that is passed in, so that tests and simulations own it."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "FakeClock", "SystemClock"]


class Clock(Protocol):
    """Wall time for records, monotonic time for durations."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds from an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's clock."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    monotonic_ns = staticmethod(time.monotonic_ns)  # no frame of its own: it is read several times per request
    """Nanoseconds from an arbitrary start; never goes back."""


class FakeClock:
    """A clock that moves only when told to (ships with the product: simulations run on it too)."""

    __slots__ = ("_now_ns",)

    def __init__(self, now_ms: int = 1_760_000_000_000) -> None:
        self._now_ns = now_ms * 1_000_000

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return self._now_ns // 1_000_000

    def monotonic_ns(self) -> int:
        """Nanoseconds; moves with `now_ms`."""
        return self._now_ns

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds` (negative values simulate a wall clock set back)."""
        self._now_ns += round(seconds * 1_000_000_000)
