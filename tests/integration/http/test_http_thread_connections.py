"""Connections that threads drive themselves: whatever an upstream does, a thread hears the right answer or why not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import pytest
import trustme

from trimtab.providers.http import ClientLimits, UpstreamClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trimtab.providers.http.threads import Heard, ThreadConnections

REQUEST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
"""The head of an answer that ends where the connection does."""
MOST = 1000
Pieces = list[bytes | float | None]
"""What an upstream does for one request: bytes are sent, a number waits so many seconds, `None` closes."""


class Upstream:
    """Does for each request, of whichever connection, what its turn in the script says; its last turn ever again."""

    def __init__(self, *script: Pieces, tls: ssl.SSLContext | None = None) -> None:
        self._script = list(script)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        self.requests = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            plain = stack.enter_context(connection)
            if self._tls is not None:
                connection = stack.enter_context(self._tls.wrap_socket(connection, server_side=True))
            self.connections.append(connection)
            while connection.recv(65536):
                pieces = self._script[min(self.requests, len(self._script) - 1)]
                self.requests += 1
                for piece in pieces:
                    if piece is None:
                        if self._tls is not None:
                            with contextlib.suppress(OSError):
                                connection = cast("ssl.SSLSocket", connection).unwrap()
                        plain.close()
                        return
                    if isinstance(piece, float):
                        time.sleep(piece)
                    else:
                        connection.sendall(piece)


@contextlib.contextmanager
def connected(
    *script: Pieces, tls: trustme.CA | None = None, **limits: Any
) -> Iterator[tuple[Upstream, ThreadConnections]]:
    theirs = ours = None
    if tls is not None:
        theirs, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        tls.issue_cert("127.0.0.1").configure_cert(theirs)
        tls.configure_trust(ours)
    upstream = Upstream(*script, tls=theirs)
    scheme = "https" if tls else "http"
    client = UpstreamClient(f"{scheme}://127.0.0.1:{upstream.port}", limits=ClientLimits(**limits), tls=ours)
    try:
        yield upstream, client.threads
    finally:
        client.threads.close()
        upstream.close()


def ask(threads: ThreadConnections) -> Heard:
    now = time.monotonic()
    connection = threads.take(now)
    assert connection is not None
    return threads.ask(connection, REQUEST, most_bytes=MOST, began=now)


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


WHOLE: dict[str, tuple[Pieces, bytes]] = {
    "one piece": ([OK], b"ok"),
    "two pieces": ([OK[:-1], 0.02, OK[-1:]], b"ok"),
    "a head in pieces": ([OK[:9], 0.02, OK[9:]], b"ok"),
    "chunks": ([CHUNKED + b"2\r\nok\r\n0\r\n\r\n"], b"ok"),
    "chunks in pieces": ([CHUNKED, 0.02, b"1\r\no", 0.02, b"\r\n1\r\nk\r\n0\r\n", 0.02, b"\r\n"], b"ok"),
    "an interim answer": ([b"HTTP/1.1 100 Continue\r\n\r\n", 0.02, OK], b"ok"),
    "a failure": ([b"HTTP/1.1 500 Oh\r\ncontent-length: 4\r\n\r\noops"], b"oops"),
    "nothing": ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
}


@pytest.mark.parametrize("how", WHOLE)
def test_an_answer_is_heard_whole_and_the_connection_is_kept(how: str) -> None:
    pieces, body = WHOLE[how]
    with connected(pieces) as (upstream, threads):
        for _ in range(3):
            heard = ask(threads)
            assert (heard.body, heard.error) == (body, None)
        assert (len(upstream.connections), len(threads.idle)) == (1, 1)


@pytest.mark.parametrize("secure", [False, True])
def test_an_end_that_is_announced_ends_an_answer_and_the_connection(secure: bool) -> None:  # noqa: FBT001
    with connected([CLOSING + b"ok", None], tls=trustme.CA() if secure else None) as (upstream, threads):
        for number in (1, 2):
            heard = ask(threads)
            assert (heard.status, heard.body, heard.error) == (200, b"ok", None)
            assert (len(upstream.connections), threads.idle) == (number, [])


TRICKLE: Pieces = [0.05, b"1\r\nx\r\n"] * 40
LOST: dict[str, tuple[Pieces, str]] = {
    "before it answered": ([None], "upstream_disconnected"),
    "in its head": ([OK[:9], None], "upstream_disconnected"),
    "in its body": ([OK[:-1], None], "upstream_disconnected"),
    "in its chunks": ([CHUNKED + b"5\r\nok", None], "upstream_disconnected"),
    "no HTTP": ([b"hello\r\n\r\n"], "upstream_malformed"),
    "a head without end": ([b"HTTP/1.1 200 OK\r\na: " + b"x" * 5000], "upstream_malformed"),
    "a chunk that is none": ([CHUNKED + b"zz\r\n"], "upstream_malformed"),
    "an encoding": (
        [b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx"],
        "upstream_malformed",
    ),
    "silence": ([5.0], "upstream_timeout"),
    "silence in its body": ([OK[:-1], 5.0], "upstream_timeout"),
    "a byte now and then": ([CHUNKED, *TRICKLE], "upstream_timeout"),
}


@pytest.mark.parametrize("how", LOST)
def test_an_answer_that_does_not_come_whole_is_an_error_and_the_connection_is_dropped(how: str) -> None:
    pieces, code = LOST[how]
    with connected(pieces, [OK], read_seconds=0.2, total_seconds=0.5, max_head_bytes=4096) as (_, threads):
        heard = ask(threads)
        assert heard.error is not None
        assert (heard.error.code, heard.stale, threads.idle) == (code, False, [])
        assert ask(threads).body == b"ok"


def test_over_tls_an_end_that_nobody_announced_is_an_error() -> None:
    with connected([CLOSING + b"ok", 0.1], tls=trustme.CA()) as (upstream, threads):
        heard: list[Heard] = []
        asking = threading.Thread(target=lambda: heard.append(ask(threads)))
        asking.start()
        until(lambda: upstream.requests)
        socket.socket.shutdown(upstream.connections[0], socket.SHUT_RDWR)  # of TCP alone
        asking.join(10)
        assert heard[0].error is not None
        assert heard[0].error.code == "upstream_disconnected"


def test_over_tls_a_connection_is_kept_though_tickets_come_on_it() -> None:
    with connected([OK], tls=trustme.CA()) as (upstream, threads):
        for _ in range(4):
            assert ask(threads).body == b"ok"
        assert len(upstream.connections) == 1


def test_a_certificate_of_nobody_known_is_no_upstream() -> None:
    with connected([OK], tls=trustme.CA()) as (_, threads):
        threads._pool.origin = threads._pool.origin._replace(tls=ssl.create_default_context())
        assert threads.take(time.monotonic()) is None


def test_a_connection_that_was_closed_meanwhile_is_not_used_again() -> None:
    with connected([OK, 0.0, None], [OK]) as (upstream, threads):
        assert ask(threads).body == b"ok"
        until(lambda: not cast("Any", threads.idle[0].transport).is_quiet())
        assert ask(threads).body == b"ok"
        assert len(upstream.connections) == 2


def test_a_kept_connection_that_closes_before_a_byte_is_stale_and_a_new_one_is_not() -> None:
    with connected([OK], [None]) as (_, threads):
        assert ask(threads).body == b"ok"
        for stale in (True, False):
            heard = ask(threads)
            assert (heard.error is not None, heard.stale) == (True, stale)


@pytest.mark.parametrize("secure", [False, True])
def test_what_nobody_asked_for_answers_nobody(secure: bool) -> None:  # noqa: FBT001
    forged = OK.replace(b"ok", b"no")
    with connected([OK, 0.02, forged], [OK], tls=trustme.CA() if secure else None) as (upstream, threads):
        assert ask(threads).body == b"ok"
        time.sleep(0.1)
        assert ask(threads).body == b"ok"
        assert len(upstream.connections) == 2
    with connected([OK + forged], [OK], tls=trustme.CA() if secure else None) as (_, threads):
        assert b"no" not in ask(threads).body[:2]
        assert ask(threads).body == b"ok"


@pytest.mark.parametrize(
    "head",
    [CHUNKED + b"7d0\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n"],
    ids=["chunks", "a length"],
)
def test_more_than_anybody_wants_to_hear_is_cut_off(head: bytes) -> None:
    with connected([head + b"x" * 1500, 5.0], [OK]) as (_, threads):
        heard = ask(threads)
        assert MOST < len(heard.body) <= 1500
        assert threads.idle == []
        assert ask(threads).body == b"ok"


def test_a_slow_answer_does_not_shorten_the_patience_with_the_next() -> None:
    with connected([OK[:-1], 0.3, OK[-1:]], [0.4, OK], read_seconds=2.0, total_seconds=0.5) as (_, threads):
        assert [ask(threads).body for _ in range(2)] == [b"ok", b"ok"]


def test_threads_have_at_most_half_of_the_connections_and_the_pool_the_rest() -> None:
    with connected([OK], max_connections=5) as (_, threads):
        held = [threads.take(time.monotonic()) for _ in range(3)]
        assert [connection is not None for connection in held] == [True, True, False]
        assert threads._pool.lent == 2
        for connection in held[:2]:
            assert connection is not None
            threads.ask(connection, REQUEST, most_bytes=MOST, began=time.monotonic())
        assert threads.take(time.monotonic()) is held[1]
        assert held[1] is not None
        threads.give_back(held[1])
    with connected([OK], max_connections=1) as (_, threads):
        assert threads.take(time.monotonic()) is None


def test_the_pool_opens_no_more_than_threads_leave_it() -> None:
    async def story(upstream: Upstream) -> None:
        client = UpstreamClient(f"http://127.0.0.1:{upstream.port}", limits=ClientLimits(max_connections=2))
        held = client.threads.take(time.monotonic())
        assert held is not None
        sinks = [Answered(), Answered()]
        for sink in sinks:
            client.send(b"POST", b"/", sink)
        async with asyncio.timeout(10):
            for sink in sinks:
                await sink.ended.wait()
        assert len(upstream.connections) <= 2
        client.threads.give_back(held)
        await client.close()

    upstream = Upstream([OK])
    asyncio.run(story(upstream))
    upstream.close()


class Answered:
    """A sink that only waits."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None: ...
    def on_data(self, data: bytes) -> None: ...
    def on_end(self) -> None:
        self.ended.set()

    def on_failure(self, error: Exception) -> None:
        raise error


