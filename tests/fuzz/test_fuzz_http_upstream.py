"""Any bytes, in any packets, from an upstream: one answer or one failure, never a hang, never another call's answer.

For longer than a test may take: `python -m tests.fuzz upstream --minutes 10`.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.providers.http import ClientLimits
from trimtab.providers.http.upstream import UpstreamConnection
from trimtab.providers.http.whole_answer import WholeAnswers

if TYPE_CHECKING:
    from trimtab.core.errors import UpstreamError

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n"
HEAD = b"HEAD" + REQUEST[4:]
NEXT = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext"


class Outcome(NamedTuple):
    """What became of a call."""

    end: str
    """`whole`, or the code of the failure."""
    status: int
    body: bytes
    usable: bool
    """Whether another call may be sent on the connection."""


class Wire(asyncio.Transport):
    """A transport that only ends."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def close(self) -> None:
        self.ended = True

    abort = close

    def is_closing(self) -> bool:
        return self.ended


class Call:
    """A call's two ears: what is said after its end is a failure of the test."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.end = ""

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        assert not self.status
        assert not self.end
        assert status >= 200
        self.status = status
        self.headers = headers

    def on_data(self, data: bytes) -> None:
        assert self.status
        assert not self.end
        self.body += data

    def on_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.on_head(status, headers)
        if body:
            self.on_data(body)
        self.on_end()

    def on_end(self) -> None:
        assert self.status
        assert not self.end
        self.end = "whole"

    def on_lost(self, error: UpstreamError, *, stale: bool) -> None:
        assert not self.end
        self.end = error.code


class Pool:
    """Takes connections back, each at most once a call."""

    limits = ClientLimits(max_head_bytes=8_000)  # more than is generated
    whole = WholeAnswers(max_head_bytes=8_000)

    def __init__(self) -> None:
        self.free: list[UpstreamConnection] = []
        self.lost_ones = 0

    def released(self, connection: UpstreamConnection) -> None:
        assert connection.usable
        assert connection not in self.free
        self.free.append(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        self.lost_ones += 1


def feed(pieces: list[bytes], request: bytes = REQUEST, *, eof: bool = False) -> Outcome:
    pool, wire, call = Pool(), Wire(), Call()
    connection = UpstreamConnection(pool)
    connection.connection_made(wire)
    connection.send(call, call, request)
    for piece in pieces:
        if not wire.ended:
            connection.data_received(piece)
        if pool.free:
            assert call.end == "whole"
    usable = bool(pool.free) and connection.usable
    if usable:
        # Whatever this connection carried, the next call hears its own answer.
        pool.free.clear()
        second = Call()
        connection.send(second, second, REQUEST)
        connection.data_received(NEXT)
        assert (second.end, second.status, second.body) == ("whole", 200, b"next")
    if eof and not wire.ended:
        connection.eof_received()
    connection.connection_lost(None)
    assert call.end, "the call hangs"
    assert pool.lost_ones == 1
    return Outcome(call.end, call.status, call.body, usable)


def read_answer(raw: bytes) -> tuple[int, bytes] | None:
    """Return the first answer as another implementation reads it, or `None` where it finds none that is whole."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    client.send(h11.Request(method="POST", target="/", headers=[("host", "here"), ("content-length", "0")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    status, body, ended = 0, b"", False
    try:
        while True:
            event = client.next_event()
            match event:
                case h11.Response():
                    status = event.status_code
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage():
                    return status, body
                case h11.NEED_DATA if not ended:
                    ended = True
                    client.receive_data(b"")
                case h11.InformationalResponse():
                    pass
                case _:
                    return None
    except h11.RemoteProtocolError:
        return None


def check(raw: bytes, cuts: list[int]) -> None:
    """What must hold of any answer, cut anywhere."""
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    pieces = [raw[start:end] for start, end in itertools.pairwise(places)]
    for eof in (False, True):
        whole = feed([raw], eof=eof)
        split = feed(pieces, eof=eof)
        assert split[:-1] == whole[:-1]
        # Line ends after an answer are read past; alone in a packet, they are what nobody asked for.
        assert split.usable == whole.usable or raw.endswith((b"\r", b"\n"))
    if whole.end == "whole" and (other := read_answer(raw)) is not None:
        assert (whole.status, whole.body) == other
    head = feed(pieces, HEAD)
    if head.end == "whole":
        assert head.body == b""
        assert not head.usable


