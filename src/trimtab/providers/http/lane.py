"""A short way for requests whose head was read before: past the application's `handle`, for whoever needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

from trimtab.providers.http.exchange import Wire

if TYPE_CHECKING:
    from trimtab.providers.http.message import Request

__all__ = ["Answering", "Lane", "Line"]


class Answering(Protocol):
    """What a connection asks of whatever answers a request on it: an `Exchange`, or what a lane puts in its place."""

    @property
    def on_pause(self) -> Callable[[], None] | None: ...
    @property
    def on_resume(self) -> Callable[[], None] | None: ...
    @property
    def request(self) -> Request: ...
    @property
    def started(self) -> bool: ...
    def abort(self) -> None: ...


class Line(Wire, Protocol):
    """A connection, as a lane sees it."""

    exchange: Answering | None
    """What answers the request whose turn it is."""

    def reply(self, answer: bytes) -> None:
        """Send a whole answer, and be ready for the next request."""
        ...


Lane: TypeAlias = Callable[[Line, bytes, Mapping[bytes, bytes]], bool]
"""Takes the body of a request whose head is known, and its own values of the headers that differ, on a connection that
waits for one; `False`: the usual way, please.

Where it takes it, it sets the connection's `exchange` and answers with `reply`.
"""
