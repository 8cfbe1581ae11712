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

from trimtab.core.errors import FencedError, IntegrityError, NotFoundError, StorageError
from trimtab.evidence.erasure import Erasure
from trimtab.evidence.layout import Partition
from trimtab.serving.journal_reader import JournalPosition

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from trimtab.evidence.objects import Objects

__all__ = [
    "LOG_FOLDER",
    "Commit",
    "EvidenceLog",
    "LiveFile",
    "LogState",
    "Retired",
    "estate_after",
    "origin_of",
    "read_everything",
    "read_retired",
    "retired_key",
    "retired_writers",
    "writers",
    "writers_of",
]

LOG_FOLDER = "_log"
_RETIRED = "retired.json"
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
    joining: bool | None = None
    """Whether erasures of before this writer came are still to be applied to its journals; `None` changes nothing."""


class LogState(msgspec.Struct, kw_only=True):
    """What the log says as of a commit."""

    number: int = 0
    files: dict[str, LiveFile] = {}
    """By key."""
    cursors: dict[str, JournalPosition] = {}
    erasures: list[Erasure] = []
    joining: bool = False
    at_ms: int = 0
    """Of the last commit; 0 in logs of earlier versions."""

    def apply(self, commit: Commit) -> None:
        """Take the next commit."""
        self.number, self.at_ms = commit.number, commit.at_ms
        self.joining = self.joining if commit.joining is None else commit.joining
        for key in commit.remove:
            self.files.pop(key, None)
        self.files.update((file.key, file) for file in commit.add)
        self.cursors.update(commit.cursors)
        for process in commit.forget:
            self.cursors.pop(process, None)
        known = dict.fromkeys((*self.erasures, *commit.erase))
        self.erasures = [one for one in known if one not in commit.settled]

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


class Retired(msgspec.Struct, frozen=True, kw_only=True):
    """That a writer is gone for good: its log counts as of a commit, under another name and in other hands."""

    at_ms: int
    heir: str
    """The writer that looks after its files."""
    estate: str
    """The name of the log that counts instead; empty where there were no files."""
    as_of: int
    """Number of the last commit that counts."""
    cursors: dict[str, JournalPosition] = {}
    """As of then: where to go on if it comes back."""


class EvidenceLog:
    """The log of one writer in a store of objects."""

    def __init__(self, objects: Objects, writer: str) -> None:
        self._objects = objects
        self._writer = writer
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
        """Make a commit true, and `state` with it; then delete what it removed.

        Raises `FencedError` (`writer_retired`) where this log counts for nobody any more.
        """
        self.must_count()
        self._objects.put(self._commit_key(commit.number), msgspec.json.encode(commit))
        state.apply(commit)
        if commit.remove:
            self.must_count()  # whoever looks after these files now may still name them
            self._delete(commit.remove)
        if commit.number % _CHECKPOINT_EVERY == 0:
            self._fold(state)

    def recover(self, state: LogState, *, live: Collection[str] | None = None) -> None:
        """Finish what a killed writer began: delete what its last commit removed, and what it wrote but never named.

        `live`: keys that count; those of `state` where it is not given.
        """
        live = set(state.belonging(state.files)) if live is None else live
        with contextlib.suppress(NotFoundError):  # folded already, or there is none
            last = _decode(self._objects.get(self._commit_key(state.number)), Commit, "the last commit")
            self._delete(key for key in last.remove if key not in live)
        noted = self.prepared()
        if noted:
            self._delete(key for key in noted if key not in live)
            self._objects.delete(self._prepared)

    def prepared(self) -> list[str]:
        """Return the files that were last about to be written."""
        with contextlib.suppress(NotFoundError):
            return _decode(self._objects.get(self._prepared), list[str], "prepared.json")
        return []

    def must_count(self) -> None:
        """Raise `FencedError` (`writer_retired`) where this log counts for nobody any more."""
        if self._objects.has(retired_key(self._writer)):
            raise FencedError(
                "writer_retired",
                f"the writer `{self._writer}` was declared gone: what it writes counts no more",
                param=retired_key(self._writer),
                hint="nothing is to be done: it goes on under a new name, and moves its journals again from then on",
            )

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
    """Return the names of the logs that count: one for each data directory, and those of retired ones with files.

    Of a retired writer's log and the one that took its place, one counts, by whether a single file is there.
    """
    return writers_of(list(objects.keys(LOG_FOLDER)))


def writers_of(keys: Collection[str]) -> list[str]:
    """Return the names of the logs that count, of one listing of all keys of logs."""
    names = {key.split("/")[1] for key in keys}
    retired = {key.split("/")[1] for key in keys if key.endswith(f"/{_RETIRED}")}
    return sorted(name for name in names - retired if not origin_of(name) or origin_of(name) in retired)


def retired_writers(objects: Objects) -> list[str]:
    """Return the names of the logs that count no more."""
    suffix = f"/{_RETIRED}"
    return sorted(key.split("/")[1] for key in objects.keys(LOG_FOLDER) if key.endswith(suffix))


def estate_after(writer: str) -> str:
    """Return the name of the log that takes the place of a writer's."""
    stem, _, number = writer.partition(".")
    return f"{stem}.{int(number or 0) + 1}"


def origin_of(name: str) -> str:
    """Return the name of the log whose place a log took; empty for a data directory's own."""
    stem, dot, number = name.partition(".")
    if not dot or not number.isdigit():
        return ""
    return stem if number == "1" else f"{stem}.{int(number) - 1}"


def retired_key(writer: str) -> str:
    """Return the key of the file that says that a writer is gone."""
    return f"{LOG_FOLDER}/{writer}/{_RETIRED}"


def read_retired(objects: Objects, writer: str) -> Retired | None:
    """Return what became of a writer that is gone; `None` for one that counts."""
    with contextlib.suppress(NotFoundError):
        return _decode(objects.get(retired_key(writer)), Retired, retired_key(writer))
    return None


def _number(name: str) -> int:
    return int(name[:10])


def _decode(data: bytes, kind: type[_T], name: str) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise IntegrityError(
            "unreadable_log", f"{name} of the evidence log cannot be read: {error}", param=name
        ) from error