def test_where_nothing_listens_it_is_left_to_the_pool_for_a_while() -> None:
    with connected([OK]) as (upstream, threads):
        upstream.close()
        now = time.monotonic()
        assert threads.take(now) is None
        assert threads._pool.lent == 0
        with socket.create_server(("127.0.0.1", upstream.port)):
            assert threads.take(now + 1) is None
            connection = threads.take(now + 10)
            assert connection is not None
            threads.give_back(connection)


def test_an_address_that_answers_is_found_behind_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        assert host == "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (at, port)) for at in ("127.0.0.2", "127.0.0.1")]

    with connected([OK]) as (upstream, threads):
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        assert ask(threads).body == b"ok"
        assert len(upstream.connections) == 1


def test_a_handshake_that_never_ends_is_left_to_the_pool_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        client = UpstreamClient(url, limits=ClientLimits(connect_seconds=0.2))
        began = time.monotonic()
        assert client.threads.take(began) is None
        assert time.monotonic() - began < 5
        assert client.threads._pool.lent == 0


def test_idle_connections_are_closed_in_time() -> None:
    with connected([OK], idle_seconds=0.2) as (upstream, threads):
        ask(threads)
        threads.sweep(time.monotonic())
        assert len(threads.idle) == 1
        threads.sweep(time.monotonic() + 0.3)
        assert (threads.idle, threads._pool.lent) == ([], 0)
        ask(threads)
        time.sleep(0.25)
        ask(threads)
        assert len(upstream.connections) == 3


