"""One connection to an upstream: writes a request, parses the answer, one call at a time."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Final, Protocol, cast

import httptools

from trimtab.core.errors import UpstreamError
from trimtab.providers.http.chunked_body import ChunkedBody
from trimtab.providers.http.write_at_once import write_at_once

if TYPE_CHECKING:
    import asyncio

    from trimtab.providers.http.whole_answer import WholeAnswers

__all__ = ["ConnectionOwner", "Listener", "Sink", "UpstreamConnection"]

_MIN_STATUS: Final = 100
_SWITCHING: Final = 101
_MIN_FINAL_STATUS: Final = 200
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_HEAD_OF_CHUNKS: Final = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
"""What the parser is told of an answer whose head it has not seen."""


class Sink(Protocol):
    """Who receives the pieces of an answer."""

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None: ...
    def on_data(self, data: bytes) -> None: ...


class Listener(Protocol):
    """The call that a connection serves at the moment."""

    def on_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """The answer came in one piece: there is nothing else for the sink, and no `on_end`."""
        ...

    def on_end(self) -> None: ...
    def on_lost(self, error: UpstreamError, *, stale: bool) -> None:
        """The answer will not come. `stale`: a kept-alive connection closed before a byte of the answer."""
        ...


class Limits(Protocol):
    """What a connection needs to know of its pool's limits."""

    @property
    def max_head_bytes(self) -> int: ...


class ConnectionOwner(Protocol):
    """The pool a connection belongs to."""

    @property
    def limits(self) -> Limits: ...
    @property
    def whole(self) -> WholeAnswers: ...

    def released(self, connection: UpstreamConnection) -> None: ...
    def lost(self, connection: UpstreamConnection) -> None: ...


