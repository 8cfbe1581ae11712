"""Any bytes, in any packets, into a server connection: the same requests, the same answers, and never a crash.

For longer than a test may take: `python -m tests.fuzz server --minutes 10`.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import h11
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.providers.http import Exchange, Refusal, Request, ServerLimits
from trimtab.providers.http.connection import ServerConnection
from trimtab.providers.http.known_heads import KnownHeads

if TYPE_CHECKING:
    from trimtab.providers.http.application import Application

LIMITS = ServerLimits(max_body_bytes=2_000, max_head_bytes=16_000)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Outcome(NamedTuple):
    """What became of a stream of bytes."""

    seen: list[tuple[bytes, bytes, bytes]]
    answers: bytes
    open: bool


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended, "wrote after the end"
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True

    abort = close

    def is_closing(self) -> bool:
        return self.ended

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Numbering:
    """Answers each request with its number, at once or a turn of the loop later."""

    def __init__(self, *, late: bool) -> None:
        self.seen: list[tuple[bytes, bytes, bytes]] = []
        self._late = late

    def admit(self, request: Request) -> Refusal | None:
        return Refusal(404, "nothing_here", "") if request.path == b"/refused" else None

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        exchange.respond(refusal.status, refusal.code.encode())

    def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        assert len(request.body) <= LIMITS.max_body_bytes
        assert not set(b"\r\n\x00") & set(b"".join(request.headers) + b"".join(request.headers.values()))
        self.seen.append((request.method, request.target, request.body))
        body = b"%d" % len(self.seen)
        if self._late:
            asyncio.get_running_loop().call_soon(exchange.respond, 200, body)
        else:
            exchange.respond(200, body)


class Server:
    """What a connection needs of its server."""

    application: Application
    limits = LIMITS
    heads = KnownHeads(max_body_bytes=LIMITS.max_body_bytes)  # of all of them: what one learned is another's shortcut
    draining = False

    def __init__(self, application: Application) -> None:
        self.application = application

    def opened(self, connection: ServerConnection) -> None: ...
    def closed(self, connection: ServerConnection) -> None: ...


async def feed(pieces: list[bytes], *, late: bool = False) -> Outcome:
    application, wire = Numbering(late=late), Wire()
    connection = ServerConnection(Server(application))
    connection.connection_made(wire)
    for piece in pieces:
        if not wire.ended:
            connection.data_received(piece)
        await asyncio.sleep(0)
    while connection.busy:  # noqa: ASYNC110 - answers come a turn later, each lets the next one start
        await asyncio.sleep(0)
    outcome = Outcome(application.seen, bytes(wire.written), not wire.ended)
    if not wire.ended:
        connection.eof_received()
    connection.connection_lost(None)
    connection.check_deadline(float("inf"))
    assert bytes(wire.written).startswith(outcome.answers)
    return outcome


def read_answers(raw: bytes, requests: list[bytes]) -> list[int]:
    """Read the answers as another implementation does, which holds us to the letter."""
    statuses: list[int] = []
    if not raw:
        return statuses
    client = h11.Connection(h11.CLIENT)
    client.receive_data(raw)
    methods = iter(requests)
    while True:
        if client.our_state is h11.IDLE:
            # An error may answer bytes that never became a request.
            method = next(methods, b"GET")
            client.send(h11.Request(method=method, target="/", headers=[("host", "here")]))
            client.send(h11.EndOfMessage())
        event = client.next_event()
        if isinstance(event, h11.Response):
            statuses.append(event.status_code)
        elif event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            assert client.trailing_data[0] == b""
            return statuses
        elif isinstance(event, h11.EndOfMessage):
            if client.our_state is not h11.DONE or client.their_state is not h11.DONE:
                assert client.trailing_data[0] == b""
                return statuses
            client.start_next_cycle()


def _core(answers: bytes) -> bytes:
    """Answers less what depends on when they were given: leave for a body, and whether the end was known already."""
    return answers.replace(CONTINUE, b"").replace(b"connection: close\r\n", b"")


def check(raw: bytes, cuts: list[int]) -> None:
    """What must hold of any stream, cut anywhere."""
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    pieces = [raw[start:end] for start, end in itertools.pairwise(places)]

    async def play() -> None:
        whole = await feed([raw])
        split = await feed(pieces)
        late = await feed(pieces, late=True)
        assert split == whole
        assert late.seen == whole.seen
        assert _core(late.answers) == _core(whole.answers)
        # HEAD changes how an answer is read, so only streams without it are read back here.
        if b"HEAD" not in raw:
            statuses = read_answers(whole.answers, [b"GET"] * len(whole.seen))
            assert statuses.count(200) == len(whole.seen)
            assert all(status in {200, 404} for status in statuses[:-1])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())


METHODS = st.sampled_from([b"GET", b"POST", b"POST", b"OPTIONS", b"HEAD", b"CONNECT", b"get"])
TARGETS = st.sampled_from([b"/", b"/a?b=c", b"/refused", b"http://here/a", b"*", b"/%00", b"/a b", b""])
VERSIONS = st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b""])
HOSTS = st.sampled_from([b"host: here\r\n"] * 6 + [b"", b"host: a\r\nhost: b\r\n", b"Host:\r\n", b"host: a b\r\n"])
EXTRA = st.sampled_from(
    [
        b"",
        b"x: y\r\n",
        b"connection: close\r\n",
        b"connection: keep-alive\r\n",
        b"connection: upgrade\r\nupgrade: h2c\r\n",
        b"expect: 100-continue\r\n",
        b"expect: miracles\r\n",
        b"x : y\r\n",
        b" folded\r\n",
        b"x: \x00\r\n",
        b"x: y\n",
        b"x: y\r",
        b"transfer-encoding: chunked\r\n",
        b"transfer-encoding: identity\r\n",
        b"content-length: 3\r\n",
        b"content-length: +3\r\n",
        b"\xff: \xff\r\n",
    ]
)
BODIES = st.binary(max_size=40) | st.sampled_from([b"x" * 1990, b"x" * 2010, b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"])
CHUNK_ENDS = st.sampled_from([b"\r\n"] * 8 + [b"\n", b"", b";x=y\r\n", b" \r\n", b"\r"])
TRAILERS = st.sampled_from(
    [b"\r\n"] * 6 + [b"x: y\r\n\r\n", b"content-length: 1\r\n\r\n", b"host: b\r\n\r\n", b"\n", b""]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request, in most draws a valid one."""
    head = b" ".join([draw(METHODS), draw(TARGETS), draw(VERSIONS)]) + b"\r\n" + draw(HOSTS)
    head += b"".join(draw(st.lists(EXTRA, max_size=2)))
    body = draw(BODIES)
    match draw(st.sampled_from(["none", "length", "wrong length", "chunked"])):
        case "length":
            return head + b"content-length: %d\r\n\r\n" % len(body) + body
        case "wrong length":
            return head + b"content-length: %d\r\n\r\n" % draw(st.integers(0, 60)) + body
        case "chunked":
            chunk = b"%x" % len(body) + draw(CHUNK_ENDS) + body + draw(CHUNK_ENDS) if body else b""
            return head + b"transfer-encoding: chunked\r\n\r\n" + chunk + b"0" + draw(CHUNK_ENDS) + draw(TRAILERS)
        case _:
            return head + b"\r\n"


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Requests one after another, in some draws with bytes changed, taken out or put in."""
    raw = bytearray(b"".join(draw(st.lists(requests(), min_size=1, max_size=4))))
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        place = draw(st.integers(0, len(raw)))
        raw[place : place + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3) | st.sampled_from([b"\r\n", b"\n", b"\r", b"\x00", b" ", b":", b"0", b"\t"])
        )
    return bytes(raw)


ANYTHING = st.binary(max_size=300) | streams()
CUTS = st.lists(st.integers(0, 10_000), max_size=12)
TARGET: Any = given(raw=ANYTHING, cuts=CUTS)(check)


@settings(max_examples=400, derandomize=True)
@given(raw=ANYTHING, cuts=CUTS)
def test_any_bytes_in_any_packets_mean_the_same(raw: bytes, cuts: list[int]) -> None:
    check(raw, cuts)


def test_every_request_may_come_byte_by_byte() -> None:
    raw = b"POST /a HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\nhi" * 3
    check(raw, list(range(len(raw))))
