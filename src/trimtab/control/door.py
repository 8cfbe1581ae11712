"""Who may come in from other machines, and what a node tells them: keys, the leader, how far evidence is committed.

Each is read from the store at most once a second. While the store is away, the last answer stands: data planes must be
able to learn their snapshot then, too.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from trimtab.core.errors import AuthenticationError, StorageError
from trimtab.policy.keys import hash_key
from trimtab.rollout.controller import CONSUMER, LEASE
from trimtab.serving.journal_reader import JournalPosition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trimtab.core.clock import Clock
    from trimtab.rollout.ports import ControlStore, Lease

__all__ = ["Door"]

_FRESH_SECONDS = 1.0
_T = TypeVar("_T")


class Door:
    """Thread-safe."""

    def __init__(self, store: ControlStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._keys = _Remembered(self._read_keys)
        self._lease = _Remembered(self._read_lease)
        self._judged = _Remembered(self._read_judged)

    def admit(self, secret: str) -> str:
        """Return the team whose key of a data plane this is.

        Raises `AuthenticationError` for any other, `StorageError` where the store was never reached.
        """
        team = self._keys.get().get(hash_key(secret)) if secret else None
        if team is None:
            raise AuthenticationError(
                "invalid_api_key",
                "send a key of a data plane as `Authorization: Bearer ...`",
                param="authorization",
                hint="trimtab key create TEAM --role data-plane",
            )
        return team

    def leader(self) -> str:
        """Return where data planes reach the node that drives rollouts; empty where there is none at the moment."""
        lease = self._lease.get()
        return "" if lease is None or lease.expires_at_ms <= self._clock.now_ms() else lease.address

    def judged(self, processes: Iterable[str]) -> dict[str, JournalPosition]:
        """Return how far the journals of some processes are committed evidence."""
        known = self._judged.get()
        return {name: known.get(name, JournalPosition()) for name in processes}

    def _read_keys(self) -> dict[str, str]:
        with self._store.read() as tx:
            keys = tx.keys()
        return {key.hash: key.team for key in keys if key.role == "data-plane" and key.revoked_at_ms is None}

    def _read_lease(self) -> Lease | None:
        with self._store.read() as tx:
            return tx.lease(LEASE)

    def _read_judged(self) -> dict[str, JournalPosition]:
        with self._store.read() as tx:
            cursors = tx.cursors(CONSUMER)
        return {one.process: JournalPosition(one.segment, one.offset, one.sequence) for one in cursors}


class _Remembered(Generic[_T]):
    """An answer of the store that is good for a second, and for longer while the store is away."""

    def __init__(self, read: Callable[[], _T]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._held: list[_T] = []
        self._due = 0.0

    def get(self) -> _T:
        with self._lock:
            if time.monotonic() >= self._due:
                try:
                    self._held = [self._read()]
                except StorageError:
                    if not self._held:
                        raise
                self._due = time.monotonic() + _FRESH_SECONDS
            return self._held[0]
