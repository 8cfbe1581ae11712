"""Journals become Parquet: read on from the cursors, write a file for each hour, commit files and cursors together.

Killed anywhere, it loses nothing and doubles nothing: before the commit nothing counts and the cursors stand where they
stood; after it both have moved. Journals are only ever deleted by what the committed cursors say.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from typing import TYPE_CHECKING, TypedDict

import msgspec

from trimtab.core.errors import ConflictError, IntegrityError, StorageError
from trimtab.evidence.erasure import Erasure, Forgetter
from trimtab.evidence.erasure_store import ERASURES_FOLDER, read_request, remembered
from trimtab.evidence.gathering import Gathering, without_known
from trimtab.evidence.identity import identify
from trimtab.evidence.layout import Partition, data_key, summary_key
from trimtab.evidence.log import Commit, EvidenceLog, LiveFile, read_retired
from trimtab.evidence.parquet import ParquetBuffer
from trimtab.evidence.tables import schema_of
from trimtab.evidence.writers import announce, estates_of, sweep
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

__all__ = ["Compacted", "Compactor", "stored"]

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
    joining: bool


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

    def __init__(self, objects: Objects, journals: Path | None, clock: Clock, *, writer: str) -> None:
        """`journals` are moved into files; a log that is looked after for somebody who is gone has none."""
        self.objects = objects
        self.writer = writer
        self.log = EvidenceLog(objects, writer)
        self.state = self.log.read()
        self.log.recover(self.state)
        self.forgetter = Forgetter()
        self._journals = journals
        self._clock = clock

    @classmethod
    @contextlib.contextmanager
    def open(cls, objects: Objects, directory: DataDirectory, clock: Clock) -> Iterator[Compactor]:
        """Hold the compactor's lock on a data directory.

        Every erasure that this directory has not met is in force before anything is moved. Raises `ConflictError`
        (`compactor_running`) where somebody holds the lock already.
        """
        with _locked(directory.root / "compactor.lock"):
            name, was = identify(objects, directory)
            compactor = cls(objects, directory.journals, clock, writer=name)
            compactor.announce()  # before it looks what was erased: requests from now on wait for it
            compactor._join(was)
            yield compactor

    def announce(self) -> None:
        """Say that this writer lives."""
        announce(self.objects, self.writer, machine=socket.gethostname(), now_ms=self.now_ms)

    def estates(self) -> list[Compactor]:
        """Return the logs of retired writers that this one looks after. They have no journals."""
        return [
            Compactor(self.objects, None, self._clock, writer=name) for name in estates_of(self.objects, self.writer)
        ]

    def _join(self, was: str) -> None:
        """Take in the erasures that are asked for and, where it is new here, all there ever were.

        Where it was retired and came back, it goes on in its journals where the log that counts says it stood.
        """
        erasures = self._asked()
        cursors: dict[str, JournalPosition] = {}
        if not self.state.number:
            erasures = [*remembered(self.objects), *erasures]
            before = read_retired(self.objects, was) if was else None
            if before is not None:
                sweep(self.objects, was, before)
                cursors = before.cursors
        fresh = [one for one in erasures if one not in self.state.erasures]
        if fresh or cursors:
            self.commit(erase=fresh, cursors=cursors, joining=self.state.joining or bool(fresh))
        if self.state.joining:
            self._survey()

    def _asked(self) -> list[Erasure]:
        keys = set(self.objects.keys(ERASURES_FOLDER))
        found = []
        for key in sorted(keys):
            if key.endswith("/request.json") and key.replace("request.json", f"done-{self.writer}.json") not in keys:
                with contextlib.suppress(IntegrityError):  # told by whoever carries it out
                    request = read_request(self.objects, key)
                    found += [request.erasure] if request else []
        return found

    def _survey(self) -> None:
        """Meet all erased users' events in the journals: feedback in one may stand before its generation in another.

        From the beginning, for what a killed run has moved already is about the rest, too.
        """
        if self._journals is None:
            return
        salvage(self._journals)
        for folder in process_folders(self._journals):
            position = JournalPosition()
            while events := (result := read_journal(folder, position, limit=_EVENTS_AT_ONCE)).events:
                self.forgetter.learn(events, self.state.erasures)
                position = result.position

    def run(self) -> Compacted:
        """Move what is in the journals into files, up to a bound; raises `StorageError`, and nothing has changed."""
        if self._journals is None:
            return Compacted()
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
                gathered.take(self.forgetter.left(result.events, self.state.erasures))
        gone = sorted(self.state.cursors.keys() - {folder.name for folder in folders})
        more = read >= _EVENTS_PER_COMMIT
        joining = self.state.joining and more
        if not cursors and not gone and joining == self.state.joining:
            return Compacted(damaged=damaged)
        files = self._write(gathered)
        self.commit(add=files, cursors=cursors, forget=gone, joining=joining)
        return Compacted(events=read, files=len(files), more=more, damaged=damaged)

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
