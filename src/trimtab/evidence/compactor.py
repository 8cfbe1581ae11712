"""Journals become Parquet: read on from the cursors, write a file for each hour, commit files and cursors together.

Killed anywhere, it loses nothing and doubles nothing: before the commit nothing counts and the cursors stand where they
stood; after it both have moved. Journals are only ever deleted by what the committed cursors say.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, TypedDict

import msgspec

from trimtab.core.errors import ConflictError, StorageError
from trimtab.evidence.erasure import Erasure, Forgetter
from trimtab.evidence.gathering import Gathering, without_known
from trimtab.evidence.layout import Partition, data_key, summary_key
from trimtab.evidence.log import Commit, EvidenceLog, LiveFile
from trimtab.evidence.parquet import ParquetBuffer
from trimtab.evidence.tables import schema_of
from trimtab.serving.durable_file import write_atomically
from trimtab.serving.journal_folder import process_folders
from trimtab.serving.journal_reader import JournalPosition, read_journal, salvage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Unpack

    import pyarrow as pa

    from trimtab.core.clock import Clock
    from trimtab.evidence.objects import Objects
    from trimtab.serving.directory import DataDirectory

__all__ = ["Compacted", "Compactor", "stored", "writer_of"]

_EVENTS_PER_COMMIT = 50_000
"""Bounds memory: some 200 MB where each event carries a few kilobytes of text."""
_EVENTS_AT_ONCE = 2_000
"""As objects, before they are columns."""


class Changes(TypedDict, total=False):
    """What a commit may change; see `Commit`."""

    add: list[LiveFile]
    remove: list[str]
    cursors: dict[str, JournalPosition]
    forget: list[str]
    erase: list[Erasure]
    settled: list[Erasure]


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """What one run did."""

    events: int = 0
    files: int = 0
    more: bool = False
    """Whether events are waiting: run again at once."""
    damaged: int = 0
    """Frames that were not what their checksum promises; what was in them is lost."""


class Compactor:
    """Owns one machine's part of the evidence. Open it with :meth:`open`; one process at a time."""

    def __init__(self, objects: Objects, directory: DataDirectory, clock: Clock, *, writer: str) -> None:
        self.objects = objects
        self.writer = writer
        self.log = EvidenceLog(objects, writer)
        self.state = self.log.read()
        self.log.recover(self.state)
        self._journals = directory.journals
        self._forgetter = Forgetter()
        self._clock = clock

    @classmethod
    @contextlib.contextmanager
    def open(cls, objects: Objects, directory: DataDirectory, clock: Clock) -> Iterator[Compactor]:
        """Hold the compactor's lock on a data directory.

        Raises `ConflictError` (`compactor_running`) where somebody holds it already.
        """
        with _locked(directory.root / "compactor.lock"):
            yield cls(objects, directory, clock, writer=writer_of(directory))

    def run(self) -> Compacted:
        """Move what is in the journals into files, up to a bound; raises `StorageError`, and nothing has changed."""
        salvage(self._journals)
        gathered = Gathering()
        cursors: dict[str, JournalPosition] = {}
        damaged = read = 0
        folders = process_folders(self._journals)
        for folder in folders:
            position = self.state.cursors.get(folder.name, JournalPosition())
            while read < _EVENTS_PER_COMMIT:
                result = read_journal(folder, position, limit=_EVENTS_AT_ONCE)
                damaged += result.damaged
                if result.position != position:
                    cursors[folder.name] = position = result.position
                if not result.events:
                    break
                read += len(result.events)
                gathered.take(self._forgetter.left(result.events, self.state.erasures))
        gone = sorted(self.state.cursors.keys() - {folder.name for folder in folders})
        if not cursors and not gone:
            return Compacted(damaged=damaged)
        files = self._write(gathered)
        self.commit(add=files, cursors=cursors, forget=gone)
        return Compacted(events=read, files=len(files), more=read >= _EVENTS_PER_COMMIT, damaged=damaged)

    def replace(self, old: Sequence[LiveFile], buffer: ParquetBuffer, *, level: int) -> None:
        """Put one file, or none where it has no rows, in the place of some files of one partition."""
        partition = old[0].partition
        added = []
        if buffer.rows:
            key = data_key(partition, self.writer, self.state.number + 1, level)
            self.log.prepare([key, summary_key(key)])
            added = [stored(self.objects, key, partition, buffer, level)]
        self.commit(add=added, remove=[file.key for file in old])

    def _write(self, gathered: Gathering) -> list[LiveFile]:
        fresh: list[tuple[Partition, str, pa.Table]] = []
        there = self.state.by_partition()
        for partition, table in gathered.partitions():
            left = without_known(self.objects, there.get(partition, []), table)
            if left.num_rows:
                fresh.append((partition, data_key(partition, self.writer, self.state.number + 1, 0), left))
        self.log.prepare([key for _, key, _ in fresh])
        files = []
        for partition, key, table in fresh:
            buffer = ParquetBuffer(partition.kind, final=False)
            buffer.write(table)
            files.append(stored(self.objects, key, partition, buffer, 0))
        return files

    def commit(self, **changes: Unpack[Changes]) -> None:
        """Make changes true, all or none; raises `StorageError`."""
        if "remove" in changes:
            changes["remove"] = self.state.belonging(changes["remove"])
        number, at_ms = self.state.number + 1, self._clock.now_ms()
        self.log.commit(self.state, Commit(number=number, at_ms=at_ms, **changes))

    @property
    def now_ms(self) -> int:
        """The clock's time, milliseconds since the Unix epoch."""
        return self._clock.now_ms()


def stored(objects: Objects, key: str, partition: Partition, buffer: ParquetBuffer, level: int) -> LiveFile:
    """Write a file that has rows, and its summary; return what the log says of it."""
    data, summary = buffer.finish(), buffer.summary()
    objects.put(key, memoryview(data))
    if summary is not None:
        objects.put(summary_key(key), memoryview(summary))
    return LiveFile(
        key=key,
        kind=partition.kind,
        hour_ms=partition.hour_ms,
        level=level,
        rows=buffer.rows,
        size=data.size,
        oldest_ms=buffer.oldest_ms,
        newest_ms=buffer.newest_ms,
        first_id=buffer.first_id,
        last_id=buffer.last_id,
        columns=len(schema_of(partition.kind)),
        summary="" if summary is None else summary_key(key),
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError("write_failed", f"cannot lock: {error.strerror}", param=str(path)) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                "compactor_running",
                "another process compacts this data directory",
                param=str(path),
                hint="`trimtab server` does it by itself; stop it, or leave it to it",
            ) from None
        yield
    finally:
        os.close(descriptor)


def writer_of(directory: DataDirectory) -> str:
    """Return the name under which this data directory writes evidence: drawn once, for it travels with the journals."""
    path = directory.root / "compactor.id"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        name = os.urandom(4).hex()
        write_atomically(path, name.encode(), durable=True)
        return name