STATUSES = st.sampled_from(
    [b"200 OK"] * 5 + [b"204 No Content", b"304 Not Modified", b"500 ", b"099 X", b"2000 X", b""]
)
INTERIM = st.sampled_from(
    [b""] * 5
    + [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 2,
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\nhello",
    ]
)
LINES = st.sampled_from(
    [
        b"x: y\r\n",
        b"connection: close\r\n",
        b"connection: keep-alive\r\n",
        b"content-encoding: gzip\r\n",
        b"content-encoding: identity\r\n",
        b"content-length: 3\r\n",
        b"content-length: 3\r\ncontent-length: 4\r\n",
        b"content-length: -1\r\n",
        b"transfer-encoding: chunked\r\n",
        b"transfer-encoding: gzip\r\n",
        b"transfer-encoding: gzip, chunked\r\n",
        b"x: y\n",
        b"x : y\r\n",
        b" folded\r\n",
        b"x: \x00\r\n",
    ]
)
GARBAGE = st.sampled_from([b""] * 6 + [b"\r\n", b"x", NEXT, b"\x00", b"HTTP/1.1 "])
CHUNK_ENDS = st.sampled_from([b"\r\n"] * 8 + [b"\n", b"", b";x=y\r\n", b" \r\n", b"\r"])
TRAILERS = st.sampled_from([b"\r\n"] * 6 + [b"x: y\r\n\r\n", b"content-length: 1\r\n\r\n", b"\n", b""])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """An answer, in most draws a valid one, in some with bytes changed or more behind it."""
    version = draw(st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"ICY"]))
    head = draw(INTERIM) + version + b" " + draw(STATUSES) + b"\r\n" + b"".join(draw(st.lists(LINES, max_size=2)))
    body = draw(st.binary(max_size=40))
    match draw(st.sampled_from(["none", "length", "wrong length", "chunked"])):
        case "length":
            raw = head + b"content-length: %d\r\n\r\n" % len(body) + body
        case "wrong length":
            raw = head + b"content-length: %d\r\n\r\n" % draw(st.integers(0, 60)) + body
        case "chunked":
            chunk = b"%x" % len(body) + draw(CHUNK_ENDS) + body + draw(CHUNK_ENDS) if body else b""
            raw = head + b"transfer-encoding: chunked\r\n\r\n" + chunk + b"0" + draw(CHUNK_ENDS) + draw(TRAILERS)
        case _:
            raw = head + b"\r\n" + body
    stream = bytearray(raw + draw(GARBAGE))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place = draw(st.integers(0, len(stream)))
        stream[place : place + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3) | st.sampled_from([b"\r\n", b"\n", b"\r", b"\x00", b" ", b":", b"0", b"\t"])
        )
    return bytes(stream)


ANYTHING = st.binary(max_size=300) | answers()
CUTS = st.lists(st.integers(0, 10_000), max_size=12)
TARGET: Any = given(raw=ANYTHING, cuts=CUTS)(check)


@settings(max_examples=400, derandomize=True)
@given(raw=ANYTHING, cuts=CUTS)
def test_any_bytes_in_any_packets_are_one_answer_or_one_failure(raw: bytes, cuts: list[int]) -> None:
    check(raw, cuts)


def test_the_next_call_never_hears_what_was_sent_before_it_asked() -> None:
    for garbage in (b"x", NEXT, b"\r\nx", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"):
        outcome = feed([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" + garbage])
        assert (outcome.end, outcome.body, outcome.usable) == ("whole", b"ok", False)


def test_trailers_do_not_become_headers() -> None:
    call, connection = Call(), UpstreamConnection(Pool())
    connection.connection_made(Wire())
    connection.send(call, call, REQUEST)
    connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-request-id: forged\r\n\r\n")
    assert call.end == "whole"
    assert call.headers == [(b"transfer-encoding", b"chunked")]


def test_a_head_without_end_is_given_up() -> None:
    line = b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100  # 600 bytes and more
    assert feed([line] * 20).end == "upstream_malformed"
    assert feed([b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10] * 100).end == "upstream_malformed"
