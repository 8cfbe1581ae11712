"""The answering half of one request on a server connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trimtab.providers.http.message import JSON_CONTENT, status_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.providers.http.message import Request

__all__ = ["Exchange", "Wire"]

_NO_BODY = frozenset({204, 304})


class Wire(Protocol):
    """What an exchange needs of its connection."""

    def send(self, data: bytes) -> None: ...
    def answered(self, *, keep_alive: bool) -> None: ...
    def broken_off(self) -> None: ...


class Exchange:
    """Answers one request: `respond` once, or `start`, any number of `write`, and `end`.

    `on_abort` is called if the caller goes away first; afterwards every method is a no-op. `on_pause` and `on_resume`
    are called as the caller falls behind and catches up.
    """

    __slots__ = ("_chunked", "_done", "_wire", "on_abort", "on_pause", "on_resume", "request")

    def __init__(self, wire: Wire, request: Request) -> None:
        self._wire = wire
        self.request = request
        self._chunked = False
        self._done = False
        self.on_abort: Callable[[], None] | None = None
        self.on_pause: Callable[[], None] | None = None
        self.on_resume: Callable[[], None] | None = None

    @property
    def done(self) -> bool:
        """Whether the answer is complete, or the caller gone."""
        return self._done

    def respond(self, status: int, body: bytes, headers: bytes = JSON_CONTENT) -> None:
        """Answer at once. `headers` are complete lines; length and connection are added."""
        if self._done:
            return
        head = b"%scontent-length: %d\r\n" % (headers, len(body)) if status not in _NO_BODY else headers
        payload = b"" if self.request.method == b"HEAD" else body
        self._wire.send(b"%s%s%s\r\n%s" % (status_line(status), head, self._connection(), payload))
        self._finish()

    def start(self, status: int, headers: bytes) -> None:
        """Begin a streamed answer: chunked, or ended by closing where the caller speaks HTTP/1.0."""
        if self._done:
            return
        self._chunked = not self.request.http_1_0
        if self.request.http_1_0:
            self.request.keep_alive = False
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        self._wire.send(b"%s%s%s%s\r\n" % (status_line(status), headers, framing, self._connection()))

    def write(self, data: bytes) -> None:
        """Send a piece of a streamed answer."""
        if data and not self._done:
            self._wire.send(b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data)

    def end(self) -> None:
        """Complete a streamed answer."""
        if self._done:
            return
        if self._chunked:
            self._wire.send(b"0\r\n\r\n")
        self._finish()

    def cut(self) -> None:
        """Close without ending a streamed answer: the rest will not come, and the caller must see that."""
        if not self._done:
            self._done = True
            self._wire.broken_off()

    def abort(self) -> None:
        """The connection's word that the caller is gone."""
        if not self._done:
            self._done = True
            if self.on_abort:
                self.on_abort()

    def _finish(self) -> None:
        self._done = True
        self._wire.answered(keep_alive=self.request.keep_alive)

    def _connection(self) -> bytes:
        if not self.request.keep_alive:
            return b"connection: close\r\n"
        return b"connection: keep-alive\r\n" if self.request.http_1_0 else b""
