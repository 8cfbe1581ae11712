from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from trimtab.providers.http import Exchange, HttpServer, Refusal, Request, ServerLimits, header
from trimtab.providers.http.message import JSON_CONTENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOST = b"host: here\r\n"


class Echo:
    """Answers with method, path and body; `/later` only when released, `/stream` in pieces."""

    def __init__(self) -> None:
        self.waiting: list[Exchange] = []
        self.aborted = 0
        self.paused = 0
        self.resumed = 0

    def admit(self, request: Request) -> Refusal | None:
        return Refusal(404, "no_such_path", "nothing here") if request.path == b"/refused" else None

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        exchange.respond(refusal.status, refusal.code.encode(), JSON_CONTENT + refusal.headers)

    def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        exchange.on_abort = self._aborted
        if request.path == b"/later":
            self.waiting.append(exchange)
        elif request.path == b"/stream":
            exchange.start(200, b"content-type: text/plain\r\n")
            for piece in (b"one", b"", b"two"):
                exchange.write(piece)
            exchange.end()
        elif request.path == b"/flood":
            self._flood(exchange)
        else:
            exchange.respond(200, b"%s %s %s" % (request.method, request.target, request.body))

    def _aborted(self) -> None:
        self.aborted += 1

    def _flood(self, exchange: Exchange) -> None:
        def paused() -> None:
            self.paused += 1

        def resumed() -> None:
            self.resumed += 1
            exchange.end()

        exchange.on_pause, exchange.on_resume = paused, resumed
        exchange.start(200, b"")
        while not self.paused:
            exchange.write(b"x" * 65536)


