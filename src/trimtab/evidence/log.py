"""Which files are evidence: a log of commits, each of which adds files, removes files, and moves cursors, at once.

A data file counts from the moment the log names it. A commit is one file, written atomically under the next number, so
there is no moment in which half of one is true. Every so often the log is folded into a checkpoint.

Before a data file is written its key is noted in `prepared`: what a killed writer leaves behind is found and deleted
without listing a bucket.

Every machine has a log of its own (`_log/WRITER`) and touches only the files that it names, so any number of them share
a bucket without asking each other. On one machine there is one writer at a time: it holds the compactor's lock.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

import msgspec

from trimtab.core.errors import IntegrityError, NotFoundError, StorageError
from trimtab.evidence.erasure import Erasure
from trimtab.evidence.layout import Partition
from trimtab.serving.journal_reader import JournalPosition

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trimtab.evidence.objects import Objects

__all__ = ["Commit", "EvidenceLog", "LiveFile", "LogState", "read_everything", "writers"]

LOG_FOLDER = "_log"
_CHECKPOINT_EVERY = 64
_TRIES = 5
_T = TypeVar("_T")


class LiveFile(msgspec.Struct, frozen=True, kw_only=True):
    """A data file that counts."""

    key: str
    kind: str
    hour_ms: int
    level: int
    rows: int
    size: int
    """Bytes."""
    oldest_ms: int
    """Of its events' own times."""
    newest_ms: int
    first_id: str = ""
    """Of its events, in the order of text; empty in logs of earlier versions, as is `last_id`."""
    last_id: str = ""
    columns: int = 0
    """As they are only ever added, their number says which there are; 0 in logs of earlier versions."""
    summary: str = ""
    """Key of the file that sums its generations up; empty where there is none."""

    @property
    def partition(self) -> Partition:
        """Where it lies."""
        return Partition(self.kind, self.hour_ms)


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the log."""

    number: int
    at_ms: int
    add: list[LiveFile] = []
    remove: list[str] = []
    cursors: dict[str, JournalPosition] = {}
    """By process: its journal's events before it are in files."""
    forget: list[str] = []
    """Processes whose journals are gone."""
    erase: list[Erasure] = []
    """Users to be forgotten from now on, in whatever is still in journals."""
    settled: list[Erasure] = []
    """Those of whom nothing can be in any journal any more."""


class LogState(msgspec.Struct, kw_only=True):
    """What the log says as of a commit."""

    number: int = 0
    files: dict[str, LiveFile] = {}
    """By key."""
    cursors: dict[str, JournalPosition] = {}
    erasures: list[Erasure] = []

    def apply(self, commit: Commit) -> None:
        """Take the next commit."""
        self.number = commit.number
        for key in commit.remove:
            self.files.pop(key, None)
        self.files.update((file.key, file) for file in commit.add)
        self.cursors.update(commit.cursors)
        for process in commit.forget:
            self.cursors.pop(process, None)
        self.erasures = [one for one in (*self.erasures, *commit.erase) if one not in commit.settled]

    def belonging(self, keys: Iterable[str]) -> list[str]:
        """Return keys of data files and those of their summaries."""
        summaries = (self.files[key].summary for key in keys if key in self.files)
        return [*keys, *filter(None, summaries)]

    def by_partition(self) -> dict[Partition, list[LiveFile]]:
        """Return the files of each partition."""
        found: dict[Partition, list[LiveFile]] = {}
        for file in self.files.values():
            found.setdefault(file.partition, []).append(file)
        return found


