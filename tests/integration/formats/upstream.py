"""An upstream that keeps every byte it is sent and answers what the test gave it, in any of the three formats.

Not a test module.
"""

from __future__ import annotations

import http.server
import json
import threading
from typing import Any, NamedTuple

__all__ = ["Planned", "Received", "RecordingUpstream"]

_PATHS = {"/v1/chat/completions": "chat", "/v1/responses": "responses", "/v1/messages": "messages"}
_FRAGMENT_BYTES = 61
"""Streams go out in packets that end anywhere: within events, names and characters."""


class Received(NamedTuple):
    """One request as it came."""

    format: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.raw)
        return decoded


class Planned(NamedTuple):
    """What is answered next."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False
    """Whether the connection breaks before the answer's end."""


class RecordingUpstream:
    """A server on a port of its own; `plan` says what it answers until something else is planned."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.planned = Planned(b"{}")
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                upstream.received.append(Received(_PATHS[self.path], headers, raw))
                self._answer(upstream.planned)

            def _answer(self, planned: Planned) -> None:
                streamed = planned.content_type == "text/event-stream"
                framing = "transfer-encoding: chunked" if streamed else f"content-length: {len(planned.body)}"
                extra = "".join(f"{name}: {value}\r\n" for name, value in planned.headers)
                head = (
                    f"HTTP/1.1 {planned.status} -\r\ncontent-type: {planned.content_type}\r\n{extra}{framing}\r\n\r\n"
                )
                if not streamed:
                    self.wfile.write(head.encode() + planned.body)
                    return
                self.wfile.write(head.encode())
                body = planned.body
                for start in range(0, len(body), _FRAGMENT_BYTES):
                    piece = body[start : start + _FRAGMENT_BYTES]
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                if planned.cut:
                    self.close_connection = True
                else:
                    self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_arguments: Any) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="upstream")
        self._thread.start()

    def plan(self, planned: Planned) -> None:
        """Answer this from now on, and forget what was received."""
        self.planned = planned
        self.received.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
