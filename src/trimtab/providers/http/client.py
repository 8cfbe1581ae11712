"""A pooled keep-alive client for one upstream: callbacks instead of tasks, deadlines by one sweep."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from trimtab.core.errors import InputError, UpstreamError
from trimtab.providers.http.client_limits import ClientLimits
from trimtab.providers.http.message import header
from trimtab.providers.http.pool import ConnectionPool, Origin
from trimtab.providers.http.upstream import Listener, Sink, UpstreamConnection

if TYPE_CHECKING:
    import ssl

__all__ = ["ClientLimits", "ResponseSink", "ShortCall", "UpstreamCall", "UpstreamClient"]

_SWEEPS_PER_DEADLINE: Final = 20
_LONGEST_SWEEP_SECONDS: Final = 0.5
_STALE_SECONDS: Final = 1.0
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


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


class ShortCall(Listener, Sink, Protocol):
    """What `UpstreamClient.send_on` sends for: like an `UpstreamCall`, listener and sink in one."""

    def fail(self, error: UpstreamError) -> None:
        """End with a failure."""
        ...

    def check_deadline(self, now: float) -> None:
        """Fail where a deadline has passed; called now and then."""
        ...


class UpstreamClient:
    """A pool of connections to one upstream, given by its base URL (`https://api.openai.com/v1`).

    A request that meets a kept-alive connection at the moment the upstream closes it (no byte of an answer, within
    a second) is sent once more on a fresh connection. Nothing else is ever retried here.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str = "the upstream",
        headers: bytes = b"",
        limits: ClientLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`headers` are complete lines sent with every request; `tls` replaces the default verifying context.

        `name` is what errors call it: they reach callers, who are not to learn where it is. Raises `InputError`
        (`malformed_url`).
        """
        origin, path, host = _read_url(base_url, name, tls)
        self.limits = limits or ClientLimits()
        self.base_url = base_url
        self._path = path
        self._headers = header(b"host", host) + b"accept-encoding: identity\r\n" + headers
        self._pool = ConnectionPool(origin, self.limits)
        self._idle = self._pool.idle
        self._calls: set[UpstreamCall | ShortCall] = set()
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
            self._pool.acquire(call)
        return call

    def idle_connection(self, now: float) -> UpstreamConnection | None:
        """Return a connection that is open and idle, for `send_on` or `give_back`; `None` where there is none."""
        idle = self._idle
        if idle:
            connection = idle[-1]
            transport = connection.transport
            open_ = transport is not None and not transport.is_closing()
            if open_ and connection.active >= now - self.limits.idle_seconds:
                return idle.pop()
        return None

    def give_back(self, connection: UpstreamConnection) -> None:
        """Take back a connection on which nothing was sent."""
        self._idle.append(connection)

    def send_on(self, connection: UpstreamConnection, request: bytes, call: ShortCall) -> None:
        """Send on an idle connection for a call that hears the answer itself; it is over when it says `forget`."""
        self._calls.add(call)
        if self._sweeper is None:
            self._schedule_sweep()
        connection.send(call, call, request)

    def prolong(
        self, call: ShortCall, connection: UpstreamConnection, request: bytes, sink: ResponseSink, start: float
    ) -> UpstreamCall:
        """Put an ordinary call in the place of one that was made by `send_on`."""
        self._calls.discard(call)
        longer = UpstreamCall(self, request, sink, start, connection)
        self._calls.add(longer)
        if self._sweeper is None:
            self._schedule_sweep()
        connection.hand_over(longer, sink)
        return longer

    def is_due(self, now: float, *, since: float, heard: float) -> bool:
        """Return whether a deadline has passed for a call sent at `since` whose upstream was `heard` of last."""
        return now - since > self.limits.total_seconds or now - heard > self.limits.read_seconds

    def head_of(self, path: bytes, headers: bytes) -> bytes:
        """Return a POST request's head, but for the caller's lines and Content-Length, for `send_on`."""
        return b"POST %b%b HTTP/1.1\r\n%b%b" % (self._path, path, self._headers, headers)

    async def close(self) -> None:
        """Drop every connection; calls in progress fail with `upstream_closed`."""
        for call in tuple(self._calls):
            call.fail(UpstreamError("upstream_closed", "the client was closed"))
        await self._pool.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def forget(self, call: UpstreamCall | ShortCall) -> None:
        """A call's word that it is over."""
        self._calls.discard(call)

    def withdraw(self, call: UpstreamCall) -> None:
        """A call's word that it is over before it had a connection."""
        self._pool.withdraw(call)

    def retry(self, call: UpstreamCall) -> None:
        """Send again on a fresh connection, in its old place: the idle ones are likely to be as stale."""
        self._pool.drop_idle()
        self._pool.acquire(call, first=True)

    # --- inner workings -----------------------------------------------------------------------------------------

    def _schedule_sweep(self) -> None:
        limits = self.limits
        shortest = min(limits.total_seconds, limits.read_seconds)
        seconds = min(shortest / _SWEEPS_PER_DEADLINE, _LONGEST_SWEEP_SECONDS)
        self._sweeper = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        now = time.monotonic()
        for call in tuple(self._calls):
            call.check_deadline(now)
        self._pool.sweep(now)
        self._sweeper = None
        if self._calls or self._idle:
            self._schedule_sweep()


class UpstreamCall:
    """One call in progress; made by `UpstreamClient.send`."""

    __slots__ = ("_client", "_connection", "_paused", "_request", "_retried", "_sink", "_start", "done")

    def __init__(
        self,
        client: UpstreamClient,
        request: bytes,
        sink: ResponseSink,
        start: float,
        connection: UpstreamConnection | None = None,
    ) -> None:
        self._client = client
        self._request = request
        self._sink = sink
        self._start = start
        self._connection = connection
        self._retried = False
        self._paused = False
        self.done = False
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
            self.fail(limits.late("" if self._connection else ", all of them waiting for a connection"))
        elif self._connection is not None and not self._paused and now - self._connection.active > limits.read_seconds:
            self.fail(limits.silent())

    # --- Listener -----------------------------------------------------------------------------------------------

    def on_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._sink.on_head(status, headers)
        if body and not self.done:
            self._sink.on_data(body)
        self.on_end()

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
        if self._connection is None:
            self._client.withdraw(self)


def _read_url(base_url: str, name: str, tls: ssl.SSLContext | None) -> tuple[Origin, bytes, bytes]:
    """Return where an upstream is, the path that every request's begins with, and what it is called in Host."""
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    plain = _VISIBLE.fullmatch(base_url) and not ("?" in base_url or "#" in base_url)
    if "@" in base_url.partition("://")[2].partition("/")[0]:
        raise InputError(
            "malformed_url",
            f"the base URL of {name} holds a user or password",
            hint="keys are sent as headers: name the variable or the file that holds the provider's key",
        )
    if not host or not plain or parts.scheme not in _DEFAULT_PORTS:
        raise InputError(
            "malformed_url",
            f"`{base_url.rpartition('@')[2]}` is not the base URL of an upstream",
            hint="give scheme, host and path, like https://api.openai.com/v1",
        )
    context = (tls or _verifying_context()) if parts.scheme == "https" else None
    origin = Origin(base_url, host, port or _DEFAULT_PORTS[parts.scheme], context, name)
    return origin, parts.path.rstrip("/").encode(), parts.netloc.encode()


def _verifying_context() -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context()
