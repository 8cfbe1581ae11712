"""What a server serves, what it allows its callers, and what its connections see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from trimtab.providers.http.exchange import Exchange
    from trimtab.providers.http.message import Refusal, Request

__all__ = ["Application", "ServerLimits"]


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one caller may take."""

    max_body_bytes: int = 10 * 1024 * 1024
    max_head_bytes: int = 64 * 1024
    """Request line and headers together."""
    max_headers: int = 200
    request_seconds: float = 60.0
    """From the first byte of a request to its last: a slow sender is answered with 408."""
    idle_seconds: float = 75.0
    """How long a connection may wait between requests."""
    linger_seconds: float = 2.0
    """How long what follows a refusal is read and dropped, so that the caller gets to see the answer."""
    write_seconds: float = 60.0
    """How long a caller that reads nothing of its answer is waited for; any progress starts it anew."""
    max_pipelined: int = 32
    """Requests read ahead of the one being answered."""
    max_pipelined_bytes: int = 1024 * 1024
    """Nothing more is read ahead once the bodies of those requests exceed this; the last one may do so by its own."""


class Application(Protocol):
    """What a server serves. Called on the event loop; must not block and must not raise."""

    def admit(self, request: Request) -> Refusal | None:
        """Judge a request by its head, before any of its body is read."""
        ...

    def handle(self, exchange: Exchange) -> None:
        """Answer `exchange.request`, now or later."""
        ...

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        """Answer a request that `admit` or the HTTP layer refused."""
        ...