class UpstreamConnection:
    """The `asyncio.Protocol` of one upstream connection, by its methods alone (compiled, it cannot inherit from it)."""

    __deletable__ = ("_parser",)  # compiled, what is not named here cannot be deleted
    __slots__ = (
        "_answered",
        "_bodiless",
        "_chunks",
        "_completed",
        "_end_announced",
        "_head_bytes",
        "_head_seen",
        "_headers",
        "_listener",
        "_owner",
        "_parser",
        "_reads_head",
        "_received",
        "_sink",
        "_status",
        "active",
        "expires",
        "transport",
        "uses",
    )

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self.transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._listener: Listener | None = None
        self._sink: Sink
        self._headers: list[tuple[bytes, bytes]] = []
        self._reads_head = False
        self._status = 0
        self._bodiless = False
        """Whether the answer has no body whatever its head says, being one to HEAD."""
        self._head_bytes = 0
        self._head_seen = False
        self._chunks: ChunkedBody | None = None
        """The body, where it is read without the parser."""
        self._answered: list[tuple[bytes, bytes]] = []
        """The headers of the final answer."""
        self._end_announced = False
        """Whether the answer ends where the connection does, and the upstream ended it."""
        self._received = False
        self._completed = False
        self.active = 0.0
        """When it last was given a call or heard of its upstream, in seconds of the monotonic clock."""
        self.expires = 0.0
        """When it is too old for another call, in seconds of the monotonic clock."""
        self.uses = 0

    @property
    def usable(self) -> bool:
        """Whether another call may be sent on it."""
        return self.transport is not None and not self.transport.is_closing()

    def send(self, listener: Listener, sink: Sink, request: bytes) -> None:
        """Write a request; its answer goes to `sink`, how it ended to `listener`."""
        self._listener = listener
        self._sink = sink
        self._received = self._head_seen = False
        self._chunks = None
        self._bodiless = request[:5] == b"HEAD "
        self._head_bytes = 0
        self.active = time.monotonic()
        self.uses += 1
        transport = self.transport
        if transport is not None:
            transport.write(request)

    def hand_over(self, listener: Listener, sink: Sink) -> None:
        """Let others hear the answer from here on."""
        self._listener = listener
        self._sink = sink

    def abandon(self) -> None:
        """Drop the connection in the middle of an answer that nobody wants."""
        self._listener = None
        self.close()

    def close(self) -> None:
        """Drop the connection."""
        if self.transport is not None:
            self.transport.abort()

    def pause(self) -> None:
        """Stop reading."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        write_at_once(self.transport)

    def pause_writing(self) -> None:
        """A request is bounded: what the upstream does not take yet waits in the transport."""

    def resume_writing(self) -> None:
        """Nobody was told to wait."""

    def data_received(self, data: bytes) -> None:
        if self._listener is None:
            self.close()  # nobody asked: whatever this is, it must not become the next call's answer
            return
        self.active = time.monotonic()
        if not (self._received or self._bodiless):
            answer = self._owner.whole.read(data)
            if answer is not None:  # the parser has seen nothing of it, and is as it was
                self._received = True
                status, headers, body, chunked = answer
                if chunked:
                    self._begin_chunks(status, headers, body)
                    return
                self._listener.on_whole(status, headers, body)
                if self._listener is not None:  # else the call was given up, and the connection with it
                    self._listener = None
                    transport = self.transport
                    if transport is not None and not transport.is_closing():
                        self._owner.released(self)
                return
        self._received = True
        if self._chunks is not None:
            self._take_chunks(self._chunks, data)
        else:
            self._parse_answer(data)

    def _begin_chunks(self, status: int, headers: list[tuple[bytes, bytes]], data: bytes) -> None:
        """Hand over the head of a chunked answer, and what has come of its body."""
        self._head_seen = True
        self._status, self._answered = status, headers
        self._sink.on_head(status, headers)
        if self._listener is not None:
            self._chunks = ChunkedBody()
            self._take_chunks(self._chunks, data)

    def _take_chunks(self, chunks: ChunkedBody, data: bytes) -> None:
        """Hand over what a packet brought of the body; the parser reads on where that is not only chunks."""
        piece = chunks.feed(data)
        if piece:
            self._sink.on_data(piece)
        listener = self._listener
        if listener is None:
            return  # given up
        if chunks.ended:
            self._chunks = self._listener = None
            listener.on_end()
            self._release()
        elif chunks.malformed:
            self._fail("upstream_malformed", "the answer is not HTTP/1.1: a chunk does not end where it says")
            self.close()
        elif chunks.unread is not None:
            self._chunks = None
            self._parse_answer(_HEAD_OF_CHUNKS + chunks.unread)

    def _parse_answer(self, data: bytes) -> None:
        self._parse(data)
        if self._completed:
            # Only now: what else these bytes held was sent before the next request, and must not answer it.
            self._completed = False
            self._release()

    def _release(self) -> None:
        """The connection can take another call, if it is still there."""
        if self.transport is not None and not self.transport.is_closing():
            self._owner.released(self)

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            self.close()
            raise  # ours, not the upstream's
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail("upstream_malformed", f"the answer is not HTTP/1.1: {error}")
            self.close()
        if not self._head_seen:
            self._head_bytes += len(data)
            if self._head_bytes > self._owner.limits.max_head_bytes and self._listener is not None:
                self._fail("upstream_malformed", "the answer's headers do not end")
                self.close()

    def eof_received(self) -> None:
        """Believe an end that was announced: over TLS, anybody on the way can make another (RFC 9112 §9.8)."""
        if self._head_seen and self.transport is not None and not any(name in _FRAMING for name, _ in self._answered):
            tls = self.transport.get_extra_info("ssl_object")
            self._end_announced = tls is None or _is_announced(tls)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.lost(self)
        del self._parser  # it refers back: without the cycle the memory is free at once
        if self._listener is None:
            return
        if self._end_announced and exc is None:
            self._finish()
        else:
            detail = f": {exc}" if exc else ""
            what = "in the middle of its answer" if self._received else "before it answered"
            self._fail("upstream_disconnected", f"the upstream closed the connection {what}{detail}")

    # --- httptools ----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._headers = []
        self._reads_head = True
        if self._completed:
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reads_head:  # trailers go nowhere, however many
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._status = status = self._parser.get_status_code()
        self._reads_head = False
        if self._listener is None:
            return
        if self._head_seen:
            return  # it was handed over already, and the parser reads only the rest
        if status < _MIN_FINAL_STATUS:
            if status < _MIN_STATUS or status == _SWITCHING:
                self._fail("upstream_malformed", f"the answer's status is {status}, which no answer to this can have")
                self.close()
            return
        self._head_seen = True
        headers = self._answered = self._headers
        for name, value in headers:
            if name == b"content-encoding" and value.lower() != b"identity":
                self._fail("upstream_malformed", f"the answer is encoded as {value!r}, although identity was asked for")
                self.close()
                return
        self._sink.on_head(self._status, headers)
        if self._bodiless:
            self.close()  # the parser would wait for the body
            self._finish()

    def on_body(self, body: bytes) -> None:
        if self._listener is not None:
            self._sink.on_data(body)

    def on_message_complete(self) -> None:
        if self._status < _MIN_FINAL_STATUS or self._listener is None:
            return
        if self._parser.should_keep_alive():
            self._completed = True
        else:
            self.close()
        listener, self._listener = self._listener, None
        listener.on_end()

    def _finish(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.on_end()

    def _fail(self, code: str, message: str) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            stale = self.uses > 1 and not self._received
            listener.on_lost(UpstreamError(code, message), stale=stale)


def _is_announced(tls: ssl.SSLObject) -> bool:
    """Whether the other side sent close_notify: then there is an end to read, else nothing yet."""
    try:
        return tls.read(1) == b""
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False
