from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from typing import TYPE_CHECKING

import pytest
import uvloop

from trimtab.core.errors import InputError, UpstreamError
from trimtab.providers.http import ClientLimits, UpstreamClient, fetch
from trimtab.providers.resilience import AttemptResult
from trimtab.providers.resilience.failure import classify
from trimtab.providers.resilience.policy import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Upstream:
    """A raw upstream: `serve` speaks on each connection."""

    def __init__(self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._serve = serve
        self.connections = 0
        self.requests: list[bytes] = []
        self.tasks: list[asyncio.Task[None] | None] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.append(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            writer.close()

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        request = head + await reader.readexactly(length)
        self.requests.append(request)
        return request


@contextlib.asynccontextmanager
async def upstream(
    answer: bytes | None = OK, *, keep: bool = True, limits: ClientLimits | None = None, wait: float = 0.0
) -> AsyncIterator[tuple[UpstreamClient, Upstream]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await here.read(reader)
            if answer is None:
                await asyncio.sleep(30)
                return
            await asyncio.sleep(wait)
            writer.write(answer)
            if not keep:
                return

    here = Upstream(serve)
    server = await asyncio.start_server(here.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = UpstreamClient(f"http://127.0.0.1:{port}/v1", headers=b"x-fixed: 1\r\n", limits=limits)
    try:
        async with asyncio.timeout(10):
            yield client, here
    finally:
        await client.close()
        server.close()
        tasks = [task for task in here.tasks if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0.01)  # transports close on the loop


def test_connections_are_kept_and_the_request_is_what_was_asked() -> None:
    async def story() -> None:
        async with upstream() as (client, here):
            for _ in range(3):
                reply = await fetch(client, b"POST", b"/chat", headers=b"x-call: 2\r\n", body=b"{}")
                assert (reply.status, reply.body) == (200, b"ok")
            assert here.connections == 1
            assert here.requests[0].startswith(b"POST /v1/chat HTTP/1.1\r\nhost: 127.0.0.1:")
            assert b"\r\nx-fixed: 1\r\nx-call: 2\r\n" in here.requests[0]
            assert here.requests[0].endswith(b"\r\n\r\n{}")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil it closes", b"until it closes"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_every_framing_is_read(answer: bytes, body: bytes) -> None:
    async def story() -> None:
        async with upstream(answer, keep=False) as (client, _):
            assert (await fetch(client, b"GET", b"/")).body == body

    asyncio.run(story())


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "upstream_disconnected"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n", "upstream_disconnected"),
        (b"", "upstream_disconnected"),
        (b"SSH-2.0-OpenSSH\r\n", "upstream_malformed"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx", "upstream_malformed"),
    ],
)
def test_half_answers_are_failures_and_never_answers(answer: bytes, code: str) -> None:
    async def story() -> None:
        async with upstream(answer, keep=False) as (client, here):
            with pytest.raises(UpstreamError) as raised:
                await fetch(client, b"POST", b"/")
            assert raised.value.code == code
            assert len(here.requests) == 1  # on a fresh connection nothing is tried twice

    asyncio.run(story())


def test_a_connection_that_went_stale_is_replaced_without_the_caller_noticing() -> None:
    async def story() -> None:
        async with upstream() as (client, here):
            await fetch(client, b"POST", b"/")

            async def close_on_next(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await here.read(reader)
                writer.write(OK)

            # The second request on each of these connections meets a closed door.
            here._serve = close_on_next
            assert (await fetch(client, b"POST", b"/")).body == b"ok"
            for _ in range(3):
                assert (await fetch(client, b"POST", b"/")).body == b"ok"

    asyncio.run(story())


def test_an_upstream_that_is_not_there_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        client = UpstreamClient("http://127.0.0.1:9/v1", name="provider `mine`")
        for _ in range(2):
            with pytest.raises(UpstreamError) as raised:
                await fetch(client, b"POST", b"/")
            assert raised.value.code == "upstream_unreachable"
            assert raised.value.message == "cannot connect to provider `mine`: Connection refused"
        await client.close()

    asyncio.run(story())
    (line,) = caplog.messages  # where it is stands in the log alone, and not once for each call
    assert line.startswith("provider `mine` at http://127.0.0.1:9/v1: ")


@pytest.mark.parametrize("loop_factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_a_process_without_descriptors_blames_no_upstream(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def story() -> None:
        async with upstream() as (client, _here):
            await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 9)  # its thread is there
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            probe = os.dup(0)
            os.close(probe)
            resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
            try:
                with pytest.raises(UpstreamError) as raised:
                    await fetch(client, b"POST", b"/")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert raised.value.code == "gateway_exhausted"
            result = AttemptResult(code=raised.value.code)
            assert classify(result, RetryPolicy()).blame == "nobody"
            assert (await fetch(client, b"POST", b"/")).body == b"ok"

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(story())


@pytest.mark.parametrize("limits", [ClientLimits(total_seconds=0.1), ClientLimits(read_seconds=0.1)])
def test_silence_ends_at_the_deadline(limits: ClientLimits) -> None:
    async def story() -> None:
        async with upstream(None, limits=limits) as (client, _):
            with pytest.raises(UpstreamError) as raised:
                await fetch(client, b"POST", b"/")
            assert raised.value.code == "upstream_timeout"

    asyncio.run(story())


def test_calls_beyond_the_limit_wait_for_a_connection() -> None:
    async def story() -> None:
        async with upstream(limits=ClientLimits(max_connections=2), wait=0.005) as (client, here):
            replies = await asyncio.gather(*(fetch(client, b"POST", b"/") for _ in range(20)))
            assert [reply.body for reply in replies] == [b"ok"] * 20
            assert here.connections == 2

    asyncio.run(story())


def test_a_cancelled_call_drops_its_connection_and_makes_room() -> None:
    async def story() -> None:
        async with upstream(None, limits=ClientLimits(max_connections=1)) as (client, here):
            first = asyncio.create_task(fetch(client, b"POST", b"/"))
            while not here.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            second = asyncio.create_task(fetch(client, b"POST", b"/"))
            first.cancel()
            while len(here.requests) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            second.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            assert here.connections == 2

    asyncio.run(story())


def test_what_an_idle_connection_says_unasked_is_never_the_next_answer() -> None:
    async def story() -> None:
        async with upstream(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong") as (client, _):
            for _ in range(3):
                assert (await fetch(client, b"POST", b"/")).body == b"ok"
                await asyncio.sleep(0.005)

    asyncio.run(story())


def test_closing_the_client_fails_what_is_in_flight() -> None:
    async def story() -> None:
        async with upstream(None) as (client, here):
            call = asyncio.create_task(fetch(client, b"POST", b"/"))
            while not here.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            await client.close()
            with pytest.raises(UpstreamError, match="closed"):
                await call

    asyncio.run(story())


@pytest.mark.parametrize(
    "url", ["api.openai.com/v1", "ftp://x/v1", "http:///v1", "https://x/v1?key=1", "http://x/v 1", "http://x:port/v1"]
)
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="base URL"):
        UpstreamClient(url)


@pytest.mark.parametrize("url", ["http://svc:s3cret@10.0.0.9/v1", "http:svc:s3cret@10.0.0.9/v1", "//svc:s3cret@h"])
def test_a_base_url_with_a_password_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InputError, match="base URL") as raised:
        UpstreamClient(url)
    assert "s3cret" not in str(raised.value)
