"""A node's door for data planes over real HTTP, and a machine before it; the store in memory."""

from __future__ import annotations

import json
import time
from http.client import HTTPConnection
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.free_port import free_port

from trimtab.api import data_planes
from trimtab.bootstrap.node_settings import DataPlanesSettings
from trimtab.cli.door import open_door
from trimtab.control import door as door_module
from trimtab.control.door import Door
from trimtab.control.feed import SnapshotFeed
from trimtab.control.inbox import Inbox
from trimtab.control.machines import MachineBoard
from trimtab.core.clock import SystemClock
from trimtab.core.ids import new_id
from trimtab.events import Exposure, encode_event
from trimtab.policy.keys import create_key, revoke_key
from trimtab.relay.follow import SnapshotFollower
from trimtab.relay.link import Link
from trimtab.relay.ship import Shipper
from trimtab.rollout.controller import CONSUMER
from trimtab.rollout.files import SnapshotFiles
from trimtab.rollout.ports import Published
from trimtab.serving.directory import DataDirectory
from trimtab.serving.journal import JournalWriter
from trimtab.serving.snapshot import Snapshot
from trimtab.serving.snapshot_file import encode_snapshot, read_snapshot
from trimtab.storage.memory import MemoryStore

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENVIRONMENT = "production"


class Quiet:
    """Notices that never come: the feed is ticked by the test."""

    def wait(self, timeout_seconds: float) -> None:
        pass

    def close(self) -> None:
        pass


class Post:
    """A node's door, open."""

    def __init__(self, store: MemoryStore, root: Path, **tls: str) -> None:
        self.store = store
        self.directory = DataDirectory(root)
        self.port = free_port()
        clock = SystemClock()
        self.inbox = Inbox(consumer=CONSUMER, is_local=lambda _: False)
        self.feed = SnapshotFeed(store, SnapshotFiles(self.directory), Quiet())
        self.board = MachineBoard(store, self.directory, clock)
        node: Any = SimpleNamespace(door=Door(store, clock), feed=self.feed, inbox=self.inbox, board=self.board)
        self._listener = open_door(node, DataPlanesSettings(host="127.0.0.1", port=self.port, **tls))
        self._listener.start()
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"

    def publish(self, revision: int, **parts: Any) -> None:
        snapshot = Snapshot(revision=revision, environment=ENVIRONMENT, published_at_ms=revision, **parts)
        with self.store.write() as tx:
            tx.put_snapshot(Published(environment=ENVIRONMENT, revision=revision, body=encode_snapshot(snapshot)))
        self.feed.tick()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            content = response.read()
            names = {name.lower(): value for name, value in response.getheaders()}
            return response.status, json.loads(content) if content else None, names
        finally:
            connection.close()

    def close(self) -> None:
        self._listener.stop()


class Key:
    def __init__(self, store: MemoryStore, role: Any = "data-plane") -> None:
        with store.write() as tx:
            key, self.secret = create_key(tx, "ops", actor="ada", now_ms=1, role=role)
        self.id = key.id
        self.header = {"authorization": f"Bearer {self.secret}"}

    def revoke(self, store: MemoryStore) -> None:
        with store.write() as tx:
            revoke_key(tx, self.id, actor="ada", now_ms=2)


class Stream:
    """What a stream says: its events' names and revisions."""

    def __init__(self, post: Post, key: Key, after: int, headers: dict[str, str] | None = None) -> None:
        self._connection = HTTPConnection("127.0.0.1", post.port, timeout=20)
        path = f"/api/v1/snapshot/stream?environment={ENVIRONMENT}&after={after}"
        self._connection.request("GET", path, headers=key.header | (headers or {}))
        self._response = self._connection.getresponse()
        assert self._response.getheader("content-type", "").startswith("text/event-stream")

    def close(self) -> None:
        self._response.close()
        self._connection.close()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> tuple[str, int]:
        name = ""
        while line := self._response.readline():
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                return name, json.loads(value)["revision"] if name == "snapshot" else int(value)
        raise StopIteration


class Machine:
    """A machine's files, and what connects them."""

    def __init__(self, root: Path, link: Link, second: Link) -> None:
        self.directory = DataDirectory(root)
        self.files = SnapshotFiles(self.directory)
        self.follower = SnapshotFollower(link, self.files, ENVIRONMENT)
        self.shipper = Shipper(second, self.directory.journals, "m")
        self.journal = JournalWriter(self.directory.journals / "sdk-1-a")

    def record(self, count: int) -> None:
        for _ in range(count):
            event = Exposure(
                id=new_id("exp", 1), at_ms=1, feature="f", environment=ENVIRONMENT, release="r", arm="stable", unit="u"
            )
            self.journal.append(encode_event(event), 1)
        self.journal.flush(10)

    def revision(self) -> int:
        snapshot = read_snapshot(self.directory.snapshot(ENVIRONMENT))
        return 0 if snapshot is None else snapshot.revision


@pytest.fixture
def connect() -> Iterator[Callable[..., Link]]:
    """Makes links, and closes them."""
    made: list[Link] = []

    def make(*servers: str, key: str, tls: ssl.SSLContext | None = None) -> Link:
        made.append(Link(servers, key, tls, read_seconds=10.0))
        return made[-1]

    yield make
    for link in made:
        link.close()


@pytest.fixture
def machine(tmp_path: Path, post: Post, key: Key, connect: Callable[..., Link]) -> Iterator[Machine]:
    links = [connect(post.url, key=key.secret) for _ in range(2)]
    made = Machine(tmp_path / "machine", *links)
    yield made
    made.journal.close()


def wait(happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_FRESH_SECONDS", 0.0)
    monkeypatch.setattr(data_planes, "HEARTBEAT_SECONDS", 0.05)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def opened(store: MemoryStore, tmp_path: Path) -> Iterator[Callable[..., Post]]:
    posts: list[Post] = []

    def make(name: str = "node", **tls: str) -> Post:
        posts.append(Post(store, tmp_path / name, **tls))
        return posts[-1]

    yield make
    for post in posts:
        post.close()


@pytest.fixture
def post(opened: Callable[..., Post]) -> Post:
    return opened()


@pytest.fixture
def key(store: MemoryStore) -> Key:
    return Key(store)


@pytest.fixture
def streams() -> Iterator[Callable[..., Stream]]:
    """Opens streams, and closes them."""
    opened: list[Stream] = []

    def make(post: Post, key: Key, after: int, headers: dict[str, str] | None = None) -> Stream:
        opened.append(Stream(post, key, after, headers))
        return opened[-1]

    yield make
    for stream in opened:
        stream.close()
