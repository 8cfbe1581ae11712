"""The gateway as a process: killed, and asked to stop."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from trimtab.events import Generation
from trimtab.serving.directory import DataDirectory
from trimtab.serving.journal_reader import JournalPosition, read_journal, salvage
from trimtab.serving.snapshot_file import publish
from trimtab.sim.config import SimConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_GATEWAY = """
import sys
from pathlib import Path
from trimtab.gateway.config import GatewayConfig
from trimtab.gateway.server import run
from trimtab.providers.endpoint import Endpoint
from trimtab.serving.directory import DataDirectory
from trimtab.serving.runtime import DataPlane

plane = DataPlane.open(DataDirectory(Path(sys.argv[1])), environment="production", kind="gateway")
run(
    GatewayConfig(port=0, drain_seconds=10),
    plane,
    {"openai": Endpoint(name="openai", base_url=sys.argv[2])},
    on_ready=lambda host, port: print(port, flush=True),
)
plane.close()
"""


@contextlib.contextmanager
def gateway(root: Path, upstream: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", _GATEWAY, str(root), upstream]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def post(number: int, *, stream: bool = False) -> bytes:
    body = json.dumps(
        {
            "model": "support-reply",
            "stream": stream,
            "messages": [{"role": "user", "content": f"order Q-{number}"}],
            "trimtab": {"variables": {"shop": "Acme"}},
        }
    ).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


def generations(directory: DataDirectory) -> dict[str, Generation]:
    salvage(directory.journals)
    found = {}
    for folder in directory.journals.iterdir():
        for event in read_journal(folder, JournalPosition()).events:
            assert isinstance(event, Generation)
            found[event.id] = event
    return found


def ids_in(answer: bytes) -> list[str]:
    return [part.partition(b"\r\n")[0].decode() for part in answer.split(b"x-trimtab-generation: ")[1:]]


def test_every_answered_generation_survives_kill_9(
    stack: Callable[..., Any], snapshot: Callable[..., Any], release: Callable[..., Any], tmp_path: Path
) -> None:
    upstream = stack()  # only its simulator is used
    host, port = upstream.upstream_address
    directory = DataDirectory(tmp_path / "killed")
    publish(directory.snapshot("production"), snapshot(release()))
    answered: list[str] = []
    lock = threading.Lock()

    with gateway(directory.root, f"http://{host}:{port}/v1") as (process, gateway_port):

        def ask(stream: bool) -> None:  # noqa: FBT001 - a thread's argument
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", gateway_port)) as connection:
                for number in range(100_000):
                    connection.sendall(post(number, stream=stream))
                    end = b"0\r\n\r\n" if stream else b"]"
                    received = b""
                    while end not in received:
                        received += _more(connection)
                    with lock:
                        answered.extend(ids_in(received))

        threads = [threading.Thread(target=ask, args=(number % 2 == 0,)) for number in range(4)]
        for thread in threads:
            thread.start()
        while len(answered) < 150:
            threads[0].join(0.005)
        process.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join()

    recorded = generations(directory)
    assert len(answered) >= 150
    assert [one for one in answered if one not in recorded] == []
    assert {recorded[one].status for one in answered} == {"ok"}


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError
    return data


def test_sigterm_finishes_what_was_begun_and_accepts_nothing_more(
    stack: Callable[..., Any],
    snapshot: Callable[..., Any],
    release: Callable[..., Any],
    tmp_path: Path,
    eventually: Callable[..., None],
) -> None:
    upstream = stack(sim=SimConfig(chunk_gap_ms=10))
    host, port = upstream.upstream_address
    directory = DataDirectory(tmp_path / "drained")
    publish(directory.snapshot("production"), snapshot(release()))
    with gateway(directory.root, f"http://{host}:{port}/v1") as (process, gateway_port):
        connections = [socket.create_connection(("127.0.0.1", gateway_port)) for _ in range(8)]
        for number, connection in enumerate(connections):
            connection.sendall(post(number, stream=True))
        eventually(lambda: upstream.sim.served == 8)
        process.send_signal(signal.SIGTERM)
        answers = []
        for connection in connections:
            received = b""
            while data := connection.recv(65536):
                received += data
            connection.close()
            answers.append(received)
        assert process.wait(10) == 0
    assert all(answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") for answer in answers)
    recorded = generations(directory)
    assert sorted(recorded) == sorted(one for answer in answers for one in ids_in(answer))
    assert {event.status for event in recorded.values()} == {"ok"}
