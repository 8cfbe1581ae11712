"""Langfuse: a prompt from its cache, filled in; no split by unit, nothing recorded.

The client insists on a server for the first fetch: a stub on loopback gives it one prompt.
"""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["NAME", "open_case"]

NAME = "Langfuse: get_prompt (cached) + compile"
_CACHE_SECONDS = 3600


@contextlib.contextmanager
def open_case(template: str, variables: dict[str, str]) -> Iterator[Callable[[str], object]]:
    """Get and fill in one prompt; raises `ModuleNotFoundError` where the SDK is not installed."""
    from langfuse import Langfuse

    prompt = {
        "type": "chat",
        "name": "support-reply",
        "version": 1,
        "prompt": [{"type": "chatmessage", "role": "system", "content": template}],
        "config": {},
        "labels": ["production"],
        "tags": [],
    }
    with _stub(json.dumps(prompt).encode()) as address:
        client = Langfuse(public_key="pk-lf-none", secret_key="sk-lf-none", base_url=address, tracing_enabled=False)
        call = lambda _unit: client.get_prompt(  # noqa: E731
            "support-reply", type="chat", cache_ttl_seconds=_CACHE_SECONDS
        ).compile(**variables)
        filled = call("")
        assert variables["shop"] in filled[0]["content"], filled
        try:
            yield call
        finally:
            client.shutdown()


@contextlib.contextmanager
def _stub(answer: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Stay silent."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
