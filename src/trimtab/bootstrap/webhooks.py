"""POSTs to webhooks and gates, over the house's own HTTP client."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import ssl
from urllib.parse import unquote, urlsplit

import msgspec

from trimtab.control.outbound import Reply
from trimtab.core.errors import InputError, UpstreamError
from trimtab.providers.http import ClientLimits, UpstreamClient

__all__ = ["WebhookClient"]

_MAX_BODY_BYTES = 64 * 1024


class WebhookClient:
    """A `control.outbound.Poster`. One connection a call: calls are few, and their targets strangers to each other."""

    def __init__(self, name: str = "the webhook") -> None:
        """`name` is what errors and the log call the other side."""
        self._name = name

    async def post(self, url: str, body: bytes, *, headers: dict[str, str], timeout_seconds: float) -> Reply:
        """Send JSON and return what is answered within the time; see `Poster`. Follows no redirects."""
        target = _read(url)
        lines = {"content-type": "application/json", "user-agent": "trimtab", "connection": "close"} | headers
        if target.credentials:
            lines["authorization"] = "Basic " + base64.b64encode(target.credentials.encode()).decode()
        limits = ClientLimits(
            connect_seconds=timeout_seconds, read_seconds=timeout_seconds, total_seconds=timeout_seconds
        )
        tls = _verifying_context() if target.origin.startswith("https:") else None
        client = UpstreamClient(target.origin, name=self._name, limits=limits, tls=tls)
        sink = _Answer()
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
        call = client.send(b"POST", target.path, sink, headers=head, body=body)
        try:
            return await sink.reply
        finally:
            call.cancel()
            await client.close()


class _Answer:
    """Puts an answer together, up to as much as anybody would read."""

    def __init__(self) -> None:
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._retry_after = ""
        self._body = bytearray()

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status = status
        self._retry_after = dict(headers).get(b"retry-after", b"").decode("ascii", "replace")

    def on_data(self, data: bytes) -> None:
        self._body += data[: _MAX_BODY_BYTES - len(self._body)]
        if len(self._body) == _MAX_BODY_BYTES:
            self.on_end()

    def on_end(self) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            self.reply.set_result(Reply(self._status, bytes(self._body), retry_after=self._retry_after))

    def on_failure(self, error: UpstreamError) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            self.reply.set_exception(error)


class _Target(msgspec.Struct, frozen=True):
    origin: str
    """Scheme, host and port: all that the client's own log may tell."""
    path: bytes
    """With the query."""
    credentials: str
    """`user:password`, or empty."""


def _read(url: str) -> _Target:
    """Return a URL in its parts; raises `InputError`, which does not repeat it."""
    try:
        parts = urlsplit(url)
        user, _, host = parts.netloc.rpartition("@")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if parts.scheme in {"http", "https"} and parts.hostname and path.isascii() and path.isprintable():
            return _Target(f"{parts.scheme}://{host}", path.replace(" ", "%20").encode(), unquote(user))
    except ValueError:
        pass
    raise InputError("malformed_url", "this is not a URL", hint="give scheme, host and path")


@functools.cache
def _verifying_context() -> ssl.SSLContext:
    return ssl.create_default_context()  # reads every certificate of the system: once is enough
