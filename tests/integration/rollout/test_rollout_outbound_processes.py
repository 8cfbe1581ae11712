"""Messages of real `trimtab server` processes: killed with one in hand, and two at work on one store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.free_port import free_port

from trimtab.core.clock import SystemClock
from trimtab.core.ids import new_id
from trimtab.rollout.outbox import Message
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.rollout.conftest import Target

    StartServer = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers over one data directory."""
    started: list[subprocess.Popen[bytes]] = []
    (tmp_path / "trimtab.toml").write_text("[server]\ntick_seconds = 0.05\n")

    def start(**variables: str) -> subprocess.Popen[bytes]:
        port = free_port()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
        with (tmp_path / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "trimtab", "server", "--port", str(port)],
                cwd=tmp_path,
                env=inherited | variables,
                stdout=log,
                stderr=log,
            )
        started.append(process)
        wait(lambda: listens(port), "the server listens", tmp_path / "server.log")
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(condition: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"{what}: {log.read_text()}"
        time.sleep(0.02)


class Outbox:
    """The outbox of a data directory, seen from outside."""

    def __init__(self, root: Path) -> None:
        (root / ".trimtab").mkdir()
        self.store = open_sqlite(root / ".trimtab" / "control.db")

    def leave(self, *targets: str) -> None:
        now_ms = SystemClock().now_ms()
        with self.store.write() as tx:
            for target in targets:
                tx.add_message(
                    Message(
                        id=new_id("msg", now_ms),
                        rollout="ro_1",
                        event="paused",
                        url_env=target,
                        body=b"{}",
                        created_at_ms=now_ms,
                        due_at_ms=now_ms,
                    )
                )

    def messages(self) -> list[Message]:
        with self.store.read() as tx:
            return tx.messages("ro_1")

    def let_the_hold_run_out(self) -> None:
        """As time would."""
        with self.store.write() as tx:
            for message in tx.messages("ro_1"):
                tx.save_message(msgspec.structs.replace(message, due_at_ms=message.created_at_ms))


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path)
    yield opened
    opened.store.close()


def test_a_server_killed_with_a_message_in_hand_is_succeeded_by_one_that_delivers_it_under_the_same_id(
    tmp_path: Path, server: StartServer, outbox: Outbox, target: Callable[..., Target]
) -> None:
    hook, log = target("hang", (200, b"", {})), tmp_path / "server.log"
    outbox.leave("HOOK")
    first = server(HOOK=hook.url)
    wait(lambda: len(hook.received) == 1, "the first server sends", log)
    first.send_signal(signal.SIGKILL)
    first.wait()
    (held,) = outbox.messages()
    assert (held.status, held.attempts) == ("waiting", 1)
    outbox.let_the_hold_run_out()
    server(HOOK=hook.url)
    wait(lambda: outbox.messages()[0].status == "delivered", "the second server delivers", log)
    assert [one.headers["webhook-id"] for one in hook.received] == [held.id, held.id]


def test_a_server_that_is_asked_to_stop_finishes_what_it_is_saying(
    tmp_path: Path, server: StartServer, outbox: Outbox, target: Callable[..., Target]
) -> None:
    hook, log = target(), tmp_path / "server.log"
    running: list[subprocess.Popen[bytes]] = []

    def stop() -> None:
        running[0].send_signal(signal.SIGTERM)
        time.sleep(0.3)

    hook.meanwhile = stop
    running.append(server(HOOK=hook.url))
    outbox.leave("HOOK")
    wait(lambda: running[0].poll() is not None, "the server ends", log)
    assert outbox.messages()[0].status == "delivered"
    assert "Traceback" not in log.read_text()


def test_two_servers_tell_everybody_everything_once(
    tmp_path: Path, server: StartServer, outbox: Outbox, target: Callable[..., Target], dead_url: str
) -> None:
    hooks = {"ANN": target(), "BOB": target(), "CAT": target((500, b"", {}), (200, b"", {}))}
    urls = {name: hook.url for name, hook in hooks.items()} | {"DEAD": dead_url}
    outbox.leave(*[name for _ in range(12) for name in urls])
    server(**urls)
    server(**urls)
    wait(
        lambda: all(one.status == "delivered" for one in outbox.messages() if one.url_env != "DEAD"),
        "everything is delivered",
        tmp_path / "server.log",
    )
    for name, hook in hooks.items():
        ids = Counter(one.headers["webhook-id"] for one in hook.received)
        assert set(ids) == {one.id for one in outbox.messages() if one.url_env == name}
        assert sum(ids.values()) == (13 if name == "CAT" else 12)
    assert all(one.error for one in outbox.messages() if one.url_env == "DEAD" and one.attempts)
    log = (tmp_path / "server.log").read_text()
    assert "DEAD was not told of `paused`: cannot connect to the webhook: Connection refused; next try in 1 s" in log
    assert "Traceback" not in log
