"""What became of the mirrors of this process, for whoever asks which version is running right now."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from trimtab.events import Generation

__all__ = ["MirrorCount", "MirrorCounter"]

_MOST = 200
"""Kinds of outcomes kept; the oldest go first."""


class MirrorCount(msgspec.Struct, frozen=True):
    """Mirrors of one rollout that came to the same end, since the process began."""

    rollout: str
    status: str
    """`ok`, `error` (the candidate was asked and did not answer) or `aborted` (it was not, or not to the end)."""
    code: str
    """Why not; empty for `ok`."""
    requests: int
    cost_usd: float


class MirrorCounter:
    """Counts shadow generations. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str], tuple[int, float]] = {}

    def add(self, shadow: Generation) -> None:
        """Count one shadow generation."""
        key = (shadow.rollout, shadow.status, shadow.error_code)
        with self._lock:
            requests, cost_usd = self._counts.get(key, (0, 0.0))
            if not requests and len(self._counts) >= _MOST:
                del self._counts[next(iter(self._counts))]
            self._counts[key] = (requests + 1, cost_usd + shadow.cost_usd)

    def counts(self) -> list[MirrorCount]:
        """Return all counts."""
        with self._lock:
            return [MirrorCount(*key, *value) for key, value in self._counts.items()]
