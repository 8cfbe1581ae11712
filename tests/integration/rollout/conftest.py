"""HTTP servers that stand for webhooks and gates, with every way of answering badly, and who speaks to them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from tests.free_port import free_port

from trimtab.bootstrap.webhooks import WebhookClient
from trimtab.control.courier import Courier
from trimtab.control.gatekeeper import Gatekeeper
from trimtab.control.outbound import Correspondent
from trimtab.core.clock import FakeClock
from trimtab.releases.model import Feature, PointerMove
from trimtab.rollout.commands import RolloutRequest, command_rollout, start_rollout
from trimtab.rollout.controller import Controller, ControllerPorts
from trimtab.rollout.effects import Command
from trimtab.rollout.simulation import EventQueue, SnapshotBoard, synthetic_release
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from trimtab.rollout.model import Rollout
    from trimtab.rollout.outbox import Message
    from trimtab.rollout.spec import RolloutPlan

FEATURE, ENVIRONMENT = "support-reply", "production"
PATIENCE_SECONDS = 0.5


class Received(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class _Handler(BaseHTTPRequestHandler):
    target: Target

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.target.received.append(Received(self.path, headers, body))
        meanwhile, self.target.meanwhile = self.target.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        script = self.target.script
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, str):
            self.misbehave(answer)
            return
        status, content, more = answer
        self.send_response(status)
        for name, value in {"content-length": str(len(content)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def misbehave(self, how: str) -> None:
        self.close_connection = True
        if how == "hang":
            self.target.closing.wait(30)
        elif how == "babble":
            self.wfile.write(b"* OK IMAP4rev1 ready\r\n")
        elif how == "drip":
            self.pour(b"x", 0.05)
        elif how == "flood":
            self.pour(b"x" * 65536, 0.0)

    def pour(self, piece: bytes, pause_seconds: float) -> None:
        with contextlib.suppress(OSError):  # the other side has had enough
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
            while not self.target.closing.is_set():
                self.wfile.write(piece)
                time.sleep(pause_seconds)

    def log_message(self, *_: Any) -> None:
        pass


class Target:
    """A server that answers what `script` says in turn, and the last of it from then on.

    An answer is (status, body, headers), or a word: `hang` says nothing, `drip` a byte now and then, `flood` more than
    anybody reads, `hang up` closes the connection at once, `babble` is no HTTP.
    """

    def __init__(self, *script: Any) -> None:
        self.script: list[Any] = list(script) or [(200, b"ok", {})]
        self.received: list[Received] = []
        self.meanwhile: Callable[[], None] | None = None
        """What happens, once, while a request waits for its answer."""
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"target": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def target() -> Iterator[Callable[..., Target]]:
    """Starts targets."""
    started: list[Target] = []

    def start(*script: Any) -> Target:
        started.append(Target(*script))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def dead_url() -> str:
    """An address at which nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


class Office:
    """A store on disk with a rollout, its controller, and who tells people and asks gates; no users. Fake clock."""

    def __init__(self, database: Path, plan: RolloutPlan) -> None:
        self.store = open_sqlite(database)
        self.clock = FakeClock()
        self.variables: dict[str, str] = {}
        correspondent = Correspondent(
            poster=WebhookClient(), secrets=self.variables.get, clock=self.clock, timeout_seconds=PATIENCE_SECONDS
        )
        self.courier = Courier(store=self.store, clock=self.clock, correspondent=correspondent)
        self.gatekeeper = Gatekeeper(store=self.store, clock=self.clock, correspondent=correspondent)
        stable, candidate = synthetic_release(FEATURE, 41), synthetic_release(FEATURE, 42)
        now_ms = self.clock.now_ms()
        with self.store.write() as tx:
            tx.put_feature(Feature(name=FEATURE, team="support"))
            tx.add_release(stable)
            tx.add_release(candidate)
            tx.move_pointer(
                PointerMove(
                    feature=FEATURE,
                    environment=ENVIRONMENT,
                    revision=1,
                    from_release=None,
                    to_release=stable.digest,
                    at_ms=now_ms,
                    actor="ann",
                    reason="first",
                )
            )
            request = RolloutRequest(
                feature=FEATURE, environment=ENVIRONMENT, candidate=candidate.digest, actor="ann", plan=plan
            )
            self.id = start_rollout(tx, request, now_ms=now_ms).id
        ports = ControllerPorts(store=self.store, events=EventQueue(), publisher=SnapshotBoard(), clock=self.clock)
        self.controller = Controller(ports, holder="test")
        self.controller.tick()

    def command(self, kind: Any, reason: str = "") -> None:
        with self.store.write() as tx:
            command = Command(kind=kind, actor="ann", reason=reason)
            command_rollout(tx, self.id, command, now_ms=self.clock.now_ms())
        self.controller.tick()

    async def _turn(self) -> list[str]:
        told = self.gatekeeper.tick() + self.courier.tick()
        return told + await self.gatekeeper.settle() + await self.courier.settle()

    def turn(self, seconds: float = 0) -> list[str]:
        """Let time pass, ask and tell until all is answered, and decide; returns what went wrong, in words."""
        self.clock.advance(seconds)
        told = asyncio.run(self._turn())
        self.controller.tick()
        return told

    def rollout(self) -> Rollout:
        with self.store.read() as tx:
            rollout = tx.rollout(self.id)
        assert rollout is not None
        return rollout

    def messages(self) -> list[Message]:
        with self.store.read() as tx:
            return tx.messages(self.id)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Callable[[RolloutPlan], Office]]:
    """Opens offices."""
    opened: list[Office] = []

    def make(plan: RolloutPlan) -> Office:
        opened.append(Office(tmp_path / "control.db", plan))
        return opened[-1]

    yield make
    for one in opened:
        one.store.close()
