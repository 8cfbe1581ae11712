"""The client for code that would rather await: one request, one complete answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.core.errors import UpstreamError
    from trimtab.providers.http.client import UpstreamClient

__all__ = ["Response", "fetch"]


class Response(NamedTuple):
    """A complete answer; header names are in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class _Collector:
    """Puts an answer together."""

    def __init__(self, future: asyncio.Future[Response], on_data: Callable[[bytes], None] | None) -> None:
        self._future = future
        self._listen = on_data
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status = status
        self._headers = dict(headers)

    def on_data(self, data: bytes) -> None:
        self._parts.append(data)
        if self._listen is not None:
            self._listen(data)

    def on_end(self) -> None:
        if not self._future.done():
            self._future.set_result(Response(self._status, self._headers, b"".join(self._parts)))

    def on_failure(self, error: UpstreamError) -> None:
        if not self._future.done():
            self._future.set_exception(error)


async def fetch(
    client: UpstreamClient,
    method: bytes,
    path: bytes,
    *,
    headers: bytes = b"content-type: application/json\r\n",
    body: bytes = b"",
    on_data: Callable[[bytes], None] | None = None,
) -> Response:
    """Return the complete answer, whatever its status; `on_data` sees the body's pieces as they come.

    Raises `UpstreamError`. Cancelling drops the connection.
    """
    future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    call = client.send(method, path, _Collector(future, on_data), headers=headers, body=body)
    try:
        return await future
    finally:
        call.cancel()
