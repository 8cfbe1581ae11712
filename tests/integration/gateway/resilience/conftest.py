"""An upstream that does as it is told, request by request."""

from __future__ import annotations

import http.client
import json
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.gateway.resilience.two_ways import play, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["play", "taken"]

CHAT: dict[str, Any] = {
    "model": "support-reply",
    "messages": [{"role": "user", "content": "Where is order A-1007?"}],
    "trimtab": {"variables": {"shop": "Acme"}},
}
COMPLETION = {
    "id": "c-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5",
    "content": [{"type": "text", "text": "Hi from Claude."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 12, "output_tokens": 4},
}
EMBEDDINGS = {"object": "list", "model": "e", "data": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
Step = int | float | str | bytes | tuple[Any, ...] | dict[str, Any] | None
"""A status; seconds to wait; a name of `PIECES`; bytes; a status and header lines; an event; `None`: drop the
connection."""


def answered(status: int, body: Any, *lines: str) -> bytes:
    content = json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(content)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


def failed(status: int, *lines: str) -> bytes:
    error = {"message": "no", "type": "server_error", "param": None, "code": f"code_{status}"}
    return answered(status, {"error": error}, *lines)


def event(data: Any) -> bytes:
    piece = b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def delta(content: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return event({"id": "c-1", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": [choice]})


PIECES = {
    "well": answered(200, COMPLETION),
    "message": answered(200, MESSAGE),
    "embeddings": answered(200, EMBEDDINGS),
    "head": b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    "half an event": b"9\r\n: waiting\r\n",
    "first piece": delta("Hi"),
    "rest": delta(".", "stop") + event(b"[DONE]") + b"0\r\n\r\n",
    "done": event(b"[DONE]"),
}


class ScriptedUpstream:
    """Plays the n-th script to the n-th request; answers well where there is none."""

    def __init__(self) -> None:
        self.scripts: list[tuple[Step, ...]] = []
        self.requests: list[bytes] = []
        """Their bodies."""
        self.heads: list[bytes] = []
        self.port = 0
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._server: socketserver.ThreadingTCPServer | None = None
        self.start()

    def start(self) -> None:
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                try:
                    outer._serve(self.request)
                except OSError:
                    return

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), name="upstream", daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def close(self) -> None:
        self._stopped.set()
        self.stop()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def then(self, *script: Step) -> ScriptedUpstream:
        self.scripts.append(script)
        return self

    def _serve(self, connection: socket.socket) -> None:
        while (request := _read_request(connection)) is not None:
            with self._lock:
                head, body = request
                self.heads.append(head)
                self.requests.append(body)
                number = len(self.requests)
            for step in self.scripts[number - 1] if number <= len(self.scripts) else ("well",):
                match step:
                    case None:
                        return
                    case float():
                        self._stopped.wait(step)
                    case int():
                        connection.sendall(failed(step))
                    case str():
                        connection.sendall(PIECES[step])
                    case tuple():
                        connection.sendall(failed(*step))
                    case dict():
                        connection.sendall(event(step))
                    case _:
                        connection.sendall(step)


def _read_request(connection: socket.socket) -> tuple[bytes, bytes] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return head, body


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    made = ScriptedUpstream()
    yield made
    made.close()


@pytest.fixture
def backup() -> Iterator[ScriptedUpstream]:
    """A second provider."""
    made = ScriptedUpstream()
    yield made
    made.close()


@pytest.fixture
def call() -> Callable[..., tuple[int, dict[str, str], Any]]:
    """Calls `support-reply`: status, headers, body (of a stream its bytes)."""

    def make(
        here: Any, body: dict[str, Any] | None = None, *, path: str = "/v1/chat/completions", **more: Any
    ) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection(here.host, here.port, timeout=10)
        try:
            sent = json.dumps({**(CHAT if body is None else body), **more})
            connection.request("POST", path, sent, {"content-type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, data if headers["content-type"].startswith("text/") else json.loads(data)

    return make


@pytest.fixture
def dial() -> Callable[..., socket.socket]:
    """Sends the same call and returns the connection, the answer unread."""

    def make(here: Any, **more: Any) -> socket.socket:
        content = json.dumps({**CHAT, **more}).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        connection = socket.create_connection((here.host, here.port), timeout=10)
        connection.sendall(head + b"content-length: %d\r\n\r\n%s" % (len(content), content))
        return connection

    return make


@pytest.fixture
def health() -> Callable[..., dict[str, Any]]:
    """What `/healthz` says of the first model of a provider."""

    def make(here: Any, provider: str = "openai") -> dict[str, Any]:
        connection = http.client.HTTPConnection(here.host, here.port, timeout=10)
        try:
            connection.request("GET", "/healthz")
            models = json.loads(connection.getresponse().read())["models"]
        finally:
            connection.close()
        return next((one for one in models if one["provider"] == provider), {})

    return make
