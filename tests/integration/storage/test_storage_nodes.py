"""What nodes and machines share: the same in memory, in SQLite and in Postgres."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from trimtab.core.clock import FakeClock
from trimtab.policy.keys import create_key, revoke_key
from trimtab.releases.model import Feature, PointerMove
from trimtab.rollout.ports import Published
from trimtab.rollout.publishing import no_prices, publish_into, routing_fingerprint
from trimtab.rollout.simulation import synthetic_release
from trimtab.serving.snapshot_reading import decode_snapshot
from trimtab.storage.postgres import PostgresStore
from trimtab.storage.postgres_notices import PostgresNotices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import PostgresServer

    from trimtab.rollout.ports import ControlStore

NOW_MS = FakeClock().now_ms()


def published(environment: str, revision: int) -> Published:
    return Published(environment=environment, revision=revision, body=b'{"n":%d}' % revision)


def test_the_snapshot_in_force_is_replaced_whole(store: ControlStore) -> None:
    with store.read() as tx:
        assert tx.published("production") is None
        assert tx.published_revisions() == {}
    with store.write() as tx:
        tx.put_snapshot(published("production", 1))
        tx.put_snapshot(published("staging", 7))
        tx.put_snapshot(published("production", 2))
    with store.read() as tx:
        assert tx.published("production") == published("production", 2)
        assert tx.published_revisions() == {"production": 2, "staging": 7}


def test_what_is_published_is_what_the_transaction_says_or_nothing(store: ControlStore) -> None:
    release = synthetic_release("f", 1)
    with store.write() as tx:
        tx.put_feature(Feature(name="f", team="t"))
        tx.add_release(release)
    move = PointerMove(
        feature="f",
        environment="production",
        revision=1,
        from_release=None,
        to_release=release.digest,
        at_ms=NOW_MS,
        actor="ada",
        reason="first",
    )
    with pytest.raises(RuntimeError), store.write() as tx:
        tx.move_pointer(move)
        publish_into(tx, "production", now_ms=NOW_MS, prices=no_prices)
        raise RuntimeError
    with store.read() as tx:
        assert (tx.published("production"), tx.snapshot_revision("production")) == (None, 0)
    with store.write() as tx:
        tx.move_pointer(move)
        snapshot = publish_into(tx, "production", now_ms=NOW_MS, prices=no_prices)
    with store.read() as tx:
        stored = tx.published("production")
    assert stored is not None
    assert decode_snapshot(stored.body) == snapshot
    assert (snapshot.revision, [route.stable for route in snapshot.routes]) == (1, [release.digest])


def test_keys_of_data_planes_open_no_gateway_and_ask_for_none(store: ControlStore) -> None:
    with store.read() as tx:
        before = routing_fingerprint(tx, "production")
    with store.write() as tx:
        machine, _ = create_key(tx, "ops", actor="ada", now_ms=NOW_MS, role="data-plane")
        snapshot = publish_into(tx, "production", now_ms=NOW_MS, prices=no_prices)
        assert routing_fingerprint(tx, "production") == before
        assert (snapshot.keys, snapshot.keys_required) == ({}, False)
        caller, _ = create_key(tx, "shop", actor="ada", now_ms=NOW_MS)
        snapshot = publish_into(tx, "production", now_ms=NOW_MS, prices=no_prices)
        assert (snapshot.keys, snapshot.keys_required) == ({caller.hash: "shop"}, True)
        revoke_key(tx, machine.id, actor="ada", now_ms=NOW_MS)
        assert [(entry.action, entry.detail) for entry in tx.audit()] == [
            ("key.create", {"team": "ops", "role": "data-plane"}),
            ("key.create", {"team": "shop"}),
            ("key.revoke", {"team": "ops", "role": "data-plane"}),
        ]


def test_a_lease_tells_where_its_holder_is_reached(store: ControlStore) -> None:
    with store.write() as tx:
        assert tx.lease("l") is None
        first = tx.acquire_lease("l", holder="a", now_ms=NOW_MS, ttl_ms=5_000, address="http://a:1")
        assert tx.lease("l") == first
        assert first is not None
        assert first.address == "http://a:1"
        assert tx.acquire_lease("l", holder="b", now_ms=NOW_MS, ttl_ms=5_000, address="http://b:1") is None
        moved = tx.acquire_lease("l", holder="a", now_ms=NOW_MS, ttl_ms=5_000, address="http://a:2")
        assert moved is not None
        assert (moved.address, moved.epoch) == ("http://a:2", 1)
        second = tx.acquire_lease("l", holder="b", now_ms=NOW_MS + 5_000, ttl_ms=5_000, address="http://b:1")
        assert second is not None
        assert (second.address, second.epoch) == ("http://b:1", 2)


def test_machines_are_known_by_what_they_said_last(store: ControlStore) -> None:
    with store.write() as tx:
        tx.put_machine("b", seen_ms=2, body=b"b2")
        tx.put_machine("a", seen_ms=1, body=b"a1")
        tx.put_machine("b", seen_ms=3, body=b"b3")
    with store.read() as tx:
        assert tx.machines(seen_since_ms=0) == [b"a1", b"b3"]
        assert tx.machines(seen_since_ms=2) == [b"b3"]
    with store.write() as tx:
        tx.forget_machines(seen_before_ms=3)
        assert tx.machines(seen_since_ms=0) == [b"b3"]


@pytest.fixture
def node(postgres: PostgresServer) -> Iterator[tuple[PostgresStore, PostgresNotices]]:
    url = postgres.new_store_url()
    store, notices = PostgresStore(url), PostgresNotices(url)
    notices.wait(60)  # listens from here on
    yield store, notices
    notices.close()
    store.close()


def _publish_soon(store: PostgresStore, *, commits: bool) -> threading.Thread:
    def publish() -> None:
        with store.write() as tx:
            tx.put_snapshot(published("production", 1))
            if not commits:
                raise KeyboardInterrupt

    def run() -> None:
        try:
            publish()
        except KeyboardInterrupt:
            return

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_node_hears_of_a_publication_when_it_is_committed(node: tuple[PostgresStore, PostgresNotices]) -> None:
    store, notices = node
    thread = _publish_soon(store, commits=True)
    notices.wait(60)  # returns long before
    with store.read() as tx:
        assert tx.published_revisions() == {"production": 1}
    thread.join()


def test_a_node_hears_nothing_of_what_was_rolled_back(node: tuple[PostgresStore, PostgresNotices]) -> None:
    store, notices = node
    _publish_soon(store, commits=False).join()
    connection = notices._connection
    assert connection is not None
    assert list(connection.notifies(timeout=0.2)) == []


def test_a_lost_connection_is_made_anew(node: tuple[PostgresStore, PostgresNotices]) -> None:
    store, notices = node
    assert notices._connection is not None
    with store.write() as tx:
        tx.rows(sa.select(sa.func.pg_terminate_backend(notices._connection.info.backend_pid)))
    notices.wait(0.01)  # finds it gone
    notices.wait(60)  # listens again, and returns at once: what was said meanwhile nobody heard
    thread = _publish_soon(store, commits=True)
    notices.wait(60)
    thread.join()
    with store.read() as tx:
        assert tx.published_revisions() == {"production": 1}
