"""Connections to one upstream that whoever calls drives itself, waiting in its own thread: no event loop is woken.

They are read by the same state machine as those of the loop (`upstream`), which asks its transport for little.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final, cast

from trimtab.core.errors import UpstreamError
from trimtab.providers.http.blocking_tls import TlsSocket
from trimtab.providers.http.upstream import UpstreamConnection

if TYPE_CHECKING:
    from trimtab.providers.http.pool import ConnectionPool

__all__ = ["Heard", "SocketTransport", "ThreadConnections"]

_READ_BYTES: Final = 64 * 1024
_SHORTEST_SECONDS: Final = 0.001
_PAUSE_SECONDS: Final = 5.0
"""After a connection could not be opened: the loop's pool looks into it, which knows what to say."""


class Heard:
    """What came of one request: an answer, or why there is none. It is the connection's listener, and its sink."""

    __slots__ = ("_most", "_pieces", "active", "body", "cut", "error", "headers", "over", "stale", "status")

    def __init__(self, most_bytes: int) -> None:
        """`most_bytes`: once a body is longer, nothing more is heard of it."""
        self._most = most_bytes
        self._pieces: list[bytes] = []
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.cut = False
        """Whether the body is longer than anybody wants to hear."""
        self.error: UpstreamError | None = None
        self.stale = False
        """Whether a kept-alive connection closed before a byte of the answer."""
        self.over = False
        self.active = 0.0
        """When the upstream was last sent or heard something, in seconds of the monotonic clock."""

    @property
    def waits(self) -> bool:
        """Whether there is more to hear."""
        return not (self.over or self.cut)

    def on_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.over = True

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.headers = headers

    def on_data(self, data: bytes) -> None:
        self._pieces.append(data)
        self._most -= len(data)
        self.cut = self._most < 0

    def on_end(self) -> None:
        self.body = b"".join(self._pieces)
        self.over = True

    def on_lost(self, error: UpstreamError, *, stale: bool) -> None:
        self.error = error
        self.stale = stale
        self.over = True