def play(
    story: Callable[[Echo, HttpServer, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], **limits: float
) -> None:
    async def run() -> None:
        echo = Echo()
        server = HttpServer(echo, ServerLimits(**limits))  # type: ignore[arg-type]
        host, port = await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(host, port)
        try:
            async with asyncio.timeout(10):
                await story(echo, server, reader, writer)
        finally:
            writer.close()
            await server.drain(0.5)

    asyncio.run(run())


async def eventually(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - `play` bounds the wait
        await asyncio.sleep(0.001)


def exchange_raw(*pieces: bytes, until_closed: bool = False, **limits: float) -> bytes:
    received = b""

    async def story(_: Echo, server: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.002)
        if until_closed:
            received = await reader.read()
        else:
            await server.drain(1.0)
            received = await reader.read()

    play(story, **limits)
    return received


def bodies(answer: bytes) -> list[bytes]:
    return [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 ")[1:]]


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def test_pipelined_requests_are_answered_in_order() -> None:
    one = b"".join(b"GET /%d HTTP/1.1\r\n%s\r\n" % (n, HOST) for n in range(50))
    assert bodies(exchange_raw(one)) == [b"GET /%d " % n for n in range(50)]


def test_a_slow_first_answer_keeps_its_place() -> None:
    async def story(echo: Echo, _: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"GET /later HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET /b HTTP/1.1\r\nconnection: close\r\n" + HOST + b"\r\n"
        )
        await eventually(lambda: bool(echo.waiting))
        await asyncio.sleep(0.01)
        echo.waiting[0].respond(200, b"first")
        assert bodies(await reader.read()) == [b"first", b"GET /b "]

    play(story)


def test_a_chunked_body_is_put_together() -> None:
    head = b"POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + HOST + b"\r\n"
    assert bodies(exchange_raw(head, b"3\r\nabc\r\n", b"2;x=y\r\nde\r\n0\r\n\r\n")) == [b"POST /c abcde"]


def test_a_request_may_come_byte_by_byte() -> None:
    raw = b"POST /s?q=1 HTTP/1.1\r\ncontent-length: 2\r\n" + HOST + b"\r\nhi"
    assert bodies(exchange_raw(*[bytes([byte]) for byte in raw])) == [b"POST /s?q=1 hi"]


def test_leave_to_send_the_body_is_given_only_where_it_will_be_read() -> None:
    head = b"expect: 100-continue\r\ncontent-length: 2\r\n" + HOST + b"\r\n"
    assert statuses(exchange_raw(b"POST /x HTTP/1.1\r\n" + head, b"hi")) == [100, 200]
    assert statuses(exchange_raw(b"POST /refused HTTP/1.1\r\n" + head, until_closed=True)) == [404]
    long = b"POST /x HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 99\r\n" + HOST + b"\r\n"
    assert statuses(exchange_raw(long, until_closed=True, max_body_bytes=10)) == [413]


def test_a_refused_body_is_dropped_and_the_connection_goes_on() -> None:
    refused = b"POST /refused HTTP/1.1\r\ncontent-length: 5\r\n" + HOST + b"\r\n"
    answer = exchange_raw(refused, b"hello", b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n")
    assert bodies(answer) == [b"no_such_path", b"GET /next "]


@pytest.mark.parametrize("chunked", [True, False])
def test_an_oversized_body_is_413_and_the_caller_gets_to_read_it(chunked: bool) -> None:  # noqa: FBT001
    framing = b"transfer-encoding: chunked\r\n\r\n" if chunked else b"content-length: 300000\r\n\r\n"
    body = (
        b"".join(b"7530\r\n" + b"x" * 30000 + b"\r\n" for _ in range(10)) + b"0\r\n\r\n" if chunked else b"x" * 300000
    )
    answer = exchange_raw(b"POST /x HTTP/1.1\r\n" + HOST + framing, body, until_closed=True, max_body_bytes=1000)
    assert statuses(answer) == [413]
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -3\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nlong: " + b"x" * 5000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 9000, 414),
        (b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n", 405),
    ],
)
def test_what_is_not_a_request_is_refused_and_closed(raw: bytes, status: int) -> None:
    assert statuses(exchange_raw(raw, until_closed=True, max_head_bytes=4096)) == [status]


def test_requests_before_a_malformed_one_are_still_answered() -> None:
    answer = exchange_raw(b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\nGARBAGE\r\n\r\n", until_closed=True)
    assert statuses(answer) == [200, 400]


def test_an_offer_to_upgrade_is_ignored_with_its_body_kept() -> None:
    head = (
        b"POST /u HTTP/1.1\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\ncontent-length: 4\r\n"
        + HOST
        + b"\r\n"
    )
    assert bodies(exchange_raw(head + b"bo", b"dy")) == [b"POST /u body"]


def test_head_gets_the_length_without_the_body() -> None:
    answer = exchange_raw(b"HEAD /h HTTP/1.1\r\n" + HOST + b"\r\n")
    assert b"content-length: 8\r\n" in answer
    assert bodies(answer) == [b""]


def test_http_1_0_closes_unless_asked_and_streams_unframed() -> None:
    assert b"connection: close" in exchange_raw(b"GET / HTTP/1.0\r\n\r\n", until_closed=True)
    kept = exchange_raw(
        b"GET /1 HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", b"GET /2 HTTP/1.0\r\n\r\n", until_closed=True
    )
    assert b"connection: keep-alive" in kept
    assert bodies(kept) == [b"GET /1 ", b"GET /2 "]
    assert bodies(exchange_raw(b"GET /stream HTTP/1.0\r\n\r\n", until_closed=True)) == [b"onetwo"]


def test_a_stream_is_chunked_for_http_1_1() -> None:
    assert bodies(exchange_raw(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n")) == [b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"]


def test_a_slow_request_is_408_and_an_idle_connection_is_closed() -> None:
    assert statuses(exchange_raw(b"GET / HT", until_closed=True, request_seconds=0.05)) == [408]
    assert exchange_raw(until_closed=True, idle_seconds=0.05) == b""


def test_waiting_for_our_own_answer_is_never_timed_out() -> None:
    async def story(echo: Echo, _: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /later HTTP/1.1\r\nconnection: close\r\n" + HOST + b"\r\n")
        await asyncio.sleep(0.6)
        echo.waiting[0].respond(200, b"at last")
        assert bodies(await reader.read()) == [b"at last"]

    play(story, idle_seconds=0.05, request_seconds=0.05)


def test_a_caller_that_leaves_is_noticed() -> None:
    async def story(echo: Echo, _: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /later HTTP/1.1\r\n" + HOST + b"\r\n")
        await eventually(lambda: bool(echo.waiting))
        writer.close()
        await eventually(lambda: echo.aborted == 1)
        echo.waiting[0].respond(200, b"nobody hears this")

    play(story)


def test_a_caller_that_reads_slowly_pauses_the_answer() -> None:
    async def story(echo: Echo, _: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /flood HTTP/1.1\r\nconnection: close\r\n" + HOST + b"\r\n")
        received = await reader.read()
        assert (echo.paused, echo.resumed) == (1, 1)
        assert received.endswith(b"\r\n0\r\n\r\n")

    play(story)


def test_draining_finishes_what_was_begun_and_accepts_nothing_new() -> None:
    async def story(echo: Echo, server: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /later HTTP/1.1\r\n" + HOST + b"\r\nGET /queued HTTP/1.1\r\n" + HOST + b"\r\n")
        await eventually(lambda: bool(echo.waiting))
        host, port = writer.get_extra_info("peername")
        draining = asyncio.create_task(server.drain(5.0))
        await asyncio.sleep(0.01)
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection(host, port)
        echo.waiting[0].respond(200, b"first")
        assert await draining == 0
        answer = await reader.read()
        assert bodies(answer) == [b"first", b"GET /queued "]
        assert answer.count(b"connection: close") == 1

    play(story)


def test_draining_gives_up_after_its_time() -> None:
    async def story(echo: Echo, server: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /later HTTP/1.1\r\n" + HOST + b"\r\n")
        await eventually(lambda: bool(echo.waiting))
        began = time.monotonic()
        assert await server.drain(0.05) == 1
        assert time.monotonic() - began < 1

    play(story)


def test_a_header_value_cannot_begin_another_line() -> None:
    assert header(b"x", "a\r\nset-cookie: b\x00") == b"x: aset-cookie: b\r\n"
