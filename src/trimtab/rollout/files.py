"""The engine's ports on one machine: the journals of all data-plane processes, and snapshot files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import StorageError
from trimtab.rollout.ports import Cursor, EventBatch
from trimtab.serving.durable_file import write_atomically
from trimtab.serving.journal_reader import JournalPosition, read_journal, salvage
from trimtab.serving.snapshot_file import encode_snapshot
from trimtab.serving.snapshot_reading import SnapshotHead, decode_head

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from trimtab.events import Event
    from trimtab.serving.directory import DataDirectory
    from trimtab.serving.snapshot import Snapshot

__all__ = ["JournalEvents", "SnapshotFiles", "SnapshotFolderNotices"]

_STAT_SECONDS = 0.05


class _Releases(msgspec.Struct):
    """The releases of a snapshot, as they were written."""

    releases: dict[str, msgspec.Raw] = {}


def _releases(published: Snapshot | SnapshotHead, body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(body, type=_Releases).releases
    except msgspec.ValidationError:
        if not isinstance(published, SnapshotHead):
            raise
        return {}  # of a shape that is not known here: whoever knows it looks into the snapshot


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock between looking at the revision in force and replacing it; raises `StorageError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(
            "write_failed", f"cannot publish: {error.strerror}", param=str(path), hint="is the folder writable?"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class JournalEvents:
    """An `EventSource` over a folder of journals. Killed processes are salvaged on the way; cursors go by sequence."""

    def __init__(self, journals: Path, *, consumer: str) -> None:
        self._journals = journals
        self._consumer = consumer
        self._damage: list[str] = []

    def read(self, cursors: Sequence[Cursor], *, limit: int) -> EventBatch:
        """Return new events of every process, whole frames, about `limit` at most."""
        salvage(self._journals)
        known = {cursor.process: cursor for cursor in cursors}
        events: list[Event] = []
        moved: list[Cursor] = []
        for folder in sorted(path for path in self._journals.glob("*") if path.is_dir()):
            if len(events) >= limit:
                return EventBatch(events, moved, more=True)
            at = known.get(folder.name)
            position = JournalPosition() if at is None else JournalPosition(at.segment, at.offset, at.sequence)
            result = read_journal(folder, position, limit=limit - len(events))
            events += result.events
            if result.damaged:
                self._damage.append(
                    f"journal {folder.name}: {result.damaged} damaged, {result.missing} events lost to it"
                )
            if result.position != position:
                moved.append(
                    Cursor(
                        consumer=self._consumer,
                        process=folder.name,
                        segment=result.position.segment,
                        offset=result.position.offset,
                        sequence=result.position.sequence,
                    )
                )
        return EventBatch(events, moved, more=len(events) >= limit)

    def take_damage(self) -> list[str]:
        """Return what was found damaged since the last call, for people."""
        found, self._damage = self._damage, []
        return found


class SnapshotFiles:
    """A `SnapshotPublisher` that replaces `snapshots/<environment>.json` by atomic rename."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self._read: dict[str, tuple[tuple[int, int, int], int]] = {}

    def publish(self, snapshot: Snapshot, body: bytes = b"") -> None:
        """Replace the file, unless a higher revision is there: a controller that lost its lease comes too late.

        `body` is the snapshot as it came, where it came from elsewhere: what this version does not know of it is kept.
        """
        self.hand_on(snapshot, body or encode_snapshot(snapshot))

    def hand_on(self, published: Snapshot | SnapshotHead, body: bytes) -> None:
        """Publish what somebody else wrote, also where only newer data planes serve it: older ones heed its head."""
        path = self._directory.snapshot(published.environment)
        with _one_at_a_time(path.with_suffix(".lock")):
            self._publish(path, published, body)

    def _publish(self, path: Path, snapshot: Snapshot | SnapshotHead, body: bytes) -> None:
        if self.published_revision(snapshot.environment) >= snapshot.revision:
            return
        for digest, release in _releases(snapshot, body).items():
            kept = self._directory.release(digest)
            if not kept.exists():
                write_atomically(kept, bytes(release), durable=False)
        self._keep_for_older(path, snapshot)
        write_atomically(path, body, durable=True)

    def _keep_for_older(self, path: Path, snapshot: Snapshot | SnapshotHead) -> None:
        """Keep what data planes of an older version serve beside what only newer ones can: they may be restarted."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            content = path.read_bytes()
            held = max(1, decode_head(content).reader)
            if held < snapshot.reader:
                earlier = self._directory.earlier_snapshot(snapshot.environment, held)
                write_atomically(earlier, content, durable=True)

    def published_revision(self, environment: str) -> int:
        """Return the revision in the file, read again only when the file changed; 0 where there is none."""
        path = self._directory.snapshot(environment)
        try:
            stat = path.stat()
            identity = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            known = self._read.get(environment)
            if known is not None and known[0] == identity:
                return known[1]
            revision = decode_head(path.read_bytes()).revision
        except (OSError, msgspec.DecodeError, RecursionError):
            return 0
        self._read[environment] = (identity, revision)
        return revision


class SnapshotFolderNotices:
    """Tells when a snapshot file of this machine was replaced: by a look at the folder. A `control.feed.Notices`."""

    def __init__(self, directory: DataDirectory) -> None:
        self._folder = directory.snapshot("any").parent
        self._seen = -1

    def wait(self, timeout_seconds: float) -> None:
        """Return when something may have been published, at the latest when time is up."""
        deadline = time.monotonic() + timeout_seconds
        while (changed := self._changed_ns()) == self._seen and time.monotonic() < deadline:
            time.sleep(_STAT_SECONDS)
        self._seen = changed

    def close(self) -> None:
        """Nothing is held."""

    def _changed_ns(self) -> int:
        try:
            return self._folder.stat().st_mtime_ns
        except OSError:
            return 0
