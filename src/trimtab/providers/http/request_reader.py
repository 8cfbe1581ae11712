"""The reading half of a server connection: bytes become requests, and what is malformed or too large a refusal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import httptools

from trimtab.providers.http.message import Refusal, Request
from trimtab.providers.http.rules import examine, without_upgrade

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.providers.http.application import Application, ServerLimits
    from trimtab.providers.http.known_heads import KnownHead, KnownHeads

__all__ = ["RequestReader", "Server"]

_SLASH: Final = ord("/")
_SEPARATORS: Final = len(b": \r\n")
_MOST_FRAMING: Final = 2
"""How much larger than its limits a chunked message may be: chunk sizes, extensions and trailers count."""


class Server(Protocol):
    """What a connection sees of the server that accepted it."""

    application: Application
    limits: ServerLimits
    heads: KnownHeads
    draining: bool

    def opened(self, connection: Any) -> None: ...  # noqa: ANN401 - a `ServerConnection`, which is derived from what is here
    def closed(self, connection: Any) -> None: ...  # noqa: ANN401 - the same


class RequestReader:
    """What httptools calls back. Requests go to `_take`, in the order they came; the other half of it is below."""

    __deletable__ = ("_parser",)  # compiled, what is not named here cannot be deleted
    __slots__ = (
        "_body_bytes",
        "_complete",
        "_deadline",
        "_headers",
        "_host",
        "_incoming",
        "_known",
        "_last",
        "_message_bytes",
        "_packet_bytes",
        "_parser",
        "_parts",
        "_reads_head",
        "_repeated",
        "_server",
        "_stopped",
        "_target",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._incoming: Request | None = None
        self._known: KnownHead | None = None
        """The head of the last request that had a known one: most likely the next one's, too."""
        self._complete: Request | None = None
        """The last request that the parser saw the end of."""
        self._headers: dict[bytes, bytes] = {}
        self._reads_head = True
        self._parts: list[bytes] = []
        self._target = b""
        self._host: bytes | None = b"\r"
        """The last Host that was found valid, so that the same is not examined for each request."""
        self._repeated = 0
        """Header lines of this head whose name had come before."""
        self._packet_bytes = 0
        self._message_bytes = 0
        """Bytes that arrived for the message being read, less those of the packet that another one ended in."""
        self._body_bytes = 0
        self._deadline = 0.0
        self._last = False
        """Whether the request was read whose answer ends the connection: nothing after it is executed."""
        self._stopped = False
        """Whether what still arrives is dropped unread."""

    # --- what the answering half does ---------------------------------------------------------------------------

    def _take(self, request: Request) -> None:
        """Answer a request, in its turn."""
        raise NotImplementedError

    def _take_short(self, head: KnownHead, body: bytes, varied: Mapping[bytes, bytes]) -> bool:
        """Answer a request on its head's short way, where there is one and it is clear; returns whether so."""
        raise NotImplementedError

    def _permit_body(self) -> None:
        """Tell a caller that waits for leave to send its body."""
        raise NotImplementedError

    def _refuse_stream(self, refusal: Refusal) -> None:
        """Answer what cannot be parsed further."""
        raise NotImplementedError

    def cut(self) -> None:
        """Drop the connection at once."""
        raise NotImplementedError

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._stopped:
            return
        if self._message_bytes:
            self._parse(data)
            return
        server = self._server
        found = None if self._last or server.draining else server.heads.read(data)
        if found is not None:
            self._known, body, varied = found
            if self._take_short(self._known, body, varied):
                return
            request = self._known.request(body, varied)
            request.refusal = server.application.admit(request)
            self._take(request)
            return
        self._complete = None
        self._parse(data)
        complete = self._read_whole()
        if complete is not None and not self._message_bytes:
            server.heads.learn(data, complete)

    def _read_whole(self) -> Request | None:
        """Return the last request that the parser saw the end of: its callbacks put it there."""
        return self._complete

    def _parse(self, data: bytes) -> None:
        again = self._feed(data)
        while again:  # a loop: one packet may hold thousands of requests that offer something
            again = self._feed(again)

    def _feed(self, data: bytes) -> bytes:
        """Parse what came; returns what is to be parsed anew."""
        self._packet_bytes = size = len(data)
        self._message_bytes += size
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._parser.get_method() != b"CONNECT":
                return self._without_upgrade() + data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError:
            self.cut()
            raise  # ours, not the caller's
        except httptools.HttpParserError as error:
            self._refuse_stream(Refusal(400, "malformed_http", f"this is not HTTP/1.1: {error}"))
        else:
            if self._message_bytes > self._server.limits.max_head_bytes:
                self._check_size()
        return b""

    # --- httptools ----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._headers = {}
        self._reads_head = True
        self._target = b""
        self._body_bytes = self._repeated = 0
        self._message_bytes = self._message_bytes or 1
        self._deadline = time.monotonic() + self._server.limits.request_seconds

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._reads_head:
            return  # trailers go nowhere
        name = name.lower()
        headers = self._headers
        if name in headers:
            self._repeated += 1
            if self._repeated <= self._server.limits.max_headers:
                headers[name] = b"%s, %s" % (headers[name], value.strip())
        else:
            headers[name] = value.strip()

    def on_headers_complete(self) -> None:
        if self._last:
            return
        parser = self._parser
        target, headers = self._target, self._headers
        path = target.partition(b"?")[0] if b"?" in target else target
        request = Request(parser.get_method(), target, headers, path)
        if parser.should_upgrade() and request.method != b"CONNECT":
            return  # read again without it
        self._incoming = request
        server = self._server
        if server.draining or not parser.should_keep_alive():
            request.keep_alive = False
        refusal = self._judge(request) or server.application.admit(request)
        if refusal is not None:
            request.refusal = refusal
            # A caller that waited for our leave keeps its body: what follows on this connection is ambiguous.
            request.keep_alive = request.keep_alive and not request.expects_continue
            self._last = not request.keep_alive
            self._take(request)
            return
        self._last = not request.keep_alive
        if request.expects_continue:
            self._permit_body()

    def on_body(self, body: bytes) -> None:
        request = self._incoming
        if request is None or request.refusal:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._server.limits.max_body_bytes:
            request.refusal = self._body_too_large()
            request.keep_alive = False
            self._last = True
            self._parts = []
            self._take(request)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        request = self._incoming
        self._incoming = None
        self._message_bytes = 0
        if request is None or request.refusal:
            return
        parts = self._parts
        request.body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self._complete = request
        self._take(request)

    # --- decisions ----------------------------------------------------------------------------------------------

    def _judge(self, request: Request) -> Refusal | None:
        """Return why a head is refused; what nearly all heads look like is recognized at a glance."""
        limits, headers = self._server.limits, request.headers
        version = self._parser.get_http_version()
        host = headers.get(b"host")
        chunked = b"transfer-encoding" in headers
        refusal = None
        if (
            version != "1.1"
            or host != self._host
            or chunked
            or request.target[0] != _SLASH
            or b"expect" in headers
            or request.method == b"CONNECT"
        ):
            refusal = examine(request, version)
            if refusal is None and host is not None:
                self._host = headers[b"host"]
        if len(headers) + self._repeated > limits.max_headers:
            refusal = Refusal(431, "headers_too_large", f"the request has more than {limits.max_headers} headers")
        elif self._message_bytes + self._packet_bytes > limits.max_head_bytes:
            refusal = self._check_head_size(request) or refusal
        if int(headers.get(b"content-length", b"0")) > limits.max_body_bytes:
            refusal = refusal or self._body_too_large()
        if chunked:
            self._reads_head = False  # merged into the headers, trailers would be judged by nobody (RFC 9110 §6.5.1)
        if refusal is not None:
            request.keep_alive = False
        return refusal

    def _check_head_size(self, request: Request) -> Refusal | None:
        """Count the head itself: what came in with it may have been body, or another request."""
        headers = request.headers
        size = len(request.target) + len(headers) * _SEPARATORS
        size += sum(map(len, headers)) + sum(map(len, headers.values()))
        return self._head_too_large() if size > self._server.limits.max_head_bytes else None

    def _head_too_large(self) -> Refusal:
        limit = self._server.limits.max_head_bytes
        if len(self._target) > limit:
            return Refusal(414, "uri_too_long", f"the request target exceeds {limit} bytes")
        return Refusal(431, "headers_too_large", f"request line and headers exceed {limit} bytes")

    def _body_too_large(self) -> Refusal:
        limit = self._server.limits.max_body_bytes
        return Refusal(413, "request_too_large", f"the request body exceeds the limit of {limit} bytes")

    def _check_size(self) -> None:
        """Refuse a head that does not end, and a body lost in what surrounds its chunks."""
        limits = self._server.limits
        if self._incoming is None:
            self._refuse_stream(self._head_too_large())
        elif self._message_bytes > _MOST_FRAMING * (limits.max_head_bytes + limits.max_body_bytes):
            self._refuse_stream(self._body_too_large())

    def _without_upgrade(self) -> bytes:
        """Return the request's head without its offer to switch protocols (JDK clients offer HTTP/2), for a new parser.

        The offer may be ignored (RFC 9110 §7.8).
        """
        parser = self._parser
        self._parser = httptools.HttpRequestParser(self)
        return without_upgrade(parser.get_method(), self._target, parser.get_http_version(), self._headers)
