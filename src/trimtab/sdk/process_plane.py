"""The data plane of this process: opened at the start, and again in a forked child."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from trimtab.sdk.closed import closed
from trimtab.sdk.mirror import Mirrors
from trimtab.serving.runtime import DataPlane
from trimtab.serving.shadow_budget import ShadowBudgets

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.core.clock import Clock
    from trimtab.sdk.blocking import BlockingCalls
    from trimtab.sdk.managed import AsyncCalls
    from trimtab.serving.directory import DataDirectory
    from trimtab.serving.disk_budget import JournalLimits
    from trimtab.serving.redaction import RedactionHook

__all__ = ["ProcessPlane"]

_DRAIN_SECONDS = 2.0
"""How long closing waits for mirrored requests."""


class ProcessPlane:
    """Holds what belongs to one process. A child made by `fork` gets its own journal, threads and mirrors."""

    def __init__(
        self,
        directory: DataDirectory,
        *,
        environment: str,
        clock: Clock | None,
        redact: RedactionHook | None = None,
        journal: JournalLimits | None = None,
    ) -> None:
        """Open the data plane; raises `StorageError` where its journal cannot be made."""
        self._directory = directory
        self._environment = environment
        self._clock = clock
        self._redact = redact
        self._journal = journal
        self._closed = False
        self._lock = threading.Lock()
        self._mirrors = Mirrors()
        self._budgets: ShadowBudgets | None = None
        self._blocking: BlockingCalls | None = None
        self.current: DataPlane | None = self._open()
        """The data plane, where it is open in this process: what `plane` returns, without asking."""
        _living.add(self)

    def plane(self) -> DataPlane:
        """Return the data plane of the running process; raises `StorageError` (`closed`) after `close`."""
        plane = self.current
        if plane is not None:
            return plane
        with self._lock:
            if self._closed:
                raise closed()
            if self.current is None:
                self.current = self._open()
            return self.current

    def mirrors(self) -> Mirrors:
        """Return the mirrors of the running process."""
        return self._mirrors

    def shadow_budgets(self) -> ShadowBudgets:
        """Return what mirrored requests of the running process may cost."""
        with self._lock:
            if self._budgets is None:
                self._budgets = ShadowBudgets(self._directory.usage)
            return self._budgets

    def blocking(self, make: Callable[[], AsyncCalls]) -> BlockingCalls:
        """Return the background loop of the running process; `make` is called on it, the first time."""
        blocking = self._blocking
        if blocking is not None:
            return blocking
        from trimtab.sdk.blocking import BlockingCalls

        self.plane()
        with self._lock:
            if self._closed:  # since then: `make` would wait for this lock
                raise closed()
            if self._blocking is None:
                self._blocking = BlockingCalls(make)
            return self._blocking

    def close(self) -> None:
        """Wait shortly for mirrored requests, make the journal durable, stop the threads. May be called again."""
        with self._lock:
            plane, self.current, self._closed = self.current, None, True
            blocking, self._blocking = self._blocking, None
        if blocking is not None:
            blocking.close()
        if plane is not None:
            self._mirrors.close(_DRAIN_SECONDS)
            if self._budgets is not None:
                self._budgets.close()
            plane.close()

    def after_fork(self) -> None:
        """Forget what belongs to the parent: its threads are not here, and its locks may be held for ever."""
        self._lock = threading.Lock()
        self._mirrors = Mirrors()
        self._budgets = None
        self._blocking = None
        self.current = None

    def _open(self) -> DataPlane:
        return DataPlane.open(
            self._directory,
            environment=self._environment,
            kind="sdk",
            clock=self._clock,
            redact=self._redact,
            journal=self._journal,
        )


_living: weakref.WeakSet[ProcessPlane] = weakref.WeakSet()


def _after_fork() -> None:
    for process_plane in list(_living):
        process_plane.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
