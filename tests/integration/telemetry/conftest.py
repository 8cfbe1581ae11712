"""A collector as other people run it: HTTP, protobuf, gzip; what it answers is up to the test."""

from __future__ import annotations

import gzip
import http.server
import threading
import time
from importlib.resources import as_file, files
from shutil import copytree, ignore_patterns
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Told(NamedTuple):
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = {}
    wait_seconds: float = 0.0


class Collector:
    """What a test sees of it."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.logs: list[Any] = []
        self.resources: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.requests = 0
        self.answer: Callable[[int, int], Told] = lambda _request, _size: Told()
        """From the number of the request and the size of its body."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer._take(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def _take(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        self.requests += 1
        told = self.answer(self.requests, len(body))
        time.sleep(told.wait_seconds)
        if told.status == 200:
            assert handler.headers["content-type"] == "application/x-protobuf"
            plain = gzip.decompress(body) if handler.headers["content-encoding"] == "gzip" else body
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            self._keep(handler.path, plain)
        handler.send_response(told.status)
        for name, value in ({"content-length": str(len(told.body))} | told.headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(told.body)

    def _keep(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(resource)
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        else:
            assert path == "/v1/logs"
            for logs in ExportLogsServiceRequest.FromString(body).resource_logs:
                self.logs += [record for scope in logs.scope_logs for record in scope.log_records]

    def ids(self) -> set[str]:
        return {span.span_id.hex() for span in self.spans}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Waits until something holds."""
    return wait_until


@pytest.fixture
def pushed() -> Callable[[Path], None]:
    """Makes release 1 of `support-reply` the stable one of a data directory under a folder."""

    def push(root: Path) -> None:
        folder = root / "support-reply"
        with as_file(files("trimtab.demo") / "support-reply") as example:
            copytree(example, folder, ignore=ignore_patterns("__pycache__"))
        plane = open_control(load_settings(environ={"TRIMTAB_DIRECTORY": str(root / ".trimtab")}))
        plane.push(folder)
        plane.set_pointer("support-reply", "#1", reason="first")
        plane.close()

    return push


@pytest.fixture
def told() -> type[Told]:
    """An answer of the collector."""
    return Told


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()