class SocketTransport:
    """What `UpstreamConnection` needs of an `asyncio.Transport`, on a socket that blocks."""

    __slots__ = ("_poll", "_seconds", "closed", "reusable", "socket")

    def __init__(self, connected: Any, seconds: float) -> None:  # noqa: ANN401 - a socket, with TLS or without
        """`seconds`: how long the other side may be silent."""
        self.socket = connected
        self.closed = False
        self.reusable = True
        """Whether there is no answer on its way that could be taken for the next one."""
        self._seconds = seconds
        connected.settimeout(seconds)
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            self.socket.close()

    def wake(self) -> None:
        """Have a thread that waits for the other side read the end."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def wait(self, seconds: float | None = None) -> None:
        """Wait no longer than so from now on; as long as ever where no time is given.

        Raises `TimeoutError` where there is none left.
        """
        if seconds is not None and seconds <= 0:
            raise TimeoutError
        self.socket.settimeout(self._seconds if seconds is None else min(self._seconds, seconds))

    def set_write_buffer_limits(self, high: int) -> None:
        """Nothing is buffered."""

    def pause_reading(self) -> None:
        """Nobody reads but who wants to."""

    def resume_reading(self) -> None:
        """Likewise."""

    def get_extra_info(self, name: str) -> None:
        """Say nothing: TLS that was cut off raises, so that an end it reads was announced."""

    def is_quiet(self) -> bool:
        """Return whether nothing has come since the last answer: neither its end, nor what nobody asked for."""
        secured = self.socket
        return secured.is_quiet() if isinstance(secured, TlsSocket) else not self._poll.poll(0)


class ThreadConnections:
    """Hands connections to threads: an idle one, or a new one. Thread-safe.

    They come out of what the loop's pool may open, and are at most half of it, so that neither keeps the other waiting.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self.limits = pool.limits
        self.whole = pool.whole
        self.idle: list[UpstreamConnection] = []
        """The last one used comes last, and is used first."""
        self._pool = pool
        self._open: set[UpstreamConnection] = set()
        self._lock = threading.Lock()
        """Held while connections are counted."""
        self._paused_until = 0.0
        self._closed = False

    def take(self, now: float) -> UpstreamConnection | None:
        """Return a connection for one request; `None` where it is better sent by the loop's pool."""
        oldest = now - self.limits.idle_seconds
        while self.idle:
            try:
                connection = self.idle.pop()
            except IndexError:  # another thread was quicker
                break
            transport = cast("SocketTransport", connection.transport)
            if not transport.closed and connection.active >= oldest and transport.is_quiet():
                return connection
            self._drop(connection)
        return self._connect(now)

    def ask(self, connection: UpstreamConnection, request: bytes, *, most_bytes: int, began: float) -> Heard:
        """Send a request, and return what came of it once that is known; never raises but for interrupts.

        `most_bytes`: of a body; a longer one is cut off. `began`: when the call did, in seconds of the monotonic clock.
        The connection is kept for others, or dropped.
        """
        heard = Heard(most_bytes)
        transport = cast("SocketTransport", connection.transport)
        transport.reusable = False
        try:
            connection.send(heard, heard, request)
            self._hear(connection, transport, heard, began)
        except TimeoutError:
            heard.on_lost(self._timed_out(began), stale=False)
        except OSError as error:
            transport.abort()
            connection.connection_lost(error)
        except BaseException:
            connection.abandon()
            self._drop(connection)
            raise
        heard.active = connection.active
        if heard.cut and not heard.over:
            heard.on_end()
        if not heard.over or (heard.error is not None and self._closed):
            heard.on_lost(UpstreamError("upstream_closed", "the client was closed"), stale=False)
        self.give_back(connection)
        return heard

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection for others, or drop it where it cannot be used again; its thread's last word of it."""
        transport = cast("SocketTransport", connection.transport)
        if transport.reusable and not transport.closed and connection.active <= connection.expires:
            with self._lock:
                if not self._closed:
                    self.idle.append(connection)
                    return
        connection.abandon()
        self._drop(connection)

    def sweep(self, now: float) -> None:
        """Close idle connections that have grown too old or were idle too long."""
        oldest = now - self.limits.idle_seconds
        for connection in tuple(self.idle):
            if connection.active < oldest or connection.expires < now:
                with contextlib.suppress(ValueError):  # else somebody has just taken it
                    self.idle.remove(connection)
                    self._drop(connection)

    def close(self) -> None:
        """Drop every connection; who waits for an answer is told that it was lost."""
        with self._lock:
            self._closed = True
            idle = tuple(self.idle)
            self.idle.clear()
        for connection in idle:
            self._drop(connection)
        with self._lock:
            opened = tuple(self._open)
        for connection in opened:
            transport = cast("SocketTransport | None", connection.transport)
            if transport is not None:
                transport.wake()

    # --- ConnectionOwner ----------------------------------------------------------------------------------------

    def released(self, connection: UpstreamConnection) -> None:
        """A connection's word that it can take another call."""
        cast("SocketTransport", connection.transport).reusable = True

    def lost(self, connection: UpstreamConnection) -> None:
        """A connection's word that it is gone."""
        with self._lock:
            self._open.discard(connection)
            self._pool.lent = len(self._open)

    # --- inner workings -----------------------------------------------------------------------------------------

    def _hear(self, connection: UpstreamConnection, transport: SocketTransport, heard: Heard, began: float) -> None:
        limited = False
        while heard.waits:
            if transport.closed:
                connection.connection_lost(None)
                return
            data = transport.socket.recv(_READ_BYTES)
            if data:
                connection.data_received(data)
                if heard.waits:  # the call's time may be over before the upstream has been silent for too long
                    limited = True
                    transport.wait(began + self.limits.total_seconds - time.monotonic())
            else:
                if not self._closed:  # else the end is of our own making
                    connection.eof_received()
                transport.abort()
        if limited and not transport.closed:
            transport.wait()

    def _drop(self, connection: UpstreamConnection) -> None:
        connection.close()
        with self._lock:
            known = connection in self._open
        if known:
            connection.connection_lost(None)

    def _connect(self, now: float) -> UpstreamConnection | None:
        connection = UpstreamConnection(self)
        with self._lock:
            if self._closed or now < self._paused_until or len(self._open) >= self.limits.max_connections // 2:
                return None
            self._open.add(connection)
            self._pool.lent = len(self._open)
        try:
            transport = self._connected()
        except (OSError, UnicodeError):
            self._paused_until = now + _PAUSE_SECONDS
            self.lost(connection)
            return None
        except BaseException:
            self.lost(connection)
            raise
        connection.connection_made(cast("Any", transport))
        connection.active = time.monotonic()
        connection.expires = connection.active + self._pool.age()
        return connection

    def _connected(self) -> SocketTransport:
        limits, origin = self.limits, self._pool.origin
        deadline = time.monotonic() + limits.connect_seconds
        connected: Any = self._opened(deadline)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if origin.tls is not None:
                connected = TlsSocket(connected, origin.tls, origin.host, deadline=deadline)
            return SocketTransport(connected, min(limits.read_seconds, limits.total_seconds))
        except BaseException:
            connected.close()
            raise

    def _opened(self, deadline: float) -> socket.socket:
        """Try every address of the name, each with its share of the time."""
        origin = self._pool.origin
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        for number, (family, kind, protocol, _, address) in enumerate(found):
            one = socket.socket(family, kind, protocol)
            try:
                share = (deadline - time.monotonic()) / (len(found) - number)
                one.settimeout(max(_SHORTEST_SECONDS, share))
                one.connect(address)
            except OSError:
                one.close()
                if number + 1 == len(found):
                    raise
            except BaseException:
                one.close()
                raise
            else:
                return one
        raise OSError(f"{origin.host} has no address")

    def _timed_out(self, began: float) -> UpstreamError:
        limits = self.limits
        return limits.late() if time.monotonic() - began >= limits.total_seconds else limits.silent()
