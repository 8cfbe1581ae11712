"""A relay's parts, before real doors."""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from tests.free_port import free_port
from tests.integration.relay.conftest import ENVIRONMENT, wait

from trimtab.core.clock import SystemClock
from trimtab.core.errors import AuthenticationError, InputError
from trimtab.relay.link import Link, NodesAwayError
from trimtab.rollout.controller import LEASE
from trimtab.rollout.ports import Published
from trimtab.serving.snapshot import Snapshot
from trimtab.serving.snapshot_file import SnapshotFile
from trimtab.serving.snapshot_reading import READER_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.relay.conftest import Machine, Post

    Connect = Callable[..., Link]


def follow_until(machine: Machine, happened: Callable[[], Any]) -> list[str]:
    """Follow in a thread until something happened; returns how it ended."""
    ended: list[str] = []

    def run() -> None:
        try:
            machine.follower.follow(lambda: None)
        except NodesAwayError as error:
            ended.append(error.message)

    thread = threading.Thread(target=run)
    thread.start()
    wait(happened)
    machine.follower.stop()
    thread.join()
    return ended


def test_a_machine_gets_every_snapshot_and_keeps_the_last(post: Post, machine: Machine) -> None:
    post.publish(1)

    def both() -> bool:
        if machine.revision() == 1:
            post.publish(2)
        return machine.revision() == 2

    assert len(follow_until(machine, both)) == 1
    assert machine.follower.problem == ""


def test_a_control_plane_that_knows_less_than_a_machine_is_told_of_and_not_followed(
    post: Post, machine: Machine
) -> None:
    machine.files.publish(Snapshot(revision=9, environment=ENVIRONMENT, published_at_ms=1))
    post.publish(3)
    follow_until(machine, lambda: machine.follower.problem)
    assert "publishes anew once it is told" in machine.follower.problem
    assert machine.revision() == 9


def test_what_is_no_snapshot_replaces_none(post: Post, machine: Machine) -> None:
    post.publish(1)
    follow_until(machine, lambda: machine.revision() == 1)
    post.feed._latest[ENVIRONMENT] = Published(environment=ENVIRONMENT, revision=2, body=b'{"revision":"two"}')
    follow_until(machine, lambda: machine.follower.problem)
    assert "cannot be read" in machine.follower.problem
    assert machine.revision() == 1


def test_a_snapshot_that_only_newer_data_planes_serve_gets_to_them_through_an_older_node_and_an_older_relay(
    post: Post, machine: Machine
) -> None:
    post.publish(1, keys={"a": "support"})
    follow_until(machine, lambda: machine.revision() == 1)
    post.publish(2, reader=READER_VERSION + 1)
    follow_until(machine, lambda: machine.files.published_revision(ENVIRONMENT) == 2)
    assert machine.follower.problem == ""
    for files in (machine.directory, post.directory):
        assert b'"reader":%d' % (READER_VERSION + 1) in files.snapshot(ENVIRONMENT).read_bytes()
        followed = SnapshotFile(files.snapshot(ENVIRONMENT), environment=ENVIRONMENT)
        assert followed.poll()
        assert followed.table is not None
        assert (followed.table.snapshot.revision, followed.table.snapshot.keys) == (1, {})


def test_journals_go_to_the_node_that_leads(opened: Callable[..., Post], post: Post, machine: Machine) -> None:
    leader = opened("leader")
    with post.store.write() as tx:
        tx.acquire_lease(LEASE, holder="x", now_ms=SystemClock().now_ms(), ttl_ms=60_000, address=leader.url)
    leader.inbox.read([], limit=1)
    machine.record(3)
    with pytest.raises(NodesAwayError, match="does not drive rollouts"):
        machine.shipper.turn()
    assert machine.shipper.server == leader.url
    wait(lambda: machine.shipper.turn() and machine.shipper.backlog_bytes() == 0)
    machine.record(2)
    machine.shipper.turn()
    batch = leader.inbox.read([], limit=100)
    assert len(batch.events) == 5
    assert machine.shipper.judged()["sdk-1-a"].sequence == 0  # read is not committed
    with post.store.write() as tx:
        tx.save_cursors(batch.cursors)
    machine.shipper._asked_at = -10.0
    machine.shipper.turn()
    assert machine.shipper.judged()["sdk-1-a"].sequence == 5


def test_a_leader_that_forgot_is_sent_again_what_it_lacks(post: Post, machine: Machine) -> None:
    post.inbox.read([], limit=1)
    machine.record(3)
    machine.shipper.turn()
    machine.shipper.turn()
    assert len(post.inbox.read([], limit=100).events) == 3
    post.inbox.close()  # the lease was lost and won again
    post.inbox.read([], limit=1)
    machine.shipper._asked_at = -10.0
    wait(lambda: machine.shipper.turn() or post.inbox.read([], limit=100).events)
    wait(machine.shipper.turn)
    assert len(post.inbox.read([], limit=100).events) == 3


def test_no_node_and_a_wrong_key_are_told_apart(post: Post, connect: Connect) -> None:
    nowhere = connect(f"http://127.0.0.1:{free_port()}", key="tt-any")
    with pytest.raises(NodesAwayError, match="Connection refused"):
        nowhere.call("GET", "/healthz")
    with pytest.raises(AuthenticationError, match="does not know this machine's key"):
        connect(post.url, key="tt-wrong").call("GET", "/api/v1/snapshot?environment=production")


def test_the_next_node_is_asked_where_one_is_away(post: Post, connect: Connect) -> None:
    link = connect(f"http://127.0.0.1:{free_port()}", post.url, key="tt-any")
    with pytest.raises(NodesAwayError):
        link.call("GET", "/healthz")
    assert link.call("GET", "/healthz").status == 200


def test_a_connection_that_was_closed_meanwhile_is_made_anew(post: Post, connect: Connect) -> None:
    link = connect(post.url, key="tt-any")
    assert link.call("GET", "/healthz").status == 200
    link.cut()
    assert link.call("GET", "/healthz").status == 200


def test_tls_is_verified(opened: Callable[..., Post], connect: Connect, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "node.pem")
    files = {"tls_certificate": str(tmp_path / "node.pem"), "tls_key": str(tmp_path / "node.pem")}
    secure = opened("secure", **files)
    known = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    assert connect(secure.url, key="tt-any", tls=known).call("GET", "/healthz").status == 200
    with pytest.raises(NodesAwayError, match="CERTIFICATE_VERIFY_FAILED"):
        connect(secure.url, key="tt-any", tls=ssl.create_default_context()).call("GET", "/healthz")


def test_a_certificate_that_cannot_be_read_is_told_before_anything_starts(
    opened: Callable[..., Post], tmp_path: Path
) -> None:
    (tmp_path / "broken.pem").write_text("no certificate")
    with pytest.raises(InputError, match="cannot be used"):
        opened("secure", tls_certificate=str(tmp_path / "broken.pem"), tls_key=str(tmp_path / "broken.pem"))


@pytest.mark.parametrize("server", ["", "control:8402", "ftp://control", "http://user:secret@control", "http://:1"])
def test_what_is_no_address_of_a_node_is_refused(server: str) -> None:
    with pytest.raises(InputError, match="no address of a node"):
        Link([server], "k", None, read_seconds=1)
