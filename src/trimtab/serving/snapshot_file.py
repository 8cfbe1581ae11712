"""Snapshots on disk: replaced whole by atomic rename, watched by stat. The file is also the last good snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import StorageError, TrimtabError
from trimtab.serving.durable_file import write_atomically
from trimtab.serving.routing import RoutingTable
from trimtab.serving.snapshot_reading import READER_VERSION, TOO_NEW, decode_snapshot

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
    try:
        return decode_snapshot(path.read_bytes())
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

    A file that is broken, of another environment, older than what is in force, or one that only newer versions serve as
    it is meant is refused, and why is remembered.
    """

    def __init__(self, path: Path, *, environment: str = "") -> None:
        """Follow `path`; only snapshots of `environment` are taken, where one is given."""
        self._path = path
        self._environment = environment
        self._seen: tuple[int, int, int] | None = None
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
            return self._take(self._path)
        except TrimtabError as error:
            self.problem, self.refused = error.message, error.code
        return self.table is None and self.refused == TOO_NEW and self._take_earlier()

    def _take(self, path: Path) -> bool:
        """Put a file in force, if it may be; raises `TrimtabError` for one that cannot be used."""
        snapshot = read_snapshot(path)
        if snapshot is None:
            return False
        self.problem = self._refusal(snapshot)
        self.refused = "not_taken" if self.problem else ""
        if self.problem:
            return False
        self.table = RoutingTable(snapshot, reuse=self.table.releases if self.table else None)
        return True

    def _take_earlier(self) -> bool:
        """Serve what was kept for readers of this version, or an older one, when newer ones became needed."""
        refused = self.problem
        for reader in range(READER_VERSION, 0, -1):
            try:
                taken = self._take(self._path.with_name(f"{self._path.name}.reader-{reader}"))
            except TrimtabError:
                continue
            if taken:
                break
        self.problem, self.refused = refused, TOO_NEW
        return self.table is not None

    def _refusal(self, snapshot: Snapshot) -> str:
        if self._environment and snapshot.environment != self._environment:
            return f"the file holds environment `{snapshot.environment}`, not `{self._environment}`"
        if self.table is not None and snapshot.revision < self.table.snapshot.revision:
            return f"revision {snapshot.revision} is older than {self.table.snapshot.revision} in force"
        return ""
