"""What the door for data planes tells, and whom."""

from __future__ import annotations

from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.integration.relay.conftest import ENVIRONMENT, Key

from trimtab.core.clock import SystemClock
from trimtab.core.errors import StorageError
from trimtab.serving.machine_report import MachineReport, read_statuses
from trimtab.serving.process_status import ProcessStatus
from trimtab.serving.shipment import Shipment

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.relay.conftest import Post, Stream

    from trimtab.storage.memory import MemoryStore

    Streams = Callable[..., Stream]

GUARDED = [
    ("GET", "/api/v1/snapshot?environment=production"),
    ("GET", "/api/v1/snapshot/stream?environment=production"),
    ("POST", "/api/v1/journals"),
    ("POST", "/api/v1/machines"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_nothing_is_told_to_whoever_has_no_key_of_a_data_plane(
    post: Post, store: MemoryStore, key: Key, method: str, path: str
) -> None:
    gateway, revoked = Key(store, "gateway"), Key(store)
    revoked.revoke(store)
    for header in (
        {},
        {"authorization": "Bearer "},
        {"authorization": f"Basic {key.secret}"},
        gateway.header,
        revoked.header,
    ):
        status, answer, headers = post.ask(method, path, b"{}" if method == "POST" else None, header)
        assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
        assert headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/", "/api/v1/running", "/api/v1/rollouts", "/api/v1/audit", "/metrics"])
def test_nothing_else_is_behind_the_door(post: Post, key: Key, path: str) -> None:
    connection = HTTPConnection("127.0.0.1", post.port, timeout=20)
    connection.request("GET", path, headers=key.header)
    assert connection.getresponse().status == 404
    connection.close()


def test_probes_take_no_key(post: Post) -> None:
    assert post.ask("GET", "/healthz")[:2] == (200, {"status": "ok"})
    assert post.ask("GET", "/leader")[:2] == (503, {"leading": False})
    post.inbox.read([], limit=1)
    assert post.ask("GET", "/leader")[:2] == (200, {"leading": True})


def test_a_snapshot_is_read_again_only_when_it_is_another(post: Post, key: Key) -> None:
    path = "/api/v1/snapshot?environment=production"
    assert post.ask("GET", path, headers=key.header)[0] == 404
    post.publish(3)
    status, snapshot, headers = post.ask("GET", path, headers=key.header)
    assert (status, snapshot["revision"], headers["etag"]) == (200, 3, '"3"')
    assert post.ask("GET", path, headers=key.header | {"if-none-match": '"3"'})[0] == 304
    post.publish(4)
    assert post.ask("GET", path, headers=key.header | {"if-none-match": '"3"'})[1]["revision"] == 4
    assert post.ask("GET", "/api/v1/snapshot?environment=../x", headers=key.header)[0] == 400
    assert post.ask("GET", "/api/v1/snapshot", headers=key.header)[0] == 400


def test_a_stream_begins_with_what_its_reader_lacks_and_goes_on(post: Post, key: Key, streams: Streams) -> None:
    post.publish(3)
    fresh, known = streams(post, key, 0), streams(post, key, 3)
    resumed = streams(post, key, 0, {"last-event-id": "3"})
    assert next(fresh) == ("snapshot", 3)
    assert next(known) == next(resumed) == ("alive", 3)
    post.publish(4)
    for stream in (fresh, known, resumed):
        assert next(one for one in stream if one[0] == "snapshot") == ("snapshot", 4)
    assert post.ask("GET", "/api/v1/snapshot/stream?environment=production&after=x", headers=key.header)[0] == 400


def test_a_revoked_key_hears_no_more(post: Post, key: Key, streams: Streams) -> None:
    post.publish(1)
    stream = streams(post, key, 0)
    assert next(stream) == ("snapshot", 1)
    key.revoke(post.store)
    assert [name for name, _ in stream if name == "snapshot"] == []  # it ends


def test_a_node_that_stops_ends_its_streams_without_ado(
    opened: Callable[..., Post], key: Key, streams: Streams, caplog: pytest.LogCaptureFixture
) -> None:
    stopping = opened("stopping")
    stopping.publish(1)
    stream = streams(stopping, key, 0)
    assert next(stream) == ("snapshot", 1)
    stopping.close()
    assert [name for name, _ in stream if name == "snapshot"] == []  # it ends
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_store_that_is_away_ends_no_stream_and_shuts_no_door(
    post: Post, key: Key, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    post.publish(1)
    assert post.ask("GET", "/api/v1/snapshot?environment=production", headers=key.header)[0] == 200

    def away() -> Any:
        raise StorageError("database_unavailable", "the control database failed")

    monkeypatch.setattr(post.store, "read", away)
    stream = streams(post, key, 0)
    assert [next(stream), next(stream)] == [("snapshot", 1), ("alive", 1)]
    assert post.feed.tick() == ["snapshots: the control database failed; data planes keep what they have"]
    assert post.feed.tick() == []
    monkeypatch.undo()
    assert post.feed.tick() == ["snapshots: the store answers again"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/journals", b""),
        ("/api/v1/journals", b"\xc1"),
        ("/api/v1/journals", msgspec.msgpack.encode({"machine": "m", "ask": ["../x"]})),
        ("/api/v1/machines", b"{}"),
        ("/api/v1/machines", msgspec.json.encode(MachineReport(machine="../x", at_ms=1))),
    ],
)
def test_what_cannot_be_read_is_refused_whole(post: Post, key: Key, path: str, body: bytes) -> None:
    post.inbox.read([], limit=1)
    status, answer, _ = post.ask("POST", path, body, key.header)
    assert status == 400
    assert answer["error"]["hint"] or answer["error"]["param"]


def test_machines_are_shown_by_the_clock_of_the_node(post: Post, key: Key) -> None:
    slow_ms = SystemClock().now_ms() - 3_600_000 * 5  # a machine whose clock is five hours behind
    status = ProcessStatus(
        process="gateway-1-a",
        kind="gateway",
        pid=1,
        host="web-3",
        environment=ENVIRONMENT,
        started_ms=slow_ms,
        heartbeat_ms=slow_ms - 200,
    )
    report = MachineReport(machine="web-3", at_ms=slow_ms, processes=[status])
    assert post.ask("POST", "/api/v1/machines", msgspec.json.encode(report), key.header)[0] == 204
    post.board.tick()
    now_ms = SystemClock().now_ms()
    (shown,) = read_statuses(post.directory, environment=ENVIRONMENT, now_ms=now_ms)
    assert (shown.machine, shown.process) == ("web-3", "gateway-1-a")
    assert 200 <= now_ms - shown.heartbeat_ms < 60_000
    assert read_statuses(post.directory, environment="staging", now_ms=now_ms) == []


def test_an_empty_shipment_asks_where_to_begin(post: Post, key: Key) -> None:
    post.inbox.read([], limit=1)
    body = msgspec.msgpack.encode(Shipment(machine="m", ask=["sdk-1-a"]))
    status, receipt, _ = post.ask("POST", "/api/v1/journals", body, key.header)
    nowhere = {"segment": "", "offset": 0, "sequence": 0}
    assert (status, receipt["positions"], receipt["judged"]) == (200, {"sdk-1-a": nowhere}, {"sdk-1-a": nowhere})
