"""Control state in memory: for tests and simulations, and shipped, because it passes the same suite as SQL.

One transaction at a time. A write transaction keeps an undo log instead of a copy, so that small transactions over
large state stay cheap. Values are immutable, so handing them out is safe.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from trimtab.storage.memory_migrations import MemoryMigrations
from trimtab.storage.memory_nodes import MemoryNodes
from trimtab.storage.memory_registry import MemoryRegistry
from trimtab.storage.memory_rollouts import MemoryRollouts
from trimtab.storage.refusals import nested_write

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MemoryStore", "MemoryTransaction"]


class MemoryTransaction(MemoryRegistry, MemoryRollouts, MemoryNodes, MemoryMigrations):
    """All control state inside one transaction (`migration.ports.PlanTransaction`)."""


class MemoryStore:
    """A `migration.ports.PlanStore` in this process's memory."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[Any, Any]] = {}
        self._lock = threading.RLock()
        self._writing = False

    @contextlib.contextmanager
    def read(self) -> Iterator[MemoryTransaction]:
        """A view of what is committed; writing through it raises `StorageError`."""
        with self._lock:
            yield MemoryTransaction(self._tables, undo=None)

    @contextlib.contextmanager
    def write(self) -> Iterator[MemoryTransaction]:
        """The one writer; what it did is undone on an exception."""
        with self._lock:
            if self._writing:
                raise nested_write("memory")
            self._writing = True
            tx = MemoryTransaction(self._tables, undo=[])
            try:
                yield tx
            except BaseException:
                tx.roll_back()
                raise
            finally:
                self._writing = False

    def close(self) -> None:
        """Nothing to close."""
