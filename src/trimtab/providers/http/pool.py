"""The connections to one upstream: kept, handed out in the order asked, opened anew by name, given up by age."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from trimtab.providers.http.connect_failure import ConnectFailures
from trimtab.providers.http.upstream import UpstreamConnection
from trimtab.providers.http.whole_answer import WholeAnswers

if TYPE_CHECKING:
    import ssl

    from trimtab.core.errors import UpstreamError
    from trimtab.providers.http.client_limits import ClientLimits

__all__ = ["ConnectionPool", "Origin"]

_AVOID_SECONDS: Final = 60.0
_AGE_SPREAD: Final = 0.1


class Origin(NamedTuple):
    """Where an upstream is, and what callers may call it."""

    base_url: str
    host: str
    port: int
    tls: ssl.SSLContext | None
    name: str = "the upstream"


class Waiter(Protocol):
    """A call that needs a connection."""

    def send_on(self, connection: UpstreamConnection) -> None: ...
    def fail(self, error: UpstreamError) -> None: ...


class ConnectionPool:
    """Hands connections to calls: an idle one, else a new one, else the next that another call is done with."""

    def __init__(self, origin: Origin, limits: ClientLimits) -> None:
        self.limits = limits
        self.whole = WholeAnswers(max_head_bytes=limits.max_head_bytes)
        self.idle: list[UpstreamConnection] = []
        """The last one used comes last, and is used first."""
        self._origin = origin
        self._failures = ConnectFailures(origin.name, origin.base_url)
        self._waiting: OrderedDict[Waiter, None] = OrderedDict()
        self._connecting: set[asyncio.Task[None]] = set()
        self._open: set[UpstreamConnection] = set()
        self._avoided: dict[str, float] = {}
        """When an address last failed, if that was lately."""

    def acquire(self, call: Waiter, *, first: bool = False) -> None:
        """Give `call` a connection, now or later; `first`: ahead of all that wait."""
        oldest = time.monotonic() - self.limits.idle_seconds
        while self.idle:
            connection = self.idle.pop()
            if connection.usable and connection.active >= oldest:
                call.send_on(connection)
                return
            connection.close()
        self._waiting[call] = None
        if first:
            self._waiting.move_to_end(call, last=False)
        self._grow()

    def withdraw(self, call: Waiter) -> None:
        """Forget a call that waits no longer, if it did."""
        self._waiting.pop(call, None)

    def drop_idle(self) -> None:
        """Close every idle connection."""
        for connection in self.idle:
            connection.close()
        self.idle.clear()

    def sweep(self, now: float) -> None:
        """Close idle connections that have grown too old or were idle too long."""
        oldest = now - self.limits.idle_seconds
        for connection in [one for one in self.idle if one.active < oldest or one.expires < now]:
            self.idle.remove(connection)
            connection.close()

    async def close(self) -> None:
        """Drop every connection."""
        self._waiting.clear()
        self.idle.clear()
        for connection in tuple(self._open):
            connection.close()
        connecting = tuple(self._connecting)
        for task in connecting:
            task.cancel()
        await asyncio.gather(*connecting, return_exceptions=True)
        await asyncio.sleep(0)

    # --- ConnectionOwner ----------------------------------------------------------------------------------------

    def released(self, connection: UpstreamConnection) -> None:
        """A connection's word that it can take another call."""
        if connection.active > connection.expires:
            connection.close()
        elif self._waiting:
            call, _ = self._waiting.popitem(last=False)
            call.send_on(connection)
        else:
            self.idle.append(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        """A connection's word that it is gone."""
        self._open.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        self._grow()

    # --- inner workings -----------------------------------------------------------------------------------------

    def _grow(self) -> None:
        """Open connections while more calls wait than are being opened for them, within the limit."""
        while (
            len(self._waiting) > len(self._connecting)
            and len(self._open) + len(self._connecting) < self.limits.max_connections
        ):
            task = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add(task)

    async def _connect(self) -> None:
        seconds = self.limits.connect_seconds
        connection, error = None, None
        try:
            async with asyncio.timeout(seconds):
                connection = await self._open_any()
        except TimeoutError:
            error = self._failures.timed_out(seconds)
        except (OSError, UnicodeError) as cause:
            error = self._failures.failed(cause)
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._connecting.discard(task)
        if connection is not None and connection.usable:
            connection.active = time.monotonic()
            connection.expires = connection.active + self._age()
            self._open.add(connection)
            self.released(connection)
        elif len(self._waiting) > len(self._connecting):
            # Whoever waits longest hears of it, not whoever the connection was opened for.
            call, _ = self._waiting.popitem(last=False)
            call.fail(error or self._failures.closed())
        self._grow()

    async def _open_any(self) -> UpstreamConnection:
        """Try every address of the name, each with its share of the time; those that failed lately come last."""
        loop = asyncio.get_running_loop()
        _, host, port, tls, _ = self._origin
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        recently = time.monotonic() - _AVOID_SECONDS
        self._avoided = {at: failed for at, failed in self._avoided.items() if failed > recently}
        found.sort(key=lambda info: str(info[4][0]) in self._avoided)
        deadline = loop.time() + self.limits.connect_seconds
        name = host if tls is not None else None
        for number, (family, _, _, _, address) in enumerate(found):
            at = str(address[0])
            share = (deadline - loop.time()) / (len(found) - number)
            try:
                async with asyncio.timeout(share):
                    _, connection = await loop.create_connection(
                        self._protocol, at, port, family=family, ssl=tls, server_hostname=name
                    )
            except OSError:  # a timeout, too
                self._avoided[at] = time.monotonic()
                if number + 1 == len(found):
                    raise
            else:
                self._avoided.pop(at, None)
                found_one: UpstreamConnection = connection
                return found_one
        raise OSError(f"{host} has no address")

    def _protocol(self) -> Any:  # noqa: ANN401 - an `asyncio.Protocol`, by its methods
        return UpstreamConnection(self)

    def _age(self) -> float:
        """Return how old a connection may become, in seconds: those opened together are not opened again together."""
        return self.limits.max_connection_seconds * (1 - random.uniform(0, _AGE_SPREAD))  # noqa: S311
