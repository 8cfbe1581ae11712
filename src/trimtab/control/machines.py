"""What machines say of their data planes, gathered by every node and shared through the store.

A relay reports to one node once a second. That node keeps the newest of each machine and stores them, all in one
transaction; every node reads what is stored and puts it into a file, where `trimtab running` finds it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

from trimtab.serving.durable_file import write_atomically
from trimtab.serving.machine_report import MachineReport, arrived

if TYPE_CHECKING:
    from trimtab.core.clock import Clock
    from trimtab.rollout.ports import ControlStore, SnapshotPublisher
    from trimtab.serving.directory import DataDirectory
    from trimtab.serving.snapshot import Snapshot

__all__ = ["KnownRevisions", "MachineBoard"]

_FORGET_MS = 3_600_000
_UPKEEP_MS = 600_000


class MachineBoard:
    """:meth:`note` is for whoever hears reports; :meth:`tick` is called once a second from one thread."""

    def __init__(self, store: ControlStore, directory: DataDirectory, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._lock = threading.Lock()
        self._fresh: dict[str, MachineReport] = {}
        self._written = b""
        self._revisions: dict[str, int] = {}
        self._kept_ms = 0

    def note(self, report: MachineReport) -> None:
        """Take in what a machine says."""
        heard = arrived(report, now_ms=self._clock.now_ms())
        with self._lock:
            self._fresh[heard.machine] = heard

    def served_revision(self, environment: str) -> int:
        """Return the highest revision that a data plane of another machine serves; 0 where none is known."""
        return self._revisions.get(environment, 0)

    def tick(self) -> list[str]:
        """Store what is new and write down what is known; raises `StorageError`, and what was heard is kept."""
        now_ms = self._clock.now_ms()
        with self._lock:
            fresh, self._fresh = self._fresh, {}
        try:
            if fresh:
                self._save(fresh, now_ms)
        except BaseException:
            with self._lock:
                self._fresh = fresh | self._fresh
            raise
        with self._store.read() as tx:
            content = b"[" + b",".join(tx.machines(seen_since_ms=now_ms - _FORGET_MS)) + b"]"
        if content != self._written:
            write_atomically(self._directory.machines, content, durable=False)
            self._written = content
            self._revisions = _highest(msgspec.json.decode(content, type=list[MachineReport]))
        return []

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _save(self, fresh: dict[str, MachineReport], now_ms: int) -> None:
        with self._store.write() as tx:
            for name, report in sorted(fresh.items()):
                tx.put_machine(name, seen_ms=report.at_ms, body=msgspec.json.encode(report))
            if abs(now_ms - self._kept_ms) > _UPKEEP_MS:
                tx.forget_machines(seen_before_ms=now_ms - _FORGET_MS)
                self._kept_ms = now_ms


def _highest(reports: list[MachineReport]) -> dict[str, int]:
    highest: dict[str, int] = {}
    for process in (one for report in reports for one in report.processes):
        highest[process.environment] = max(process.revision, highest.get(process.environment, 0))
    return highest


class KnownRevisions:
    """A `SnapshotPublisher` that also knows what data planes of other machines serve."""

    def __init__(self, files: SnapshotPublisher, board: MachineBoard) -> None:
        self._files = files
        self._board = board

    def publish(self, snapshot: Snapshot, body: bytes = b"") -> None:
        """See `SnapshotPublisher`."""
        self._files.publish(snapshot, body)

    def published_revision(self, environment: str) -> int:
        """See `SnapshotPublisher`."""
        return max(self._files.published_revision(environment), self._board.served_revision(environment))