class EvidenceLog:
    """The log of one writer in a store of objects."""

    def __init__(self, objects: Objects, writer: str) -> None:
        self._objects = objects
        self._folder = f"{LOG_FOLDER}/{writer}"
        self._prepared = f"{self._folder}/prepared.json"

    def read(self, known: LogState | None = None) -> LogState:
        """Return what counts now; raises `StorageError`, and `IntegrityError` for a log that cannot be read.

        `known` is what was read before: it is brought up to date and returned, which costs as little as has changed.
        """
        for _ in range(_TRIES):
            try:
                return self._read(known)
            except NotFoundError:
                continue  # folded into a checkpoint between listing and reading
        raise StorageError("log_busy", "the evidence log changes faster than it can be read", param=self._folder)

    def _read(self, known: LogState | None) -> LogState:
        names = sorted(
            name for key in self._objects.keys(self._folder) if (name := key.rpartition("/")[2])[:10].isdigit()
        )
        checkpoints = [name for name in names if name.endswith(".checkpoint.json")]
        state = known if known and names and _number(names[-1]) >= known.number else LogState()
        if checkpoints and _number(checkpoints[-1]) > state.number:
            state = _decode(self._objects.get(f"{self._folder}/{checkpoints[-1]}"), LogState, checkpoints[-1])
        for name in names:
            if name.endswith(".commit.json") and _number(name) > state.number:
                commit = _decode(self._objects.get(f"{self._folder}/{name}"), Commit, name)
                if commit.number != state.number + 1:
                    raise IntegrityError(
                        "log_gap",
                        f"the evidence log jumps from commit {state.number} to {commit.number}",
                        param=name,
                        hint="was a file of `_log` deleted? restore it, or the folder, from a backup",
                    )
                state.apply(commit)
        return state

    def prepare(self, keys: Sequence[str]) -> None:
        """Note the files that are about to be written, before they are."""
        self._objects.put(self._prepared, msgspec.json.encode(list(keys)))

    def commit(self, state: LogState, commit: Commit) -> None:
        """Make a commit true, and `state` with it; then delete what it removed."""
        self._objects.put(self._commit_key(commit.number), msgspec.json.encode(commit))
        state.apply(commit)
        self._delete(commit.remove)
        if commit.number % _CHECKPOINT_EVERY == 0:
            self._fold(state)

    def recover(self, state: LogState) -> None:
        """Finish what a killed writer began: delete what its last commit removed, and what it wrote but never named."""
        with contextlib.suppress(NotFoundError):  # folded already, or there is none
            self._delete(_decode(self._objects.get(self._commit_key(state.number)), Commit, "the last commit").remove)
        with contextlib.suppress(NotFoundError):
            noted = _decode(self._objects.get(self._prepared), list[str], "prepared.json")
            live = set(state.belonging(state.files))
            self._delete(key for key in noted if key not in live)
            self._objects.delete(self._prepared)

    def _commit_key(self, number: int) -> str:
        return f"{self._folder}/{number:010d}.commit.json"

    def _delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._objects.delete(key)

    def _fold(self, state: LogState) -> None:
        self._objects.put(f"{self._folder}/{state.number:010d}.checkpoint.json", msgspec.json.encode(state))
        newest = f"{state.number:010d}"
        for key in list(self._objects.keys(self._folder)):
            name = key.rpartition("/")[2]
            if name[:10].isdigit() and (name[:10] < newest or name == f"{newest}.commit.json"):
                self._objects.delete(key)


def read_everything(objects: Objects, known: dict[str, LogState]) -> dict[str, LogState]:
    """Return what every writer's log says now, by the writers' names; raises as `EvidenceLog.read`.

    `known` is what this returned before, empty at first; it must not be used again.
    """
    return {writer: EvidenceLog(objects, writer).read(known.get(writer)) for writer in writers(objects)}


def writers(objects: Objects) -> list[str]:
    """Return the names of all who ever wrote evidence there, one for each data directory."""
    return sorted({key.split("/")[1] for key in objects.keys(LOG_FOLDER)})


def _number(name: str) -> int:
    return int(name[:10])


def _decode(data: bytes, kind: type[_T], name: str) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise IntegrityError(
            "unreadable_log", f"{name} of the evidence log cannot be read: {error}", param=name
        ) from error
