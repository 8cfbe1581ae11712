"""One request's way through the gateway without a socket: CPU time and Python calls, the same on a busy machine.

The gateway's own objects, from the accepted connection to the upstream's, between two transports that keep what is
written. What the kernel and the event loop take comes on top; `python -m benchmarks gateway` measures everything.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from benchmarks.harness.bench import FOLDER
from benchmarks.harness.workloads import CHAT, CHAT_LONG, STREAM
from benchmarks.servers.model import BODY_MODEL
from benchmarks.servers.trimtab import KEY, snapshot_of
from trimtab.calls import Upstreams
from trimtab.gateway.application import GatewayApplication
from trimtab.gateway.config import GatewayConfig
from trimtab.providers.endpoint import Endpoint
from trimtab.providers.http import HttpServer
from trimtab.providers.http.connection import ServerConnection
from trimtab.providers.http.upstream import UpstreamConnection
from trimtab.serving.directory import DataDirectory
from trimtab.serving.runtime import DataPlane
from trimtab.serving.snapshot_file import publish
from trimtab.serving.team_limit import TeamLimit

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from benchmarks.harness.workloads import Workload
    from trimtab.providers.http.pool import ConnectionPool

ROUNDS, REQUESTS = 40, 500
_LIMITS = TeamLimit(requests_per_minute=100_000_000, usd_per_day=1e6, concurrent=100_000)
_HEAD = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8400\r\nContent-Type: application/json\r\nAccept: */*\r\n"
    f"User-Agent: load/1\r\nAuthorization: Bearer {KEY}\r\nContent-Length: %d\r\n\r\n"
)
_ANSWER = (
    b'{"id":"chatcmpl-9xYQ","object":"chat.completion","created":1760000000,"model":"gpt-4o-mini-2024-07-18","choices":'
    b'[{"index":0,"message":{"role":"assistant","content":"%b"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":57,"completion_tokens":31,"total_tokens":88}}'
)
_ANSWER_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nx-request-id: req_0123456789\r\n\r\n%b"
)
_SENTENCE = b"Your order 48213 was shipped on Tuesday and will arrive tomorrow. "
_CHUNK = b'data: {"id":"chatcmpl-9xYQ","object":"chat.completion.chunk","created":1760000000,"model":"gpt-4o-mini-2024","choices":[{"index":0,"delta":{"content":" shipped"},"finish_reason":null}]}\n\n'  # noqa: E501 - a line of the wire
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\nx-request-id: req_0123456789\r\n\r\n"  # noqa: E501 - as above
_LAST = (
    b'data: {"id":"c-1","model":"gpt-4o-mini-2024","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"id":"c-1","model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":57,"completion_tokens":3}}\n\n',
    b"data: [DONE]\n\n",
)


class _Transport(asyncio.Transport):
    """Keeps what was last written: to keep more would be measured as memory. No frame of its own is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.written: deque[bytes] = deque(maxlen=1)
        self.write = self.written.append  # type: ignore[assignment,method-assign]
        self.is_closing = (False).__bool__  # type: ignore[method-assign]

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever kept back."""

    def abort(self) -> None:
        """Nothing is behind it."""


class _Path:
    """A gateway with one caller and one connection to its upstream."""

    def __init__(self, folder: Path, *, capture: bool) -> None:
        data = DataDirectory(folder)
        publish(data.snapshot("production"), snapshot_of(capture=capture))
        self.plane = DataPlane.open(data, environment="production", kind="gateway")
        config = GatewayConfig(limits={"team-support": _LIMITS})
        endpoint = Endpoint(name="openai", base_url="http://127.0.0.1:9/v1", api_key="sk-upstream")
        upstreams = Upstreams({"openai": endpoint})
        application = GatewayApplication(config, self.plane, upstreams)
        self.caller, self.upstream = _Transport(), _Transport()
        self._connection = ServerConnection(HttpServer(application, lane_of=application.lane_of))
        self._connection.connection_made(self.caller)
        pool = upstreams.find("openai")[0]._pool  # noqa: SLF001 - a connection that nobody had to dial
        self._behind = self._connect(pool)

    def _connect(self, pool: ConnectionPool) -> UpstreamConnection:
        connection = UpstreamConnection(pool)
        connection.connection_made(self.upstream)
        connection.active, connection.expires = time.monotonic(), time.monotonic() + 1e6
        pool.idle.append(connection)
        return connection

    def run(self, requests: list[bytes], answer: list[bytes]) -> None:
        """Ask and answer; every answer comes in the same pieces."""
        asked, answered = self._connection.data_received, self._behind.data_received
        for request in requests:
            asked(request)
            for piece in answer:
                answered(piece)

    def close(self) -> None:
        self.plane.close()


def _requests(workload: Workload, count: int, *, traced: bool) -> list[bytes]:
    body = workload.body(BODY_MODEL)
    head = (_HEAD % len(body)).encode()
    requests = [head + body.replace(b"user-00000000", b"user-%08d" % (number % 10_000)) for number in range(count)]
    return [_with_trace(request, number) for number, request in enumerate(requests)] if traced else requests


def _with_trace(request: bytes, number: int) -> bytes:
    return request.replace(
        b"Content-Length", b"traceparent: 00-%032x-%016x-01\r\nContent-Length" % (number + 1, number + 1)
    )


def _whole(size: int) -> list[bytes]:
    body = _ANSWER % (_SENTENCE * (size // len(_SENTENCE) + 1))[:size]
    return [_ANSWER_HEAD % (len(body), body)]


def _chunked(events: int) -> list[bytes]:
    pieces = [b"%x\r\n%b\r\n" % (len(event), event) for event in (*[_CHUNK] * events, *_LAST)]
    return [_STREAM_HEAD + pieces[0], *pieces[1:-1], pieces[-1] + b"0\r\n\r\n"]


def _together(pieces: list[bytes], reads: int) -> list[bytes]:
    each = -(-len(pieces) // reads)
    return [b"".join(pieces[start : start + each]) for start in range(0, len(pieces), each)]


CASES: dict[str, tuple[Workload, list[bytes], bool]] = {
    "whole answer": (CHAT, _whole(119), False),
    "whole answer, traced": (CHAT, _whole(119), False),
    "whole answer, 2.3 KB captured": (CHAT_LONG, _whole(600), True),
    "stream of 20 chunks in 4 reads": (STREAM, _together(_chunked(20), 4), False),
    "stream of 20 chunks in 23 reads": (STREAM, _chunked(20), False),
}


def _micros(path: _Path, requests: list[bytes], answer: list[bytes]) -> float:
    """CPU µs per request in this thread: the fastest of many batches."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.thread_time()
        path.run(requests, answer)
        best = min(best, (time.thread_time() - began) / len(requests))
        path.plane.flush()
    return best * 1e6


