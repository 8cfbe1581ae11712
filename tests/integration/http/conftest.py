"""Raw bytes into a listening server: what came back, and which requests the application saw."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NamedTuple

import pytest
import uvloop

from trimtab.providers.http import Exchange, HttpServer, Refusal, Request, ServerLimits
from trimtab.providers.http.message import JSON_CONTENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PATIENCE_SECONDS = 10.0


class Seen(NamedTuple):
    """A request as the application saw it."""

    method: bytes
    target: bytes
    body: bytes


class Answer(NamedTuple):
    """One answer, as a strict client reads it."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Recorder:
    """An application that writes down what it is asked to do.

    `/refused` is refused by its head. `/later` is answered when the test says so, `/stream` in pieces, `/flood`
    without end, everything else with `ok`.
    """

    def __init__(self) -> None:
        self.admitted: list[Request] = []
        self.handled: list[Request] = []
        self.refused: list[Refusal] = []
        self.waiting: list[Exchange] = []
        self.aborted: list[Exchange] = []
        self.paused = 0

    @property
    def seen(self) -> list[Seen]:
        return [Seen(request.method, request.target, request.body) for request in self.handled]

    def admit(self, request: Request) -> Refusal | None:
        self.admitted.append(request)
        return Refusal(401, "no_key", "who are you?") if request.path == b"/refused" else None

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        self.refused.append(refusal)
        exchange.respond(refusal.status, refusal.code.encode(), JSON_CONTENT + refusal.headers)

    def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        self.handled.append(request)
        exchange.on_abort = lambda: self.aborted.append(exchange)
        if request.path == b"/later":
            self.waiting.append(exchange)
        elif request.path == b"/stream":
            exchange.start(200, b"content-type: text/plain\r\n")
            exchange.write(b"one")
            exchange.write(b"two")
            exchange.end()
        elif request.path == b"/flood":
            self._flood(exchange)
        else:
            exchange.respond(200, b"ok")

    def _flood(self, exchange: Exchange) -> None:
        flowing = True

        def paused() -> None:
            nonlocal flowing
            self.paused += 1
            flowing = False

        def more() -> None:
            nonlocal flowing
            flowing = True
            while flowing and not exchange.done:
                exchange.write(b"x" * 65536)

        exchange.on_pause, exchange.on_resume = paused, more
        exchange.start(200, b"")
        more()


class Conversation(NamedTuple):
    """What a caller got for its bytes."""

    raw: bytes
    application: Recorder

    @property
    def seen(self) -> list[Seen]:
        return self.application.seen

    @property
    def answers(self) -> list[Answer]:
        return read_answers(self.raw)

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]


def read_answers(raw: bytes, *, bodiless: bool = False) -> list[Answer]:
    """Read every answer in `raw`; a byte that belongs to none is a failure. `bodiless`: the requests were HEAD."""
    found = []
    while raw:
        head, end, raw = raw.partition(b"\r\n\r\n")
        assert end, head
        first, *lines = head.split(b"\r\n")
        version, code, _ = first.split(b" ", 2)
        assert version == b"HTTP/1.1"
        pairs = [line.split(b": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), "a header came twice"
        status = int(code)
        if status < 200 or status in {204, 304} or bodiless:
            body = b""
        elif b"transfer-encoding" in headers:
            assert headers == {**headers, b"transfer-encoding": b"chunked"}
            assert b"content-length" not in headers
            body, raw = _read_chunks(raw)
        elif b"content-length" in headers:
            length = int(headers[b"content-length"])
            assert len(raw) >= length
            body, raw = raw[:length], raw[length:]
        else:
            body, raw = raw, b""
        found.append(Answer(status, headers, body))
    return found


def _read_chunks(raw: bytes) -> tuple[bytes, bytes]:
    parts = []
    while True:
        size, _, raw = raw.partition(b"\r\n")
        length = int(size, 16)
        assert raw[length : length + 2] == b"\r\n"
        parts.append(raw[:length])
        raw = raw[length + 2 :]
        if not length:
            return b"".join(parts), raw


class Caller:
    """One raw connection to the server under test."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: HttpServer, application: Recorder
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.server = server
        self.application = application

    async def send(self, *pieces: bytes) -> None:
        """Send each piece in a packet of its own."""
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(0.002)
            self.writer.write(piece)
            with contextlib.suppress(ConnectionError):
                await self.writer.drain()

    async def until(self, holds: Callable[[], object]) -> None:
        while not holds():  # noqa: ASYNC110 - the whole story has a deadline
            await asyncio.sleep(0.001)


@pytest.fixture
def play() -> Callable[..., Recorder]:
    """Plays a story between one caller and a listening server, on the loop that the gateway runs on."""

    def run(story: Callable[[Caller], Awaitable[None]], *, stock_loop: bool = False, **limits: float) -> Recorder:
        application = Recorder()

        async def tell() -> None:
            server = HttpServer(application, ServerLimits(**limits))  # type: ignore[arg-type]
            host, port = await server.start("127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(host, port)
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await story(Caller(reader, writer, server, application))
            finally:
                writer.close()
                await server.drain(0.0)
                await asyncio.sleep(0)

        with asyncio.Runner(loop_factory=None if stock_loop else uvloop.new_event_loop) as runner:
            runner.run(tell())
        return application

    return run


@pytest.fixture
def converse(play: Callable[..., Recorder]) -> Callable[..., Conversation]:
    """Sends pieces, shuts down the sending side and reads to the end of the connection."""

    def run(*pieces: bytes, **options: float) -> Conversation:
        received = b""

        async def story(caller: Caller) -> None:
            nonlocal received
            await caller.send(*pieces)
            with contextlib.suppress(OSError):
                caller.writer.write_eof()
            with contextlib.suppress(ConnectionError):
                while more := await caller.reader.read(65536):
                    received += more

        application = play(story, **options)
        return Conversation(received, application)

    return run
