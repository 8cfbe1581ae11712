"""Down: the snapshots that the control plane publishes become this machine's snapshot file."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import InputError, StorageError
from trimtab.serving.snapshot_reading import decode_published

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.relay.link import Link
    from trimtab.rollout.files import SnapshotFiles

__all__ = ["SnapshotFollower"]

_LINE_BYTES = 256 * 1024 * 1024
SILENCE_SECONDS = 6.0
"""A stream that is silent for longer is dead: nodes say that they are alive every two seconds."""


class SnapshotFollower:
    """Streams one environment's snapshots into `snapshots/ENVIRONMENT.json`. One thread runs :meth:`follow`."""

    def __init__(self, link: Link, files: SnapshotFiles, environment: str) -> None:
        """`link` must give up on a node that is silent for `SILENCE_SECONDS`."""
        self._link = link
        self._files = files
        self._environment = environment
        self.heard_at = 0.0
        """When a node was last heard of, in seconds of the monotonic clock; 0 before the first time."""
        self.problem = ""
        """Why this machine does not serve what is declared; empty while it does."""

    @property
    def server(self) -> str:
        """The node that is listened to."""
        return self._link.server

    def follow(self, connected: Callable[[], None]) -> None:
        """Take in what one node says until it falls silent; `connected` is called once it says anything.

        Raises `NodesAwayError`, `AuthenticationError`; `StorageError` where the file cannot be written.
        """
        after = self._files.published_revision(self._environment)
        path = f"/api/v1/snapshot/stream?environment={self._environment}&after={after}"
        stream = self._link.stream(path)
        try:
            self._listen(stream, connected)
        except (OSError, http.client.HTTPException) as error:
            raise self._link.fail(error) from error
        finally:
            self._link.close()
        raise self._link.fail(ConnectionResetError("it ended the stream"))

    def stop(self) -> None:
        """Cut the stream, from another thread."""
        self._link.cut()

    def _listen(self, stream: http.client.HTTPResponse, connected: Callable[[], None]) -> None:
        kind = ""
        while line := stream.readline(_LINE_BYTES):
            self.heard_at = time.monotonic()
            if line.startswith(b"retry"):  # the first line of every stream
                connected()
            name, _, value = line.rstrip(b"\r\n").partition(b": ")
            if name == b"event":
                kind = value.decode()
            elif name == b"data" and kind == "snapshot":
                self._take(value)
            elif name == b"data" and kind == "alive":
                self._compare(int(value))

    def _take(self, data: bytes) -> None:
        try:
            snapshot = decode_published(data)
        except (msgspec.DecodeError, RecursionError) as error:
            self.problem = f"a snapshot of {self.server} cannot be read: {error}"
            return
        if snapshot.environment != self._environment:
            self.problem = f"{self.server} sends a snapshot of `{snapshot.environment}`, not `{self._environment}`"
            return
        try:
            self._files.hand_on(snapshot, data)
        except InputError as error:
            self.problem = f"a snapshot of {self.server} cannot be used: {error.message}"
            return
        except StorageError as error:
            self.problem = error.message
            raise
        self._compare(snapshot.revision)

    def _compare(self, declared: int) -> None:
        held = self._files.published_revision(self._environment)
        self.problem = (
            f"the control plane is at snapshot {declared}, this machine has {held}: it publishes anew once it is told"
            if held > declared
            else ""
        )
