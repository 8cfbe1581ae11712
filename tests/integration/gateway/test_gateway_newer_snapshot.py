"""A gateway beside a snapshot of a newer version: it serves on as it did, and admits nobody whose key was revoked."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.gateway.config import GatewayConfig
from trimtab.gateway.server import Gateway
from trimtab.policy.keys import hash_key
from trimtab.rollout.files import SnapshotFiles
from trimtab.serving.runtime import DataPlane
from trimtab.serving.snapshot_reading import READER_VERSION, TOO_NEW

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = {
    "model": "support-reply",
    "messages": [{"role": "user", "content": "Where is my order?"}],
    "trimtab": {"variables": {"shop": "Acme"}},
}
BEFORE = {hash_key("tk-old"): "support", hash_key("tk-kept"): "support"}
SINCE = {hash_key("tk-kept"): "support", hash_key("tk-new"): "support"}


class Caller:
    """One connection, kept: what was remembered of its key must be forgotten."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=20)
        self._headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}

    def ask(self) -> int:
        return self.send("POST", "/v1/chat/completions", json.dumps(BODY))[0]

    def send(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        self._connection.request(method, path, body, self._headers)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def callers() -> Any:
    made: list[Caller] = []

    def make(port: int, *keys: str) -> list[Caller]:
        fresh = [Caller(port, key) for key in keys]
        made.extend(fresh)
        return fresh

    yield make
    for one in made:
        one.close()


def publish_newer(here: Any, snapshot: Any, **changes: Any) -> None:
    newer = msgspec.structs.replace(snapshot, reader=READER_VERSION + 1, **changes)
    SnapshotFiles(here.directory).publish(newer)


def test_keys_follow_the_newest_snapshot_while_it_runs_and_when_it_starts_again(
    stack: Callable[..., Any],
    snapshot: Callable[..., Any],
    release: Callable[..., Any],
    eventually: Callable[..., None],
    callers: Callable[..., list[Caller]],
) -> None:
    here = stack(keys=BEFORE)
    running = callers(here.port, "tk-old", "tk-kept", "tk-new")
    assert [one.ask() for one in running for _ in range(2)] == [200, 200, 200, 200, 401, 401]
    publish_newer(here, snapshot(release(2), revision=2, keys=SINCE))
    eventually(lambda: here.plane.health()["snapshot_refused"] == TOO_NEW)
    assert [one.ask() for one in running for _ in range(2)] == [401, 401, 200, 200, 200, 200]

    plane = DataPlane.open(here.directory, environment="production", kind="gateway")
    again = Gateway(GatewayConfig(port=0), plane, here.endpoints)
    try:
        _, port = here.run(again.start())
        assert plane.revision == 1
        assert [one.ask() for one in callers(port, "tk-old", "tk-kept", "tk-new")] == [401, 200, 200]
    finally:
        here.run(again.stop())
        plane.close()


def test_an_open_gateway_is_closed_by_a_key_in_a_newer_snapshot(
    stack: Callable[..., Any],
    snapshot: Callable[..., Any],
    release: Callable[..., Any],
    eventually: Callable[..., None],
    callers: Callable[..., list[Caller]],
) -> None:
    here = stack()
    old, new = callers(here.port, "none", "tk-new")
    assert old.ask() == 200
    publish_newer(here, snapshot(release(), revision=2, keys=SINCE))
    eventually(lambda: here.plane.health()["snapshot_refused"] == TOO_NEW)
    assert (old.ask(), new.ask()) == (401, 200)


def test_readyz_tells_why_the_newest_snapshot_is_not_served_and_is_ready_all_the_same(
    stack: Callable[..., Any],
    snapshot: Callable[..., Any],
    release: Callable[..., Any],
    eventually: Callable[..., None],
    callers: Callable[..., list[Caller]],
) -> None:
    here = stack(keys=BEFORE)
    without, kept = callers(here.port, "none", "tk-kept")
    assert without.send("GET", "/readyz") == (200, {"status": "ready"})
    publish_newer(here, snapshot(release(), revision=2, keys=SINCE))
    eventually(lambda: here.plane.health()["snapshot_refused"] == TOO_NEW)
    assert without.send("GET", "/readyz") == (200, {"status": "ready", "snapshot_refused": TOO_NEW})
    status, told = kept.send("GET", "/readyz")
    assert (status, told["status"], told["revision"], told["snapshot_refused"]) == (200, "ready", 1, TOO_NEW)
    assert "reader version" in told["snapshot_problem"]
