"""What counts as evidence at one moment: the files of all writers, and what is in journals here and in no file yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.evidence.layout import Span, partition_at
from trimtab.evidence.log import LiveFile, read_everything
from trimtab.evidence.tail import JournalTail

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from trimtab.evidence.log import LogState
    from trimtab.evidence.objects import Objects
    from trimtab.serving.journal_reader import JournalPosition

__all__ = ["Snapshot", "SnapshotSource"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Evidence at one moment."""

    by_kind: dict[str, list[LiveFile]]
    """Oldest first."""
    hot: dict[str, pa.Table]
    """By kind; kinds without events are absent."""

    def files(self, kind: str, span: Span) -> list[LiveFile]:
        """Return the files that may hold generations that began in a span, or what was said about those."""
        calls = self.by_kind.get("generations", [])
        met = [file for file in calls if file.oldest_ms < span[1] and file.newest_ms >= span[0]]
        if kind == "generations":
            return met
        hours = {file.hour_ms for file in met}
        first, last = partition_at(kind, span[0]).hour_ms, partition_at(kind, span[1] - 1).hour_ms
        return [file for file in self.by_kind.get(kind, []) if first <= file.hour_ms <= last or file.hour_ms in hours]


class SnapshotSource:
    """Reads as little as changed since it was last asked. Not thread-safe."""

    def __init__(self, objects: Objects, journals: Path | None) -> None:
        """`journals` are read beside the files; without them only what was compacted is seen."""
        self._objects = objects
        self._journals = journals
        self._tail = JournalTail()
        self._states: dict[str, LogState] = {}
        self._numbers: dict[str, int] = {}
        self._by_kind: dict[str, list[LiveFile]] = {}
        self._raw: dict[str, pa.Table] = {}
        self._hot: dict[str, pa.Table] = {}

    def take(self) -> Snapshot:
        """Return what counts now; raises `StorageError` and `IntegrityError`."""
        states, self._states = self._states, {}  # half-read ones are not used again
        self._states = states = read_everything(self._objects, states)
        numbers = {writer: state.number for writer, state in states.items()}
        fresh = numbers != self._numbers
        if fresh:
            self._by_kind = {}
            for file in sorted(
                (file for state in states.values() for file in state.files.values()),
                key=lambda file: (file.hour_ms, file.key),
            ):
                self._by_kind.setdefault(file.kind, []).append(file)
        raw = self._uncompacted(states)
        if fresh or raw is not self._raw:
            self._hot = {kind: left for kind, table in raw.items() if (left := self._new(kind, table)).num_rows}
        self._raw, self._numbers = raw, numbers
        return Snapshot(self._by_kind, self._hot)

    def _uncompacted(self, states: Mapping[str, LogState]) -> dict[str, pa.Table]:
        if self._journals is None:
            return self._raw
        cursors: dict[str, JournalPosition] = {}
        for state in states.values():  # one that was retired and came back stands in two: what it moved since counts
            for process, at in state.cursors.items():
                cursors[process] = max(at, cursors.get(process, at), key=_depth)
        return self._tail.read(self._journals, cursors)

    def _new(self, kind: str, table: pa.Table) -> pa.Table:
        """Return what has not been recorded before under the same id."""
        from trimtab.evidence.gathering import each_once, without_known  # late: only where journals hold anything

        files = [file for file in self._by_kind.get(kind, []) if file.last_id]
        return without_known(self._objects, files, each_once(table))


def _depth(position: JournalPosition) -> int:
    return position.sequence