def test_connections_of_a_certain_age_are_not_kept() -> None:
    with connected([OK], max_connection_seconds=0.0) as (upstream, threads):
        for _ in range(3):
            assert ask(threads).body == b"ok"
        assert (len(upstream.connections), threads.idle, threads._pool.lent) == (3, [], 0)


@pytest.mark.parametrize("head", [b"", CLOSING + b"half"], ids=["unanswered", "half an answer"])
def test_who_waits_while_all_is_closed_hears_of_a_loss_and_not_of_an_end(head: bytes) -> None:
    with connected([head, 5.0]) as (upstream, threads):
        heard: list[Heard] = []
        asking = threading.Thread(target=lambda: heard.append(ask(threads)))
        asking.start()
        until(lambda: upstream.requests)
        time.sleep(0.05)
        threads.close()
        asking.join(10)
        assert heard[0].error is not None
        assert heard[0].error.code == "upstream_closed"
        assert threads.take(time.monotonic()) is None


def test_many_threads_each_hear_their_own_answer() -> None:
    class Echo(Upstream):
        def _serve(self, connection: socket.socket) -> None:
            with connection:
                while data := connection.recv(65536):
                    name = data.partition(b" ")[2].partition(b" ")[0]
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(name), name))

    upstream = Echo([OK])
    client = UpstreamClient(f"http://127.0.0.1:{upstream.port}")
    wrong: list[Heard] = []

    def call(number: int) -> None:
        for turn in range(50):
            path = b"/%d-%d" % (number, turn)
            now = time.monotonic()
            connection = client.threads.take(now)
            assert connection is not None
            request = REQUEST.replace(b" / ", b" %b " % path)
            heard = client.threads.ask(connection, request, most_bytes=MOST, began=now)
            if heard.body != path:
                wrong.append(heard)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    client.threads.close()
    upstream.close()
    assert wrong == []
    assert client.threads._pool.lent == 0
