"""An HTTP/1.1 server: accepts connections, watches their deadlines, drains on request."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from trimtab.providers.http.application import Application, ServerLimits
from trimtab.providers.http.connection import ServerConnection
from trimtab.providers.http.known_heads import KnownHeads

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from trimtab.providers.http.lane import Lane
    from trimtab.providers.http.message import Request

__all__ = ["HttpServer"]

_SWEEP_SECONDS = 0.25
_DRAIN_POLL_SECONDS = 0.02


class HttpServer:
    """Serves an application. `start`, then `drain`.

    Every loop of a process that serves holds one `HttpServer`; with `reuse_port` several processes share a port.
    """

    def __init__(
        self,
        application: Application,
        limits: ServerLimits | None = None,
        *,
        lane_of: Callable[[Request], Lane | None] | None = None,
    ) -> None:
        """`lane_of`: what takes requests whose head is like that of the one given, past the application's `handle`."""
        self.application = application
        self.limits = limits or ServerLimits()
        self.heads = KnownHeads(max_body_bytes=self.limits.max_body_bytes, lane_of=lane_of)
        self.draining = False
        self._connections: set[ServerConnection] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()

    async def start(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        reuse_port: bool = False,
        listening: socket.socket | None = None,
    ) -> tuple[str, int]:
        """Listen; returns the address bound (port 0 asks for any). Raises `OSError` where it cannot.

        `listening`: a socket that listens already, instead of `host` and `port`.
        """
        loop = asyncio.get_running_loop()
        if listening is not None:
            self._server = await loop.create_server(self._protocol, sock=listening, ssl=tls)
        else:
            self._server = await loop.create_server(
                self._protocol, host, port, ssl=tls, reuse_port=reuse_port or None, backlog=1024
            )
        self._sweep()
        bound_host, bound_port = self._server.sockets[0].getsockname()[:2]
        return bound_host, bound_port

    def _protocol(self) -> Any:  # noqa: ANN401 - an `asyncio.Protocol`, by its methods
        return ServerConnection(self)

    @property
    def in_flight(self) -> int:
        """Requests that are being answered."""
        return sum(connection.busy for connection in self._connections)

    async def drain(self, seconds: float, *, idle_seconds: float = 0.0) -> int:
        """Stop accepting, let requests in flight finish for `seconds`, close; returns how many were cut off.

        Requests already read are answered, and told `connection: close`. Idle connections stay for `idle_seconds`, for
        a request may be on its way on them, which would meet a closed door: it is answered like those, and closes its
        connection itself.
        """
        self.draining = True
        if self._server is not None:
            self._server.close()
        until = time.monotonic() + min(idle_seconds, seconds)
        while time.monotonic() < until and any(not connection.busy for connection in self._connections):  # noqa: ASYNC110
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        seconds = max(0.0, seconds - idle_seconds)
        for connection in tuple(self._connections):
            connection.drain()
        if self._connections:
            self._emptied.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), seconds)
        left = self.in_flight
        for connection in tuple(self._connections):
            connection.cut()
        if self._sweeper:
            self._sweeper.cancel()
        await asyncio.sleep(0)
        return left

    def opened(self, connection: ServerConnection) -> None:
        """A connection's word that it is there."""
        self._connections.add(connection)

    def closed(self, connection: ServerConnection) -> None:
        """A connection's word that it is gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in tuple(self._connections):
            connection.check_deadline(now)
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
