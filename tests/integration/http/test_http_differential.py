"""The same bytes to us and to servers that many have attacked: uvicorn with h11, and nginx, each in its own process.

Where another one rejects, we reject, or the difference stands below with its reason. Where both accept, both saw the
same method, target and body, and as many requests. To be stricter than another is always allowed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.providers.http import Exchange, HttpServer, Refusal, Request, ServerLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

END = b"GET /end HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"
_IDLE_SECONDS = 1.0

# What is special about the bytes, who rejects them, and why we take them.
KNOWN = [
    (
        re.compile(rb"OPTIONS \* "),
        {"nginx"},
        "RFC 9112 §3.2.4: the asterisk-form is how a client asks about a whole server; nginx has no answer to it",
    ),
    (
        re.compile(rb"%zz"),
        {"nginx"},
        "RFC 9112 §3.2: nginx decodes a path to find its location; we compare it as it is, and none of ours has a %",
    ),
    (
        re.compile(rb"GET  /"),
        {"uvicorn"},
        "RFC 9112 §3 allows to part a request line at any white space; a target cannot contain any",
    ),
    (
        re.compile(rb"(?:\A|\r\n\r\n|hello)\r\n(?:GET|POST) "),
        {"uvicorn"},
        "RFC 9112 §2.2: a server SHOULD ignore an empty line before a request line",
    ),
    (
        re.compile(rb" (?:RTSP|ICE)/1\.0\r\n"),
        {"uvicorn", "nginx"},
        "RFC 9112 §2.3: the parser takes two kindred protocols, framed as HTTP is, for HTTP/1.0",
    ),
    (
        re.compile(rb" HTTP/1\.0\r\nconnection: keep-alive"),
        {"uvicorn"},
        "RFC 9112 §9.3: HTTP/1.0 may ask for persistence; uvicorn never grants it, so the next request is not read",
    ),
]

_ASGI = """
import json

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    answer = json.dumps([scope["method"], target.decode("latin-1"), body.hex()]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})
"""

_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_timeout 2s; client_header_timeout 2s; client_max_body_size 1m;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen unix:{folder}/socket;
        location / {{ proxy_pass http://127.0.0.1:{port}; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""


class Recorder:
    """Answers with what it was asked."""

    def admit(self, request: Request) -> Refusal | None:
        return None

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        exchange.respond(refusal.status, b"")

    def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        seen = [request.method.decode(), request.target.decode("latin-1"), request.body.hex()]
        exchange.respond(200, json.dumps(seen).encode())


class Outcome(NamedTuple):
    """What a server made of a stream of bytes."""

    accepted: list[tuple[str, str, str]]
    """Method, target and body (hex) of each request it executed."""
    rejected: int
    """The status it refused the next one with, or nothing: it closed, or waits for more."""


Connect = "Callable[[], socket.socket]"


@pytest.fixture(scope="module")
def ours() -> Iterator[tuple[Callable[[], socket.socket], int]]:
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="ours")
    thread.start()
    server = HttpServer(Recorder(), ServerLimits(linger_seconds=0.5))
    _, port = asyncio.run_coroutine_threadsafe(server.start("127.0.0.1", 0), loop).result(10)
    yield lambda: socket.create_connection(("127.0.0.1", port), timeout=_IDLE_SECONDS), port
    asyncio.run_coroutine_threadsafe(server.drain(1.0), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@contextlib.contextmanager
def process(command: list[str], path: Path) -> Iterator[Callable[[], socket.socket]]:
    """A server in its own process, listening at a Unix socket."""

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_IDLE_SECONDS)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            raise
        return connection

    with subprocess.Popen(command, cwd=path.parent, stderr=subprocess.DEVNULL) as running:
        try:
            deadline = time.monotonic() + 20
            while True:
                with contextlib.suppress(OSError):
                    connect().close()
                    break
                assert running.poll() is None, "it did not start"
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield connect
        finally:
            running.kill()


@pytest.fixture(scope="module")
def uvicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], socket.socket]]:
    folder = tmp_path_factory.mktemp("uvicorn")
    (folder / "recorder.py").write_text(_ASGI)
    command = [sys.executable, "-m", "uvicorn", "--http", "h11", "--uds", "socket", "--log-level", "critical"]
    with process([*command, "recorder:app"], folder / "socket") as connect:
        yield connect


@pytest.fixture(scope="module")
def nginx(
    tmp_path_factory: pytest.TempPathFactory, ours: tuple[Callable[[], socket.socket], int]
) -> Iterator[Callable[[], socket.socket]]:
    """nginx in front of us: what it takes and passes on is what a server behind it executes."""
    found = shutil.which("nginx")
    if found is None:
        pytest.skip("nginx is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=ours[1]))
    with process([found, "-p", str(folder), "-c", "nginx.conf"], folder / "socket") as connect:
        yield connect


def speak(connect: Callable[[], socket.socket], raw: bytes) -> Outcome:
    received = b""
    with connect() as connection:
        with contextlib.suppress(OSError):
            connection.sendall(raw)
        with contextlib.suppress(OSError):  # silence: it waits for more
            while more := connection.recv(65536):
                received += more
    accepted: list[tuple[str, str, str]] = []
    while received.startswith(b"HTTP/"):  # nginx still answers HTTP/0.9, without a head
        head, _, received = received.partition(b"\r\n\r\n")
        status = int(head[9:12])
        if status < 200:
            continue
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        size = int(length[1]) if length else 0
        body, received = received[:size], received[size:]
        if status != 200:
            return Outcome(accepted, status)
        accepted.append(tuple(json.loads(body)))
    return Outcome(accepted, 0)


def compare(raw: bytes, ours: Outcome, theirs: Outcome, name: str) -> None:
    """Raise where we took what they did not, or took it for something else."""
    together = min(len(ours.accepted), len(theirs.accepted))
    assert _plain(ours.accepted[:together]) == _plain(theirs.accepted[:together])
    if not any(name in servers and pattern.search(raw) for pattern, servers, _ in KNOWN):
        assert len(ours.accepted) <= len(theirs.accepted), f"{name} rejects with {theirs.rejected or 'silence'}"


def _plain(seen: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """A proxy passes a target on without the scheme and host it may have been written with."""
    return [(method, re.sub("^(?i:https?)://[^/?]*", "", target) or "/", body) for method, target, body in seen]


HOST = b"host: here\r\n"
HEADS = [
    b"GET / HTTP/1.1\r\n",
    b"GET / HTTP/1.0\r\n",
    b"GET / HTTP/1.1 \r\n",
    b"GET  / HTTP/1.1\r\n",
    b"GET / HTTP/1.2\r\n",
    b"GET / HTTP/2.0\r\n",
    b"GET / http/1.1\r\n",
    b"GET /\r\n",
    b"get / HTTP/1.1\r\n",
    b"GRAB / HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"GET * HTTP/1.1\r\n",
    b"GET http://here/a?b HTTP/1.1\r\n",
    b"GET ftp://here/a HTTP/1.1\r\n",
    b"GET a HTTP/1.1\r\n",
    b"GET /a b HTTP/1.1\r\n",
    b"GET /\x00 HTTP/1.1\r\n",
    b"GET /\xff HTTP/1.1\r\n",
    b"GET /%zz HTTP/1.1\r\n",
    b"GET /a#b HTTP/1.1\r\n",
    b"GET / HTTP/1.1\n",
    b"\r\nGET / HTTP/1.1\r\n",
    b" GET / HTTP/1.1\r\n",
    b"POST / RTSP/1.0\r\n",
    b"SOURCE / ICE/1.0\r\n",
]
LINES = [
    b"x: y\r\n",
    b"x : y\r\n",
    b"x\t: y\r\n",
    b" x: y\r\n",
    b"x: y\r\n folded\r\n",
    b"x: y\n",
    b"x: y\r",
    b"x: \x00\r\n",
    b"x: \x7f\r\n",
    b"x: \x01\r\n",
    b"x: \xff\r\n",
    b"x y: z\r\n",
    b": y\r\n",
    b"x\r\n",
    b"x\x00: y\r\n",
    b"x(): y\r\n",
    b"host: there\r\n",
    b"host: here\r\n",
    b"connection: keep-alive\r\n",
    b"expect: 100-continue\r\n",
    b"upgrade: h2c\r\nconnection: upgrade\r\n",
    b"transfer_encoding: chunked\r\n",
]
FRAMINGS = [
    b"\r\n",
    b"content-length: 5\r\n\r\nhello",
    b"content-length: 005\r\n\r\nhello",
    b"content-length: 5 \r\n\r\nhello",
    b"content-length: 4\r\n\r\nhello",
    b"content-length: 6\r\n\r\nhello",
    b"content-length: +5\r\n\r\nhello",
    b"content-length: -5\r\n\r\nhello",
    b"content-length: 5, 5\r\n\r\nhello",
    b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    b"content-length: 5\r\ncontent-length: 4\r\n\r\nhello",
    b"content-length: 0x5\r\n\r\nhello",
    b"content-length: 99999999999999999999\r\n\r\nhello",
    b"content-length:\r\n\r\n",
    b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: identity\r\n\r\n",
    b"transfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: ,chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nt: u\r\n\r\n",
    b'transfer-encoding: chunked\r\n\r\n5;x="y;z"\r\nhello\r\n0\r\n\r\n',
    b"transfer-encoding: chunked\r\n\r\n05\r\nhello\r\n00\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\n\n",
    b"transfer-encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\ncontent-length: 3\r\n\r\n",
]
ORDINARY = HEADS[0] + HOST
STREAMS = [
    *[head + HOST + b"\r\n" for head in HEADS],
    *[ORDINARY + line + b"\r\n" for line in LINES],
    *[HEADS[0] + line + b"\r\n" for line in LINES],
    *[b"POST / HTTP/1.1\r\n" + HOST + framing for framing in FRAMINGS],
    *[b"POST / HTTP/1.0\r\nconnection: keep-alive\r\n" + HOST + framing for framing in FRAMINGS],
]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    head = draw(st.sampled_from([HEADS[0], b"POST /a?b HTTP/1.1\r\n"] * 8 + HEADS))
    host = draw(st.sampled_from([HOST] * 12 + [b"", HOST * 2]))
    lines = draw(st.lists(st.sampled_from([b"x: y\r\n", b"connection: keep-alive\r\n"] * 8 + LINES), max_size=2))
    return head + host + b"".join(lines) + draw(st.sampled_from(FRAMINGS[:2] * 8 + FRAMINGS))


def test_each_oddity_is_judged_no_laxer_than_uvicorn_does(
    ours: tuple[Callable[[], socket.socket], int], uvicorn: Callable[[], socket.socket]
) -> None:
    _compare_all(ours[0], uvicorn, "uvicorn")


def test_each_oddity_is_judged_no_laxer_than_nginx_does(
    ours: tuple[Callable[[], socket.socket], int], nginx: Callable[[], socket.socket]
) -> None:
    _compare_all(ours[0], nginx, "nginx")


def _compare_all(connect: Callable[[], socket.socket], other: Callable[[], socket.socket], name: str) -> None:
    failures = []
    for raw in STREAMS:
        try:
            compare(raw, speak(connect, raw + END * 3), speak(other, raw + END * 3), name)
        except AssertionError as error:
            failures.append((raw, str(error).splitlines()[0]))
    assert not failures, "\n".join(f"{raw!r}: {why}" for raw, why in failures)


@settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
@given(parts=st.lists(requests(), min_size=1, max_size=3))
def test_streams_of_requests_are_read_as_uvicorn_reads_them(
    ours: tuple[Callable[[], socket.socket], int], uvicorn: Callable[[], socket.socket], parts: list[bytes]
) -> None:
    raw = b"".join(parts)
    compare(raw, speak(ours[0], raw + END * 3), speak(uvicorn, raw + END * 3), "uvicorn")


@settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
@given(parts=st.lists(requests(), min_size=1, max_size=3))
def test_streams_of_requests_are_read_as_nginx_reads_them(
    ours: tuple[Callable[[], socket.socket], int], nginx: Callable[[], socket.socket], parts: list[bytes]
) -> None:
    raw = b"".join(parts)
    compare(raw, speak(ours[0], raw + END * 3), speak(nginx, raw + END * 3), "nginx")
