"""The snapshots in force, as a node of the control plane knows them: kept up to date, and handed on.

A node hears that something was published (`Notices`), reads what changed from the store, puts it into its own snapshot
files and wakes whoever streams to data planes. What it holds stays in force while the store is away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from trimtab.core.errors import StorageError
from trimtab.serving.snapshot_reading import decode_published

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.rollout.files import SnapshotFiles
    from trimtab.rollout.ports import ControlStore, Published

__all__ = ["Notices", "SnapshotFeed"]

_LOOK_SECONDS = 1.0
"""How often the store is asked where no notice comes: a lost one costs this much."""


class Notices(Protocol):
    """Tells when something may have been published."""

    def wait(self, timeout_seconds: float) -> None:
        """Return when something may have been published, at the latest when time is up."""
        ...

    def close(self) -> None: ...


class SnapshotFeed:
    """Follows the store from one thread (:meth:`tick`); :meth:`latest` is for all."""

    def __init__(self, store: ControlStore, files: SnapshotFiles, notices: Notices) -> None:
        self._store = store
        self._files = files
        self._notices = notices
        self._latest: dict[str, Published] = {}
        self._listeners: list[Callable[[], None]] = []
        self._problem = ""
        self.ended = False
        """Whether the node stops: who streams ends, and its reader goes to another node."""

    def latest(self, environment: str) -> Published | None:
        """Return the snapshot in force; `None` where there is none, as far as this node knows."""
        return self._latest.get(environment)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have `listener` called, from the feed's thread, whenever something changed."""
        self._listeners.append(listener)

    def end(self) -> None:
        """Tell everybody who streams to end."""
        self.ended = True
        self._tell()

    def tick(self) -> list[str]:
        """Wait for news, about a second at most, and take them in; returns what is worth telling."""
        self._notices.wait(_LOOK_SECONDS)
        try:
            self._catch_up()
        except StorageError as error:
            told = [] if self._problem else [f"snapshots: {error.message}; data planes keep what they have"]
            self._problem = error.message
            return told
        told = ["snapshots: the store answers again"] if self._problem else []
        self._problem = ""
        return told

    def close(self) -> None:
        """Stop listening, and close the store."""
        self._notices.close()
        self._store.close()

    def _catch_up(self) -> None:
        with self._store.read() as tx:
            known = {environment: one.revision for environment, one in self._latest.items()}
            stale = [name for name, revision in tx.published_revisions().items() if known.get(name) != revision]
            fresh = [found for name in stale if (found := tx.published(name)) is not None]
        self._latest = self._latest | {published.environment: published for published in fresh}
        if fresh:
            self._tell()  # at once: what this node cannot put into its own files others may well be able to read
        for published in self._latest.values():
            if self._files.published_revision(published.environment) < published.revision:
                self._write(published)  # new, or somebody deleted the file

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _write(self, published: Published) -> None:
        """Put it into this node's own files, which refuse what is not newer."""
        try:
            self._files.hand_on(decode_published(published.body), published.body)
        except msgspec.DecodeError as error:
            raise StorageError(
                "unreadable_snapshot",
                f"the snapshot of `{published.environment}` in the store cannot be read: {error}",
                param=published.environment,
                hint="does a newer version of Trimtab publish? upgrade this node",
            ) from error
