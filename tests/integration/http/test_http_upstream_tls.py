"""TLS to an upstream, with a certificate authority of the test's own: who is believed, and what an end is worth."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
import uvloop

from trimtab.core.errors import UpstreamError
from trimtab.providers.http import UpstreamClient, fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Serve = "Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]"
pytestmark = pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class Upstream:
    """Serves TLS with one certificate; `answers` are spoken one a request, then `end` ends the connection."""

    def __init__(self, certificate: trustme.LeafCert, answer: bytes, end: str) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(self.context)
        self.handshakes = 0
        self.requests = 0
        self.port = 0
        self._answer = answer
        self._end = end
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handshakes += 1
        self._open += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
                    self.requests += 1
                    writer.write(self._answer)
                    await writer.drain()
                    if self._end == "goodbye":
                        return
                    if self._end == "cut":
                        # What somebody on the way can do: the TCP connection ends, TLS has not said so.
                        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as beneath:
                            beneath.shutdown(socket.SHUT_RDWR)
                        return
        finally:
            self._open -= 1
            writer.close()

    async def closed(self) -> None:
        while self._open:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def upstream(certificate: trustme.LeafCert, answer: bytes = OK, end: str = "") -> AsyncIterator[Upstream]:
    here = Upstream(certificate, answer, end)
    server = await asyncio.start_server(here.serve, "127.0.0.1", 0, ssl=here.context)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()
        await here.closed()
        await asyncio.sleep(0.01)  # transports close on the loop


@contextlib.asynccontextmanager
async def client(port: int, believed: trustme.CA | None, host: str = "localhost") -> AsyncIterator[UpstreamClient]:
    context = ssl.create_default_context()
    if believed is not None:
        believed.configure_trust(context)
    one = UpstreamClient(f"https://{host}:{port}", tls=context)
    try:
        yield one
    finally:
        await one.close()


def run(story: Callable[[], Coroutine[None, None, None]], loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await story()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(bounded())


def test_connections_are_kept_over_tls_too(
    authority: trustme.CA, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def story() -> None:
        async with upstream(authority.issue_cert("localhost")) as here, client(here.port, authority) as one:
            for _ in range(5):
                assert (await fetch(one, b"POST", b"/", body=b"x" * 100_000)).body == b"ok"
            assert (here.handshakes, here.requests) == (1, 5)

    run(story, loop)


def test_an_address_may_be_certified(authority: trustme.CA, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story() -> None:
        async with (
            upstream(authority.issue_cert("127.0.0.1")) as here,
            client(here.port, authority, "127.0.0.1") as one,
        ):
            assert (await fetch(one, b"GET", b"/")).body == b"ok"

    run(story, loop)


@pytest.mark.parametrize("wrong", ["authority", "name", "expired", "not yet"])
def test_whoever_is_not_certified_as_the_upstream_hears_no_request(
    authority: trustme.CA, wrong: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    day = dt.timedelta(days=1)
    now = dt.datetime.now(dt.UTC)
    certificate = {
        "authority": authority.issue_cert("localhost"),
        "name": authority.issue_cert("elsewhere.test"),
        "expired": authority.issue_cert("localhost", not_before=now - 2 * day, not_after=now - day),
        "not yet": authority.issue_cert("localhost", not_before=now + day, not_after=now + 2 * day),
    }[wrong]

    async def story() -> None:
        async with (
            upstream(certificate) as here,
            client(here.port, None if wrong == "authority" else authority) as one,
        ):
            for _ in range(3):
                with pytest.raises(UpstreamError, match="certificate") as raised:
                    await fetch(one, b"POST", b"/", body=b"secret")
                assert raised.value.code == "upstream_unreachable"
            assert here.requests == 0

    run(story, loop)


def test_an_upstream_that_speaks_no_tls_is_an_error(
    authority: trustme.CA, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def story() -> None:
        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        async with client(server.sockets[0].getsockname()[1], authority) as one:
            with pytest.raises(UpstreamError) as raised:
                await fetch(one, b"GET", b"/")
            assert raised.value.code == "upstream_unreachable"
        server.close()

    run(story, loop)


@pytest.mark.parametrize("end", ["goodbye", "cut"])
def test_an_answer_that_says_where_it_ends_is_whole_however_the_connection_ends(
    authority: trustme.CA, end: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def story() -> None:
        async with upstream(authority.issue_cert("localhost"), OK, end) as here, client(here.port, authority) as one:
            for _ in range(3):
                assert (await fetch(one, b"POST", b"/")).body == b"ok"
            assert here.requests == here.handshakes == 3

    run(story, loop)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhalf",  # ends where the connection does: only TLS can say that it did
    ],
)
def test_an_answer_cut_off_on_the_way_is_never_taken_for_whole(
    authority: trustme.CA, answer: bytes, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def story() -> None:
        certificate = authority.issue_cert("localhost")
        async with upstream(certificate, answer, "cut") as here, client(here.port, authority) as one:
            with pytest.raises(UpstreamError) as raised:
                await fetch(one, b"POST", b"/")
            assert raised.value.code == "upstream_disconnected"
            assert here.requests == 1

    run(story, loop)


def test_an_answer_that_ends_with_the_connection_is_whole_if_tls_says_so(
    authority: trustme.CA, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def story() -> None:
        certificate = authority.issue_cert("localhost")
        async with (
            upstream(certificate, b"HTTP/1.1 200 OK\r\n\r\nall", "goodbye") as here,
            client(here.port, authority) as one,
        ):
            assert (await fetch(one, b"POST", b"/")).body == b"all"

    run(story, loop)
