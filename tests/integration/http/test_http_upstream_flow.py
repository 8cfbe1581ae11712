"""An answer on its way through: as fast as its reader, no faster; ended by its deadlines, and by whoever leaves."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from typing import TYPE_CHECKING

import pytest
import uvloop

from trimtab.core.errors import UpstreamError
from trimtab.providers.http import ClientLimits, Exchange, HttpServer, Refusal, Request, UpstreamClient, fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from trimtab.providers.http import UpstreamCall

MIB = 1024 * 1024
GET = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
LOOPS = pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])


class Relay:
    """Passes each request on and its answer back, as the gateway does, with the caller's pace and its absence."""

    def __init__(self, client: UpstreamClient) -> None:
        self._client = client

    def admit(self, request: Request) -> Refusal | None:
        return None

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        exchange.respond(refusal.status, b"")

    def handle(self, exchange: Exchange) -> None:
        Relayed(exchange).begin(self._client)


class Relayed:
    """One answer on its way."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._call: UpstreamCall | None = None

    def begin(self, client: UpstreamClient) -> None:
        call = self._call = client.send(b"GET", b"/", self)
        self._exchange.on_abort = call.cancel
        self._exchange.on_pause, self._exchange.on_resume = call.pause, call.resume

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._exchange.start(status, b"")

    def on_data(self, data: bytes) -> None:
        self._exchange.write(data)

    def on_end(self) -> None:
        self._exchange.end()

    def on_failure(self, error: UpstreamError) -> None:
        self._exchange.cut()


class Source:
    """An upstream that sends as much as it can get rid of."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.sent = 0
        self.gone = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        piece = b"x" * 65536
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % self.total)
                while self.sent < self.total:
                    writer.write(piece)
                    self.sent += len(piece)
                    await writer.drain()
                await reader.read()
        finally:
            self.gone.set()
            writer.close()


@contextlib.asynccontextmanager
async def relaying(total: int) -> AsyncIterator[tuple[Source, asyncio.StreamReader, asyncio.StreamWriter]]:
    source = Source(total)
    upstream = await asyncio.start_server(source.serve, "127.0.0.1", 0)
    client = UpstreamClient(f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}")
    server = HttpServer(Relay(client))
    host, port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield source, reader, writer
    finally:
        writer.close()
        await server.drain(0.0)
        await client.close()
        upstream.close()
        await source.gone.wait()
        await asyncio.sleep(0.01)


def run(story: Callable[[], Coroutine[None, None, None]], loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(50):
            await story()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(bounded())


def test_a_long_answer_never_lies_in_memory_however_slowly_it_is_read() -> None:
    async def story() -> None:
        total = 200 * MIB
        async with relaying(total) as (source, reader, writer):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.5)  # a caller that reads nothing at first
            stalled = source.sent
            received = 0
            while received < total:
                received += len(await reader.read(MIB))
                # Both sockets' buffers in the kernel, and what this process holds: bounded, and by far less than all.
                assert source.sent - received < 32 * MIB
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert stalled < 32 * MIB
            assert grown * 1024 < 32 * MIB

    run(story, uvloop.new_event_loop)


@LOOPS
def test_an_upstream_is_left_when_the_caller_leaves(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story() -> None:
        async with relaying(10**12) as (source, reader, writer):
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            writer.close()
            async with asyncio.timeout(2):
                await source.gone.wait()

    run(story, loop)


@LOOPS
def test_an_upstream_is_left_when_a_caller_that_read_nothing_leaves(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def story() -> None:
        async with relaying(10**12) as (source, _, writer):
            writer.write(GET)
            before = -1
            while source.sent != before:  # until nothing flows any more: everything is full
                before = source.sent
                await asyncio.sleep(0.05)
            writer.transport.abort()
            async with asyncio.timeout(2):
                await source.gone.wait()

    run(story, loop)


class Script:
    """An upstream that says its lines, with pauses (seconds), until its caller leaves."""

    def __init__(self, *steps: bytes | float) -> None:
        self._steps = steps
        self.gone = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        speaking = asyncio.create_task(self._speak(writer))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        speaking.cancel()
        writer.close()
        self.gone.set()

    async def _speak(self, writer: asyncio.StreamWriter) -> None:
        for step in self._steps:
            if isinstance(step, bytes):
                writer.write(step)
            else:
                await asyncio.sleep(step)


HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
FOREVER = 30.0


@LOOPS
@pytest.mark.parametrize(
    ("steps", "limits", "message"),
    [
        ((FOREVER,), {"read_seconds": 0.2}, "silent for 0.2 s"),
        ((HEAD + b"1\r\nx\r\n", FOREVER), {"read_seconds": 0.2}, "silent for 0.2 s"),
        ((FOREVER,), {"total_seconds": 0.2}, "within 0.2 s"),
        ((HEAD, *[b"1\r\nx\r\n", 0.05] * 100), {"total_seconds": 0.4, "read_seconds": 3.0}, "within 0.4 s"),
        ((*[b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.05] * 100,), {"total_seconds": 0.4}, "within 0.4 s"),
    ],
)
def test_a_deadline_ends_the_call_and_its_connection(
    steps: tuple[bytes | float, ...],
    limits: dict[str, float],
    message: str,
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def story() -> None:
        script = Script(*steps)
        server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = UpstreamClient(f"http://127.0.0.1:{port}", limits=ClientLimits(**limits))  # type: ignore[arg-type]
        with pytest.raises(UpstreamError, match=message) as raised:
            await fetch(client, b"GET", b"/")
        assert raised.value.code == "upstream_timeout"
        await script.gone.wait()
        await client.close()
        server.close()

    run(story, loop)


@LOOPS
def test_a_caller_that_pauses_does_not_make_the_upstream_late(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story() -> None:
        script = Script(HEAD + b"1\r\nx\r\n", 0.05, b"0\r\n\r\n", FOREVER)
        server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
        client = UpstreamClient(
            f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", limits=ClientLimits(read_seconds=0.2)
        )
        began: asyncio.Event = asyncio.Event()
        ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        class Sink:
            def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None: ...

            def on_data(self, data: bytes) -> None:
                began.set()

            def on_end(self) -> None:
                ended.set_result(True)

            def on_failure(self, error: UpstreamError) -> None:
                ended.set_exception(error)

        call = client.send(b"GET", b"/", Sink())
        await began.wait()
        call.pause()
        await asyncio.sleep(0.5)
        assert not ended.done()
        call.resume()
        assert await ended
        await client.close()
        server.close()
        await script.gone.wait()

    run(story, loop)


@LOOPS
def test_a_request_larger_than_what_the_upstream_takes_at_once_arrives_whole(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    body = b"x" * (32 * MIB)

    async def story() -> None:
        problems: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, problem: problems.append(problem))
        full = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            await full.wait()
            received = await reader.readexactly(len(body))
            answer = b"%d" % (len(received) if b"content-length: %d" % len(body) in head.lower() else 0)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
            await reader.read()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            client = UpstreamClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            asked = asyncio.create_task(fetch(client, b"POST", b"/", body=body))
            await asyncio.sleep(0)
            while not client._pool._open:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
            [connection] = client._pool._open
            assert connection.transport is not None
            while not connection.transport.get_write_buffer_size():  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.001)
            full.set()
            assert (await asked).body == b"%d" % len(body)
            await client.close()
            await asyncio.sleep(0.01)
        assert problems == []

    run(story, loop)
