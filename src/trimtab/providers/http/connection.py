"""One server connection: parses requests, hands them out one at a time, answers in the order they came."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from trimtab.providers.http.exchange import Exchange
from trimtab.providers.http.message import Refusal, Request
from trimtab.providers.http.request_reader import RequestReader
from trimtab.providers.http.write_at_once import write_at_once

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.providers.http.known_heads import KnownHead
    from trimtab.providers.http.lane import Answering
    from trimtab.providers.http.request_reader import Server

__all__ = ["ServerConnection"]

_MOST_DIGITS: Final = 15
_NOTHING: Final[dict[bytes, bytes]] = {}
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ServerConnection(RequestReader):
    """The `asyncio.Protocol` of one accepted connection, by its methods: answers what it reads, and closes in time."""

    __slots__ = (
        "_half_closed",
        "_patience",
        "_queue",
        "_reading_paused",
        "_transport",
        "_unsent",
        "_waiting_bytes",
        "exchange",
    )

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._transport: asyncio.Transport | None = None
        self._queue: deque[Request] = deque()
        self._waiting_bytes = 0
        """Bodies of the requests in the queue."""
        self.exchange: Answering | None = None
        """What answers the request whose turn it is."""
        self._patience = 0.0
        """Until when a caller that reads nothing of its answer is waited for."""
        self._unsent = 0
        """Bytes in the write buffer when the caller last made progress; nothing unless it has fallen behind."""
        self._reading_paused = False
        self._half_closed = False
        """Whether the caller has shut down its sending side, or is gone."""

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.exchange is None and not (self._message_bytes or self._queue or self._stopped or self._last):
            known = self._known
            if known is not None and data.startswith(known.before) and not self._server.draining:
                # As `KnownHeads.read` does, but without looking for the head: it is compared with the last one.
                start, behind = len(known.before), known.behind
                stop = data.find(b"\r", start, start + _MOST_DIGITS)
                body, lane = data[stop + len(behind) :], known.lane
                if (
                    lane is not None
                    and data.startswith(behind, stop)
                    and data[start:stop] == b"%d" % len(body)
                    and len(body) <= self._server.limits.max_body_bytes
                    and lane(self, body, _NOTHING)
                ):
                    return
        super().data_received(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        write_at_once(self._transport)
        self._deadline = time.monotonic() + self._server.limits.idle_seconds
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol
        self._server.closed(self)
        self._stopped = True
        self._drop_queue()
        if self.exchange:
            self.exchange.abort()
            self.exchange = None
        del self._parser  # nothing is read any more, and it refers back: without the cycle the memory is free at once

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._unsent = self._transport.get_write_buffer_size()
            self._patience = time.monotonic() + self._server.limits.write_seconds
            self._hold_reading()  # whoever reads no answers gets no more requests executed
        if self.exchange and self.exchange.on_pause:
            self.exchange.on_pause()

    def resume_writing(self) -> None:
        self._unsent = 0
        self._hold_reading()
        if self.exchange and self.exchange.on_resume:
            self.exchange.on_resume()

    def eof_received(self) -> bool:
        """Answer a caller that shut down its sending side only, if it can be told from one that is gone.

        At first both look the same. Whoever closed resets the connection when written to: an interim answer, which
        every HTTP/1.1 client reads past (RFC 9110 §15.2), finds out; `check_deadline` looks for the outcome.
        """
        if self._half_closed:
            return True
        self._stopped = True
        self._incoming = None
        if not self.busy or not self._open_ended():
            return False
        exchange = self.exchange
        last = self._queue[-1] if self._queue else cast("Answering", exchange).request
        if last.http_1_0:
            return False  # cannot be asked; and proxies that speak it close for good
        self._half_closed = True
        last.keep_alive = False
        if exchange is not None and not exchange.started and not exchange.request.http_1_0:
            self.send(_CONTINUE)
        return True

    # --- Wire: what the exchange asks for -----------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def answered(self, *, keep_alive: bool) -> None:
        exchange, self.exchange = self.exchange, None
        if not keep_alive:
            self._last = True
            if exchange is not None and exchange.request.refusal:
                self._linger()
            else:
                self._close()
            return
        self._deadline = time.monotonic() + self._server.limits.idle_seconds
        if self._queue:
            # Not from here: a long run of pipelined requests answered at once must not deepen the stack.
            asyncio.get_running_loop().call_soon(self._next)
        elif self._incoming is not None and self._incoming.expects_continue:
            self._permit_body()

    def reply(self, answer: bytes) -> None:
        """Send a whole answer, and be ready for the next request: `send` and `answered`, for lanes."""
        self.exchange = None
        transport = self._transport
        if transport is not None:
            transport.write(answer)
        self._deadline = time.monotonic() + self._server.limits.idle_seconds
        if self._queue:
            asyncio.get_running_loop().call_soon(self._next)
        elif self._incoming is not None and self._incoming.expects_continue:
            self._permit_body()

    def broken_off(self) -> None:
        self.exchange = None
        self._drop_queue()
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
        return self.exchange is not None or bool(self._queue)

    def drain(self) -> None:
        """Finish what was read, then close; close at once where nothing was."""
        if self.exchange is not None:
            self.exchange.request.keep_alive &= bool(self._queue)
        elif not self._queue and self._incoming is None:
            self._close()

    def check_deadline(self, now: float) -> None:
        """Close where the caller was too slow or is gone; never while it waits for our answer."""
        if self._unsent:
            self._check_reader(now)
        elif self._half_closed and self._is_reset():
            self.cut()
        elif now < self._deadline or self.busy:
            return
        elif self._stopped:
            self.cut()
        elif self._message_bytes and not (self._incoming and self._incoming.refusal):
            seconds = self._server.limits.request_seconds
            self._refuse_stream(
                Refusal(408, "request_timeout", f"the request took longer than {seconds:g} s to arrive")
            )
        else:
            self._close()

    # --- inner workings -----------------------------------------------------------------------------------------

    def _check_reader(self, now: float) -> None:
        """Cut off a caller that has read nothing of its answer for `write_seconds`."""
        unsent = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if unsent < self._unsent:
            self._unsent = unsent
            self._patience = now + self._server.limits.write_seconds
        elif now >= self._patience:
            self.cut()

    def _refuse_stream(self, refusal: Refusal) -> None:
        """Answer what cannot be parsed further, after everything before it, and close."""
        self._stopped = True
        request, self._incoming = self._incoming, None
        if request is not None and request.refusal:
            request.keep_alive = False  # it has its answer, or will have: a second one would be somebody else's
        elif request is None and self._last:
            pass  # the last answer was announced
        else:
            self._last = True
            request = request or Request(b"", b"", {})
            request.keep_alive = False
            request.refusal = refusal
            self._take(request)
            return
        if not self.busy:
            self._linger()

    def _take_short(self, head: KnownHead, body: bytes, varied: Mapping[bytes, bytes]) -> bool:
        if head.lane is None or self.exchange is not None or self._queue:
            return False
        return head.lane(self, body, varied)

    def _permit_body(self) -> None:
        if self._incoming is not None and self.exchange is None and not self._queue:
            self._incoming.expects_continue = False
            self.send(_CONTINUE)

    def _take(self, request: Request) -> None:
        if self.exchange is None and not self._queue:
            self._begin(request)
            return
        self._queue.append(request)
        self._waiting_bytes += len(request.body)
        if self._reads_ahead():
            self._hold_reading()

    def _next(self) -> None:
        if not self._queue or self.exchange is not None:
            return
        request = self._queue.popleft()
        self._waiting_bytes -= len(request.body)
        if self._reading_paused and not self._queue:
            self._hold_reading()
        self._begin(request)

    def _reads_ahead(self) -> bool:
        """Whether as much waits for its turn as one connection may have waiting."""
        limits = self._server.limits
        return len(self._queue) >= limits.max_pipelined or self._waiting_bytes > limits.max_pipelined_bytes

    def _drop_queue(self) -> None:
        self._queue.clear()
        self._waiting_bytes = 0

    def _hold_reading(self) -> None:
        """Read on, or not: not while answers pile up or a run of pipelined requests waits for its turn."""
        pause = bool(self._unsent) or self._reads_ahead()
        if pause == self._reading_paused or self._transport is None or self._transport.is_closing():
            return
        self._reading_paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _begin(self, request: Request) -> None:
        server = self._server
        if server.draining:
            request.keep_alive &= bool(self._queue)
        exchange = Exchange(self, request)
        self.exchange = exchange
        if request.refusal:
            server.application.refuse(exchange, request.refusal)
        else:
            server.application.handle(exchange)

    def _open_ended(self) -> bool:
        """Whether the connection can be open in one direction: TCP can, TLS as asyncio has it cannot."""
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is None

    def _is_reset(self) -> bool:
        """Whether the caller's side refused what was last written to it."""
        peer = self._transport.get_extra_info("socket") if self._transport is not None else None
        return peer is not None and peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def _linger(self) -> None:
        """Close what more may be arriving on: an unread byte would turn the end into a reset, which eats the answer.

        RFC 9112 §9.6: end the sending side, drop what comes, close when the caller has or `linger_seconds` are over.
        """
        self._stopped = True
        self._drop_queue()
        self._deadline = time.monotonic() + self._server.limits.linger_seconds
        self._hold_reading()
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.can_write_eof() and not self._half_closed:
            self._transport.write_eof()
        else:
            self._close()

    def _close(self) -> None:
        self._stopped = True
        self._deadline = time.monotonic() + self._server.limits.idle_seconds  # to read what is still unsent
        if self._transport is not None:
            self._transport.close()
