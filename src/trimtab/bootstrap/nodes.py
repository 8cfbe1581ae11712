"""A node among several machines, wired: snapshots down to data planes elsewhere, their journals up."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from trimtab.bootstrap.store import open_notices, open_store
from trimtab.control.door import Door
from trimtab.control.feed import SnapshotFeed
from trimtab.control.inbox import Inbox
from trimtab.control.machines import MachineBoard
from trimtab.core.clock import SystemClock
from trimtab.core.errors import InputError
from trimtab.rollout.controller import CONSUMER
from trimtab.rollout.files import SnapshotFiles

if TYPE_CHECKING:
    from trimtab.bootstrap.settings import Settings

__all__ = ["Node", "open_node"]

_BOARD_SECONDS = 1.0
_FEED_SECONDS = 0.001
"""The feed waits by itself."""


class Node:
    """What a node needs that is not alone: `listens` says whether data planes of other machines may come."""

    def __init__(self, settings: Settings) -> None:
        clock, directory = SystemClock(), settings.data_directory
        self.listens = bool(settings.server.data_planes.host)
        self.address = _address(settings) if self.listens else ""
        self.inbox = Inbox(consumer=CONSUMER, is_local=lambda process: (directory.journals / process).is_dir())
        store = open_store(settings)  # one for all three, so that a node keeps few connections
        self.feed = SnapshotFeed(store, SnapshotFiles(directory), open_notices(settings))
        self.board = MachineBoard(store, directory, clock)
        self.door = Door(store, clock)

    @property
    def loops(self) -> dict[str, tuple[SnapshotFeed | MachineBoard, float]]:
        """What is to be ticked, by name, and every how many seconds."""
        return {"snapshots": (self.feed, _FEED_SECONDS), "machines": (self.board, _BOARD_SECONDS)}


def open_node(settings: Settings) -> Node | None:
    """Open what several machines need; `None` where the settings know of one machine alone.

    Raises `InputError` for a certificate without its key, `StorageError` where the store cannot be opened.
    """
    door = settings.server.data_planes
    if bool(door.tls_certificate) != bool(door.tls_key):
        raise InputError(
            "incomplete_tls",
            "a certificate needs its key, and a key its certificate",
            param="server.data_planes.tls_key",
            hint="give both tls_certificate and tls_key, or neither",
        )
    return Node(settings) if door.host or settings.database else None


def _address(settings: Settings) -> str:
    door = settings.server.data_planes
    if door.address:
        return door.address.rstrip("/")
    scheme = "https" if door.tls_certificate else "http"
    everywhere = door.host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    host = socket.gethostname() if everywhere else door.host
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{door.port}"