def _calls(run: Callable[[], None]) -> Counter[str]:
    """Python functions called, by place."""
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            code = frame.f_code
            found[f"{Path(code.co_filename).stem}.{code.co_qualname}"] += 1

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


async def _measure(*, shows_calls: bool) -> None:
    print(f"{'':34}{'CPU µs':>8}{'calls':>8}")
    FOLDER.mkdir(exist_ok=True)
    for name, (workload, answer, capture) in CASES.items():
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            path = _Path(Path(folder), capture=capture)
            requests = _requests(workload, REQUESTS, traced=name.endswith("traced"))
            path.run(requests, answer)
            if not path.caller.written[-1].endswith((b"}}", b"0\r\n\r\n")):
                sys.exit(f"{name}: {path.caller.written[-1]!r}")
            gc.collect()
            gc.freeze()
            micros = _micros(path, requests, answer)
            calls = _calls(lambda path=path, requests=requests, answer=answer: path.run(requests[:100], answer))  # type: ignore[misc]
            path.close()
        print(f"{name:34}{micros:8.1f}{calls.total() / 100:8.1f}", flush=True)
        if shows_calls:
            for place, count in calls.most_common():
                print(f"      {count / 100:6.2f} {place}")


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks gateway_path", description=__doc__)
    parser.add_argument("--calls", action="store_true", help="name the functions, and how often each is called")
    asked = parser.parse_args(arguments)
    uvloop.run(_measure(shows_calls=asked.calls))


if __name__ == "__main__":
    main()
