"""A pooled keep-alive client for one upstream: callbacks instead of tasks, deadlines by one sweep."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import msgspec

from trimtab.core.errors import InputError, UpstreamError
from trimtab.providers.http.message import header
from trimtab.providers.http.upstream import UpstreamConnection, connection_factory

if TYPE_CHECKING:
    import ssl

__all__ = ["ClientLimits", "ResponseSink", "UpstreamCall", "UpstreamClient"]

_SWEEPS_PER_DEADLINE = 20
_LONGEST_SWEEP_SECONDS = 0.5
_STALE_SECONDS = 1.0
_DEFAULT_PORTS = {"http": 80, "https": 443}


class ClientLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one upstream may take."""

    connect_seconds: float = 10.0
    read_seconds: float = 300.0
    """Longest silence of the upstream, before or inside an answer."""
    total_seconds: float = 600.0
    """From the call to the last byte of the answer, waiting for a connection included."""
    max_connections: int = 512
    """Calls beyond this wait for a connection."""
    idle_seconds: float = 30.0
    """Idle connections older than this are closed, not used."""


class ResponseSink(Protocol):
    """Who receives an answer: `on_head`, any number of `on_data`, `on_end`; or `on_failure`, once, at any point.

    After `UpstreamCall.cancel` none is called.
    """

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Status and headers, names in lower case."""
        ...

    def on_data(self, data: bytes) -> None: ...
    def on_end(self) -> None: ...
    def on_failure(self, error: UpstreamError) -> None: ...


class UpstreamClient:
    """A pool of connections to one upstream, given by its base URL (`https://api.openai.com/v1`).

    A request that meets a kept-alive connection at the moment the upstream closes it (no byte of an answer, within
    a second) is sent once more on a fresh connection. Nothing else is ever retried here.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: bytes = b"",
        limits: ClientLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`headers` are complete lines sent with every request; `tls` replaces the default verifying context."""
        parts = urlsplit(base_url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.query or parts.fragment:
            raise InputError(
                "malformed_url",
                f"`{base_url}` is not the base URL of an upstream",
                hint="give scheme, host and path, like https://api.openai.com/v1",
            )
        self.limits = limits or ClientLimits()
        self.base_url = base_url
        self._host = parts.hostname
        self._port = parts.port or _DEFAULT_PORTS[parts.scheme]
        self._tls = (tls or _verifying_context()) if parts.scheme == "https" else None
        self._path = parts.path.rstrip("/").encode()
        self._headers = header(b"host", parts.netloc.rpartition("@")[2]) + b"accept-encoding: identity\r\n" + headers
        self._idle: list[UpstreamConnection] = []
        self._waiting: deque[UpstreamCall] = deque()
        self._calls: set[UpstreamCall] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._sweeper: asyncio.TimerHandle | None = None

    def send(
        self, method: bytes, path: bytes, sink: ResponseSink, *, headers: bytes = b"", body: bytes = b""
    ) -> UpstreamCall:
        """Send a request and return at once; `sink` hears the rest. `path` is appended to the base URL's."""
        request = b"%s %s%s HTTP/1.1\r\n%s%scontent-length: %d\r\n\r\n%s" % (
            method,
            self._path,
            path,
            self._headers,
            headers,
            len(body),
            body,
        )
        now = time.monotonic()
        call = UpstreamCall(self, request, sink, now)
        self._calls.add(call)
        if self._sweeper is None:
            self._schedule_sweep()
        idle = self._idle
        if idle and idle[-1].usable and idle[-1].active >= now - self.limits.idle_seconds:
            call.send_on(idle.pop())
        else:
            self._dispatch(call)
        return call

    async def close(self) -> None:
        """Drop every connection; calls in progress fail with `upstream_closed`."""
        for call in tuple(self._calls):
            call.fail(UpstreamError("upstream_closed", "the client was closed"))
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        for task in tuple(self._connecting):
            task.cancel()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        await asyncio.sleep(0)

    # --- ConnectionOwner ----------------------------------------------------------------------------------------

    def released(self, connection: UpstreamConnection) -> None:
        """A connection's word that it can take another call."""
        while self._waiting:
            call = self._waiting.popleft()
            if not call.done:
                call.send_on(connection)
                return
        self._idle.append(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        """A connection's word that it is gone."""
        self._connections -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting:
            self._dispatch(self._waiting.popleft())

    def forget(self, call: UpstreamCall) -> None:
        """A call's word that it is over."""
        self._calls.discard(call)

    def retry(self, call: UpstreamCall) -> None:
        """Send again on a fresh connection: the idle ones are likely to be as stale."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        self._dispatch(call)

    # --- inner workings -----------------------------------------------------------------------------------------

    def _dispatch(self, call: UpstreamCall) -> None:
        if call.done:
            return
        oldest = time.monotonic() - self.limits.idle_seconds
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.active >= oldest:
                call.send_on(connection)
                return
            connection.close()
        if self._connections < self.limits.max_connections:
            self._connections += 1
            task = asyncio.get_running_loop().create_task(self._connect(call))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        else:
            self._waiting.append(call)

    async def _connect(self, call: UpstreamCall) -> None:
        loop = asyncio.get_running_loop()
        name = self._host if self._tls else None
        connection: UpstreamConnection | None = None
        try:
            async with asyncio.timeout(self.limits.connect_seconds):
                _, connection = await loop.create_connection(
                    connection_factory(self), self._host, self._port, ssl=self._tls, server_hostname=name
                )
        except TimeoutError:
            message = f"no connection to {self.base_url} within {self.limits.connect_seconds:g} s"
            call.fail(UpstreamError("upstream_connect_timeout", message))
        except OSError as error:
            call.fail(UpstreamError("upstream_unreachable", f"cannot connect to {self.base_url}: {error}"))
        finally:
            if connection is None:
                self._connections -= 1
        if connection is None:
            if self._waiting:
                self._dispatch(self._waiting.popleft())
        elif call.done:
            self.released(connection)
        else:
            call.send_on(connection)

    def _schedule_sweep(self) -> None:
        limits = self.limits
        shortest = min(limits.total_seconds, limits.read_seconds)
        seconds = min(shortest / _SWEEPS_PER_DEADLINE, _LONGEST_SWEEP_SECONDS)
        self._sweeper = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        now = time.monotonic()
        for call in tuple(self._calls):
            call.check_deadline(now)
        while self._idle and self._idle[0].active < now - self.limits.idle_seconds:
            self._idle.pop(0).close()
        self._sweeper = None
        if self._calls or self._idle:
            self._schedule_sweep()


class UpstreamCall(msgspec.Struct, eq=False):
    """One call in progress; made by `UpstreamClient.send`."""

    _client: UpstreamClient
    _request: bytes
    _sink: ResponseSink
    _start: float
    _connection: UpstreamConnection | None = None
    _retried: bool = False
    _paused: bool = False
    done: bool = False
    """Whether the sink has heard its last, or will hear nothing."""

    def cancel(self) -> None:
        """Give up: the connection is dropped, the sink hears nothing more."""
        if not self.done:
            self._close()
            if self._connection is not None:
                self._connection.abandon()

    def pause(self) -> None:
        """Stop reading the answer until `resume`; the upstream's silence does not count meanwhile."""
        self._paused = True
        if self._connection is not None and not self.done:
            self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        if self._connection is not None and not self.done:
            self._connection.active = time.monotonic()
            self._connection.resume()

    def fail(self, error: UpstreamError) -> None:
        """End the call with a failure."""
        if not self.done:
            self._close()
            if self._connection is not None:
                self._connection.abandon()
            self._sink.on_failure(error)

    def send_on(self, connection: UpstreamConnection) -> None:
        """The pool's word that this connection is the call's."""
        self._connection = connection
        connection.send(self, self._sink, self._request)
        if self._paused:
            connection.pause()

    def check_deadline(self, now: float) -> None:
        """Fail with `upstream_timeout` where a deadline has passed."""
        limits = self._client.limits
        if now - self._start > limits.total_seconds:
            waited = "" if self._connection else ", all of them waiting for a connection"
            self.fail(
                UpstreamError("upstream_timeout", f"no complete answer within {limits.total_seconds:g} s{waited}")
            )
        elif self._connection is not None and not self._paused and now - self._connection.active > limits.read_seconds:
            self.fail(UpstreamError("upstream_timeout", f"the upstream was silent for {limits.read_seconds:g} s"))

    # --- Listener -----------------------------------------------------------------------------------------------

    def on_end(self) -> None:
        if not self.done:
            if self._paused and self._connection is not None:
                self._connection.resume()
            self.done = True
            self._client.forget(self)
            self._sink.on_end()

    def on_lost(self, error: UpstreamError, *, stale: bool) -> None:
        connection = self._connection
        if stale and not self._retried and connection and time.monotonic() - connection.active < _STALE_SECONDS:
            self._retried = True
            self._connection = None
            self._client.retry(self)
        else:
            self._connection = None
            self.fail(error)

    def _close(self) -> None:
        self.done = True
        self._client.forget(self)


def _verifying_context() -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context()
