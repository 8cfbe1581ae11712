"""One server connection: parses requests, hands them out one at a time, answers in the order they came."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol, cast

import httptools

from trimtab.providers.http.exchange import Exchange
from trimtab.providers.http.message import Refusal, Request

if TYPE_CHECKING:
    from trimtab.providers.http.application import Application, ServerLimits

__all__ = ["ServerConnection"]

_HOP_BY_HOP = frozenset({b"connection", b"upgrade", b"http2-settings"})


class Server(Protocol):
    """What a connection sees of the server that accepted it."""

    application: Application
    limits: ServerLimits
    draining: bool

    def opened(self, connection: ServerConnection) -> None: ...
    def closed(self, connection: ServerConnection) -> None: ...


class ServerConnection(asyncio.Protocol):
    """The protocol of one accepted connection."""

    __slots__ = (
        "_body_bytes",
        "_closing",
        "_deadline",
        "_exchange",
        "_head_bytes",
        "_headers",
        "_incoming",
        "_parser",
        "_parts",
        "_queue",
        "_reading_paused",
        "_server",
        "_stopped",
        "_target",
        "_transport",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._queue: deque[Request] = deque()
        self._exchange: Exchange | None = None
        self._incoming: Request | None = None
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._target = b""
        self._head_bytes = 0
        self._body_bytes = 0
        self._deadline = 0.0
        self._reading_paused = False
        self._closing = False
        self._stopped = False

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._server.limits.write_buffer_bytes)
        self._deadline = time.monotonic() + self._server.limits.idle_seconds
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol
        self._server.closed(self)
        self._stopped = True
        self._queue.clear()
        if self._exchange:
            self._exchange.abort()
            self._exchange = None

    def pause_writing(self) -> None:
        if self._exchange and self._exchange.on_pause:
            self._exchange.on_pause()

    def resume_writing(self) -> None:
        if self._exchange and self._exchange.on_resume:
            self._exchange.on_resume()

    def data_received(self, data: bytes) -> None:
        if self._stopped:
            return
        if self._incoming is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._parser.get_method() != b"CONNECT":
                self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            self.cut()
            raise  # ours, not the caller's
        except httptools.HttpParserError as error:
            self._refuse_stream(Refusal(400, "malformed_http", f"this is not HTTP/1.1: {error}"))
        else:
            if self._incoming is None and self._head_bytes > self._server.limits.max_head_bytes:
                self._refuse_stream(self._head_too_large())

    # --- httptools ----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._headers = {}
        self._target = b""
        self._body_bytes = 0
        self._head_bytes = max(self._head_bytes, 1)
        self._deadline = time.monotonic() + self._server.limits.request_seconds

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        present = self._headers.get(name)
        self._headers[name] = value if present is None else b"%s, %s" % (present, value)

    def on_headers_complete(self) -> None:
        parser = self._parser
        target, headers = self._target, self._headers
        path = target.partition(b"?")[0] if b"?" in target else target
        request = Request(parser.get_method(), target, headers, path)
        if parser.should_upgrade() and request.method != b"CONNECT":
            return  # read again by `_ignore_upgrade`
        self._incoming = request
        if parser.get_http_version() == "1.0":
            request.http_1_0 = True
        elif b"expect" in headers:
            request.expects_continue = headers[b"expect"].lower() == b"100-continue"
        server = self._server
        if server.draining or not parser.should_keep_alive():
            request.keep_alive = False
        refusal = self._judge(request) or server.application.admit(request)
        if refusal is not None:
            request.refusal = refusal
            # A caller that waited for our leave keeps its body: what follows on this connection is ambiguous.
            request.keep_alive = request.keep_alive and not request.expects_continue
            self._enqueue(request)
        elif request.expects_continue:
            self._permit_body()

    def on_body(self, body: bytes) -> None:
        request = self._incoming
        if request is None or request.refusal:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._server.limits.max_body_bytes:
            request.refusal = self._body_too_large(request)
            self._parts = []
            self._enqueue(request)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        request = self._incoming
        self._incoming = None
        self._head_bytes = 0
        if request is None:
            return
        if request.refusal:
            if self._closing and self._exchange is None:
                self._close()
            return
        parts = self._parts
        request.body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        if self._exchange is None and not self._queue:
            self._begin(request)
        else:
            self._enqueue(request)

    # --- Wire: what the exchange asks for -----------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def answered(self, *, keep_alive: bool) -> None:
        self._exchange = None
        if not keep_alive:
            self._closing = True
            if self._incoming is None or not self._incoming.refusal or self._incoming.expects_continue:
                self._close()
            else:
                self._deadline = time.monotonic() + self._server.limits.linger_seconds
            return
        self._deadline = time.monotonic() + self._server.limits.idle_seconds
        if self._queue:
            # Not from here: a long run of pipelined requests answered at once must not deepen the stack.
            asyncio.get_running_loop().call_soon(self._next)
        elif self._incoming is not None and self._incoming.expects_continue:
            self._permit_body()

    def broken_off(self) -> None:
        self._exchange = None
        self._queue.clear()
        self._close()

    def cut(self) -> None:
        """Drop the connection at once."""
        self._stopped = True
        if self._transport is not None:
            self._transport.abort()

    # --- what the server asks for -------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a request is being answered or waits for its turn."""
        return self._exchange is not None or bool(self._queue)

    def drain(self) -> None:
        """Finish what was read, then close; close at once where nothing was."""
        if self._exchange is not None:
            self._exchange.request.keep_alive &= bool(self._queue)
        elif not self._queue and self._incoming is None:
            self._close()

    def check_deadline(self, now: float) -> None:
        """Close where the caller was too slow; never while it waits for our answer."""
        if now < self._deadline or self.busy:
            return
        if self._stopped:
            self.cut()
        elif self._head_bytes and not self._closing and not (self._incoming and self._incoming.refusal):
            seconds = self._server.limits.request_seconds
            self._refuse_stream(
                Refusal(408, "request_timeout", f"the request took longer than {seconds:g} s to arrive")
            )
        else:
            self._close()

    # --- inner workings -----------------------------------------------------------------------------------------

    def _judge(self, request: Request) -> Refusal | None:
        limits = self._server.limits
        if request.method == b"CONNECT":
            request.keep_alive = False
            return Refusal(405, "method_not_allowed", "this is not a proxy")
        if b"host" not in self._headers and not request.http_1_0:
            request.keep_alive = False
            return Refusal(400, "malformed_http", "an HTTP/1.1 request needs a Host header")
        if self._head_bytes > limits.max_head_bytes and self._head_size() > limits.max_head_bytes:
            request.keep_alive = False
            return self._head_too_large()
        if int(self._headers.get(b"content-length", b"0")) > limits.max_body_bytes:
            return self._body_too_large(request)
        return None

    def _head_size(self) -> int:
        """Bytes of the headers: what came in with them may have been body."""
        return sum(map(len, self._headers)) + sum(map(len, self._headers.values()))

    def _head_too_large(self) -> Refusal:
        limit = self._server.limits.max_head_bytes
        return Refusal(431, "headers_too_large", f"request line and headers exceed {limit} bytes")

    def _body_too_large(self, request: Request) -> Refusal:
        request.keep_alive = False
        limit = self._server.limits.max_body_bytes
        return Refusal(413, "request_too_large", f"the request body exceeds the limit of {limit} bytes")

    def _refuse_stream(self, refusal: Refusal) -> None:
        """Answer what cannot be parsed further, after everything before it, and close."""
        self._stopped = True
        request = self._incoming if self._incoming and not self._incoming.refusal else Request(b"", b"", {})
        self._incoming = None
        request.keep_alive = False
        request.refusal = refusal
        self._enqueue(request)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read the request again without its offer to switch protocols, as RFC 9110 §7.8 allows (JDK clients offer)."""
        lines = [b"%s %s HTTP/1.1" % (self._parser.get_method(), self._target)]
        lines += [b"%s: %s" % pair for pair in self._headers.items() if pair[0] not in _HOP_BY_HOP]
        self._parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _permit_body(self) -> None:
        if self._incoming is not None and self._exchange is None and not self._queue:
            self._incoming.expects_continue = False
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _enqueue(self, request: Request) -> None:
        if self._exchange is None and not self._queue:
            self._begin(request)
            return
        self._queue.append(request)
        if len(self._queue) >= self._server.limits.max_pipelined and self._transport and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _next(self) -> None:
        if not self._queue or self._exchange is not None:
            return
        request = self._queue.popleft()
        if self._reading_paused and not self._queue and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()
        self._begin(request)

    def _begin(self, request: Request) -> None:
        server = self._server
        if server.draining:
            request.keep_alive &= bool(self._queue)
        exchange = self._exchange = Exchange(self, request)
        if request.refusal:
            server.application.refuse(exchange, request.refusal)
        else:
            server.application.handle(exchange)

    def _close(self) -> None:
        self._stopped = True
        self._deadline = time.monotonic() + self._server.limits.idle_seconds  # to read what is still unsent
        if self._transport is not None:
            self._transport.close()
