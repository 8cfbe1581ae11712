"""Snapshots on disk: replaced whole by atomic rename, watched by stat. The file is also the last good snapshot."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import StorageError, TrimtabError
from trimtab.serving.durable_file import write_atomically
from trimtab.serving.earlier_snapshot import held_to
from trimtab.serving.routing import RoutingTable
from trimtab.serving.snapshot_reading import READER_VERSION, SnapshotHead, decode_published, too_new

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.serving.snapshot import Snapshot

__all__ = ["SnapshotFile", "encode_snapshot", "publish", "read_snapshot"]

_encoder = msgspec.json.Encoder()


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return a snapshot as JSON, on one line."""
    return _encoder.encode(snapshot)


def publish(path: Path, snapshot: Snapshot) -> None:
    """Make `snapshot` the one in force: a reader sees the old file or the new one, never a mixture.

    Raises `StorageError` where the disk refuses; the old file then stays.
    """
    write_atomically(path, encode_snapshot(snapshot), durable=True)


def read_snapshot(path: Path) -> Snapshot | None:
    """Return the snapshot on disk, `None` where there is none.

    Raises `StorageError`: `needs_newer_reader` where this version must not serve it, else `unreadable_snapshot`.
    """
    published = _read(path)
    if isinstance(published, SnapshotHead):
        raise too_new(published)
    return published


def _read(path: Path) -> Snapshot | SnapshotHead | None:
    try:
        return decode_published(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise StorageError(
            "unreadable_snapshot",
            f"the snapshot cannot be read: {error}",
            param=str(path),
            hint="the next publication replaces it; data planes keep serving what they have",
        ) from error


class SnapshotFile:
    """Follows one snapshot file.

    A file that is broken, of another environment, or older than what is in force is refused, and why is remembered.
    Of one that only newer versions serve as it is meant the head is heeded (see `serving.earlier_snapshot`).
    """

    def __init__(self, path: Path, *, environment: str = "") -> None:
        """Follow `path`; only snapshots of `environment` are taken, where one is given."""
        self._path = path
        self._environment = environment
        self._seen: tuple[int, int, int] | None = None
        self._newest = 0
        """The highest revision heeded, whether or not it is served."""
        self.table: RoutingTable | None = None
        self.problem = ""
        """Why the file on disk is not the one in force; empty where it is."""
        self.refused = ""
        """The code of that reason."""

    def poll(self) -> bool:
        """Look at the file; returns whether a new table is in force. Never raises."""
        try:
            status = self._path.stat()
        except OSError as error:
            if self.table is not None:
                self._seen = None
                self.problem, self.refused = f"the snapshot file is gone: {error.strerror}", "gone"
            return False
        identity = (status.st_ino, status.st_mtime_ns, status.st_size)
        if identity == self._seen:
            return False
        self._seen = identity
        try:
            return self._take(_read(self._path))
        except TrimtabError as error:
            self.problem, self.refused = error.message, error.code
            return False

    def _take(self, published: Snapshot | SnapshotHead | None) -> bool:
        """Put what was published in force, as far as it may be; raises `TrimtabError` where it cannot be used."""
        if published is None:
            return False
        self.problem = self._refusal(published)
        self.refused = "not_taken" if self.problem else ""
        if self.problem:
            return False
        if isinstance(published, SnapshotHead):
            self._newest = published.revision
            reason = too_new(published)
            self.problem, self.refused = reason.message, reason.code
            return self._hold_to(published)
        self._serve(published)
        self._newest = published.revision
        return True

    def _serve(self, snapshot: Snapshot) -> None:
        self.table = RoutingTable(snapshot, reuse=self.table.releases if self.table else None)

    def _hold_to(self, head: SnapshotHead) -> bool:
        """Serve what was served, or else was kept for readers of this version, as far as a newer head leaves it."""
        if self.table is not None:
            held = held_to(head, self.table.snapshot)
            if held is self.table.snapshot:
                return False
            self._serve(held)
            return True
        for reader in range(READER_VERSION, 0, -1):
            with contextlib.suppress(TrimtabError):
                kept = read_snapshot(self._path.with_name(f"{self._path.name}.reader-{reader}"))
                if kept is not None and kept.environment == head.environment:
                    self._serve(held_to(head, kept))
                    return True
        return False

    def _refusal(self, published: Snapshot | SnapshotHead) -> str:
        if self._environment and published.environment != self._environment:
            return f"the file holds environment `{published.environment}`, not `{self._environment}`"
        if published.revision < self._newest:
            return f"revision {published.revision} is older than {self._newest} in force"
        return ""
