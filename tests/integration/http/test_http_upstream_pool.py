"""Connections to an upstream: by name and anew in time, handed out in order, never lost and never more than allowed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from trimtab.core.errors import UpstreamError
from trimtab.providers.http import ClientLimits, UpstreamClient, fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LOOPS = pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])


class Upstream:
    """Answers each request once it is let to; writes down which came in which order."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    self.requests.append(head.split(b" ", 2)[1])
                    await self.gate.wait()
                    writer.write(OK)
        finally:
            self.open -= 1
            writer.close()


@contextlib.asynccontextmanager
async def listening(address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Upstream]:
    here = Upstream()
    server = await asyncio.start_server(here.serve, address, port)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()
        here.gate.set()
        while here.open:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def client(url: str, **limits: Any) -> AsyncIterator[UpstreamClient]:
    one = UpstreamClient(url, limits=ClientLimits(**limits))
    try:
        yield one
    finally:
        await one.close()


def run(story: Callable[[], Coroutine[Any, Any, None]], loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await story()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(bounded())


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 - `run` bounds the wait
        await asyncio.sleep(0.001)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A resolver: what these names resolve to, in this order, and how often they were asked for."""
    book: dict[str, list[str]] = {"asked": []}

    def resolve(host: str, port: int, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list[Any]:  # noqa: A002
        book["asked"].append(host)
        if host not in book:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in book[host]]

    async def look_up(host: str, port: int, **options: int) -> list[Any]:
        return resolve(host, port, **options)

    real = asyncio.new_event_loop

    def loop() -> asyncio.AbstractEventLoop:
        made = real()
        made.getaddrinfo = look_up  # type: ignore[assignment]  # the operating system's resolver is not ours to change
        return made

    monkeypatch.setattr(asyncio, "new_event_loop", loop)
    return book


@LOOPS
def test_calls_beyond_the_limit_get_a_connection_in_the_order_in_which_they_came(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def story() -> None:
        async with listening() as here, client(f"http://127.0.0.1:{here.port}", max_connections=2) as one:
            here.gate.clear()
            calls = []
            for number in range(12):
                calls.append(asyncio.create_task(fetch(one, b"GET", b"/%d" % number)))
                await asyncio.sleep(0)
            await until(lambda: len(here.requests) == 2)
            here.gate.set()
            await asyncio.gather(*calls)
            assert sorted(here.requests[:2]) == [b"/0", b"/1"]
            # Two connections: each answer lets the one that waited longest go next.
            for place, name in enumerate(here.requests):
                assert abs(place - int(name[1:])) <= 1
            assert here.connections == 2

    run(story, loop)


@LOOPS
def test_a_call_given_up_while_it_waited_does_not_cost_the_next_one_its_turn(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def story() -> None:
        async with listening() as here, client(f"http://127.0.0.1:{here.port}", max_connections=1) as one:
            here.gate.clear()
            first = asyncio.create_task(fetch(one, b"GET", b"/first"))
            await until(lambda: here.requests)
            given_up = [asyncio.create_task(fetch(one, b"GET", b"/given-up")) for _ in range(3)]
            await asyncio.sleep(0)
            last = asyncio.create_task(fetch(one, b"GET", b"/last"))
            await asyncio.sleep(0)
            for task in (*given_up, first):  # and the connection goes, too
                task.cancel()
            here.gate.set()
            assert (await last).body == b"ok"
            await asyncio.gather(first, *given_up, return_exceptions=True)
            assert here.requests == [b"/first", b"/last"]

    run(story, loop)


@LOOPS
def test_whoever_waits_for_a_new_connection_takes_one_that_is_free_before_it(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def story() -> None:
        async with listening() as here, client(f"http://127.0.0.1:{here.port}", max_connections=8) as one:
            await fetch(one, b"GET", b"/")
            here.gate.clear()
            busy = asyncio.create_task(fetch(one, b"GET", b"/busy"))
            await until(lambda: len(here.requests) == 2)
            # The next connection never opens: nobody says a word of its TLS.
            pool = one._pool
            pool._origin = pool._origin._replace(port=silent.getsockname()[1], tls=ssl.create_default_context())
            waiting = asyncio.create_task(fetch(one, b"GET", b"/waiting"))
            await until(lambda: bool(pool._connecting))
            here.gate.set()
            assert (await waiting).body == (await busy).body == b"ok"
            assert here.connections == 1

    with socket.create_server(("127.0.0.1", 0)) as silent:
        run(story, loop)


@LOOPS
def test_what_cannot_be_reached_fails_every_call_that_waits_and_leaks_no_place(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def story() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
            port = taken.getsockname()[1]
            async with client(f"http://127.0.0.1:{port}", max_connections=2) as one:
                for _ in range(3):
                    results = await asyncio.gather(
                        *(fetch(one, b"GET", b"/") for _ in range(5)), return_exceptions=True
                    )
                    codes = {result.code for result in results if isinstance(result, UpstreamError)}
                    assert (len(results), codes) == (5, {"upstream_unreachable"})
                taken.close()
                async with listening(port=port) as here:
                    here.gate.clear()  # until both places are taken: one alone could answer all five
                    calls = [asyncio.ensure_future(fetch(one, b"GET", b"/")) for _ in range(5)]
                    await until(lambda: len(here.requests) == 2)
                    here.gate.set()
                    assert [reply.body for reply in await asyncio.gather(*calls)] == [b"ok"] * 5
                    assert here.connections == 2
                    await one.close()

    run(story, loop)


@LOOPS
def test_an_upstream_that_closes_at_once_is_an_error_and_not_a_hanging_call(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def story() -> None:
        async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        server = await asyncio.start_server(slam, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with client(f"http://127.0.0.1:{port}", max_connections=1) as one:
            for _ in range(5):
                with pytest.raises(UpstreamError) as raised:
                    await fetch(one, b"POST", b"/")
                assert raised.value.code in {"upstream_disconnected", "upstream_unreachable"}
        server.close()

    run(story, loop)


@LOOPS
def test_an_old_connection_is_replaced_and_never_cut_in_the_middle(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def story() -> None:
        url = "http://127.0.0.1:{}"
        async with listening() as here, client(url.format(here.port), max_connection_seconds=0.2) as one:
            here.gate.clear()
            slow = asyncio.create_task(fetch(one, b"GET", b"/slow"))
            await until(lambda: here.requests)
            await asyncio.sleep(0.25)
            here.gate.set()
            assert (await slow).body == b"ok"  # older than allowed by now, and complete
            await until(lambda: here.open == 0)
            assert (await fetch(one, b"GET", b"/")).body == b"ok"
            assert here.connections == 2
            await until(lambda: here.open == 0)  # an idle one is closed when its time is up, with no call to notice

    run(story, loop)


def test_a_name_that_moved_is_followed_within_the_age_of_a_connection(names: dict[str, list[str]]) -> None:
    async def story() -> None:
        async with listening("127.0.0.1") as old, listening("127.0.0.2", old.port) as new:
            names["upstream.test"] = ["127.0.0.1"]
            async with client(f"http://upstream.test:{old.port}", max_connection_seconds=0.3) as one:
                await fetch(one, b"GET", b"/")
                names["upstream.test"] = ["127.0.0.2"]
                while not new.requests:
                    await fetch(one, b"GET", b"/")
                    await asyncio.sleep(0.01)
                before = len(old.requests)
                for _ in range(5):
                    await fetch(one, b"GET", b"/")
                assert len(old.requests) == before
                assert len(names["asked"]) >= 2

    run(story, asyncio.new_event_loop)


def test_every_address_of_a_name_is_tried_and_a_dead_one_only_once(names: dict[str, list[str]]) -> None:
    async def story() -> None:
        async with listening("127.0.0.3") as here:
            names["upstream.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]  # nobody listens at the first two
            async with client(f"http://upstream.test:{here.port}", max_connection_seconds=0.0) as one:
                for _ in range(3):
                    assert (await fetch(one, b"GET", b"/")).body == b"ok"
                assert set(one._pool._avoided) == {"127.0.0.1", "127.0.0.2"}

    run(story, asyncio.new_event_loop)


def test_an_address_that_swallows_everything_gets_its_share_of_the_time_only(names: dict[str, list[str]]) -> None:
    async def story() -> None:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            port = deaf.getsockname()[1]
            # A full backlog: the kernel drops what else knocks, and connecting takes for ever.
            knocking = [socket.socket() for _ in range(4)]
            for visitor in knocking:
                visitor.settimeout(0)
                visitor.connect_ex(("127.0.0.1", port))
            async with listening("127.0.0.2", port) as here:
                names["upstream.test"] = ["127.0.0.1", "127.0.0.2"]
                async with client(f"http://upstream.test:{port}", connect_seconds=0.4) as one:
                    assert (await fetch(one, b"GET", b"/")).body == b"ok"
                    names["upstream.test"] = ["127.0.0.1"]
                    one._pool.drop_idle()
                    with pytest.raises(UpstreamError) as raised:
                        await fetch(one, b"GET", b"/")
                    assert raised.value.code == "upstream_connect_timeout"
                    assert here.connections == 1
            for visitor in knocking:
                visitor.close()

    run(story, asyncio.new_event_loop)


@pytest.mark.parametrize("host", ["no-such-name.invalid", "x" * 64 + ".invalid"])
def test_a_name_that_does_not_resolve_is_an_error_that_says_so(
    names: dict[str, list[str]], host: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with client(f"http://{host}:80") as one:
            with pytest.raises(UpstreamError, match="name cannot be resolved") as raised:
                await fetch(one, b"GET", b"/")
            assert raised.value.code == "upstream_unreachable"

    run(story, asyncio.new_event_loop)
    assert host in caplog.messages[0]


@LOOPS
def test_a_connection_that_is_never_idle_is_replaced_too(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story() -> None:
        url = "http://127.0.0.1:{}"
        async with (
            listening() as here,
            client(url.format(here.port), max_connections=1, max_connection_seconds=0.1) as one,
        ):

            async def ask() -> None:
                while here.connections < 3:
                    assert (await fetch(one, b"GET", b"/")).body == b"ok"

            await asyncio.gather(ask(), ask(), ask())  # two always wait for the one connection

    run(story, loop)
