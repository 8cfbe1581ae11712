"""The answering half of one request on a server connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from trimtab.providers.http.message import JSON_CONTENT, STATUS_LINES, Request

__all__ = ["Exchange", "Wire"]

_NO_BODY = frozenset({204, 304})


class Wire(Protocol):
    """What an exchange needs of its connection."""

    def send(self, data: bytes) -> None: ...
    def answered(self, *, keep_alive: bool) -> None: ...
    def broken_off(self) -> None: ...


class Exchange(msgspec.Struct, eq=False):
    """Answers one request: `respond` once, or `start`, any number of `write`, and `end`.

    `on_abort` is called if the caller goes away first; afterwards every method is a no-op. `on_pause` and `on_resume`
    are called as the caller falls behind and catches up.
    """

    wire: Wire
    request: Request
    on_abort: Callable[[], None] | None = None
    on_pause: Callable[[], None] | None = None
    on_resume: Callable[[], None] | None = None
    done: bool = False
    """Whether the answer is complete, or the caller gone."""
    started: bool = False
    """Whether a streamed answer has begun."""
    _chunked: bool = False

    def respond(self, status: int, body: bytes, headers: bytes = JSON_CONTENT) -> None:
        """Answer at once. `headers` are complete lines; length and connection are added.

        Where a streamed answer has begun, the connection is cut instead: it has no place for another.
        """
        if self.done:
            return
        if self.started:
            self.cut()
            return
        request = self.request
        if request.keep_alive and not request.http_1_0 and request.method != b"HEAD" and status not in _NO_BODY:
            # All but a few answers: one formatting, one write.
            self.wire.send(b"%b%bcontent-length: %d\r\n\r\n%b" % (STATUS_LINES[status], headers, len(body), body))
        else:
            head = b"%scontent-length: %d\r\n" % (headers, len(body)) if status not in _NO_BODY else headers
            payload = b"" if request.method == b"HEAD" or status in _NO_BODY else body
            self.wire.send(b"%s%s%s\r\n%s" % (STATUS_LINES[status], head, self._connection(), payload))
        self.done = True
        self.on_abort = self.on_pause = self.on_resume = None
        self.wire.answered(keep_alive=request.keep_alive)

    def start(self, status: int, headers: bytes) -> None:
        """Begin a streamed answer: chunked, or ended by closing where the caller speaks HTTP/1.0."""
        if self.done:
            return
        request = self.request
        self.started = True
        framing = b"" if request.http_1_0 else b"transfer-encoding: chunked\r\n"
        if request.http_1_0:
            request.keep_alive = False
        self._chunked = not request.http_1_0 and request.method != b"HEAD"
        self.wire.send(b"%s%s%s%s\r\n" % (STATUS_LINES[status], headers, framing, self._connection()))

    def write(self, data: bytes) -> None:
        """Send a piece of a streamed answer."""
        if not data or self.done:
            return
        if self._chunked:
            self.wire.send(b"%x\r\n%s\r\n" % (len(data), data))
        elif self.request.method != b"HEAD":
            self.wire.send(data)

    def end(self) -> None:
        """Complete a streamed answer."""
        if self.done:
            return
        if self._chunked:
            self.wire.send(b"0\r\n\r\n")
        self._forget()
        self.wire.answered(keep_alive=self.request.keep_alive)

    def cut(self) -> None:
        """Close without ending a streamed answer: the rest will not come, and the caller must see that."""
        if not self.done:
            self._forget()
            self.wire.broken_off()

    def abort(self) -> None:
        """The connection's word that the caller is gone."""
        if not self.done:
            on_abort = self.on_abort
            self._forget()
            if on_abort:
                on_abort()

    def _forget(self) -> None:
        """Nothing is called back any more: what answered is freed at once, not by the collector of cycles."""
        self.done = True
        self.on_abort = self.on_pause = self.on_resume = None

    def _connection(self) -> bytes:
        if not self.request.keep_alive:
            return b"connection: close\r\n"
        return b"connection: keep-alive\r\n" if self.request.http_1_0 else b""
