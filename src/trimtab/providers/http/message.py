"""HTTP messages as values: a parsed request, a refusal, and header lines that cannot smuggle another."""

from __future__ import annotations

import http
from typing import NamedTuple

import msgspec

__all__ = ["JSON_CONTENT", "STATUS_LINES", "Refusal", "Request", "header"]

JSON_CONTENT = b"content-type: application/json\r\n"


class _StatusLines(dict[int, bytes]):
    def __missing__(self, status: int) -> bytes:
        return b"HTTP/1.1 %d Unknown\r\n" % status


STATUS_LINES = _StatusLines(
    {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in http.HTTPStatus}
)
"""The first line of an answer by its status."""
_ALLOWED = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
_FORBIDDEN = bytes(set(range(256)) - set(_ALLOWED))


class Refusal(NamedTuple):
    """Why the HTTP layer, or the application's `admit`, will not take a request."""

    status: int
    code: str
    message: str
    headers: bytes = b""
    """Extra header lines for the answer, each ending in CRLF."""


class Request(msgspec.Struct, eq=False, gc=False):
    """One request, its body complete (and empty where it was refused). Header names are lower case."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    path: bytes = b""
    """The target without its query."""
    body: bytes = b""
    keep_alive: bool = True
    http_1_0: bool = False
    expects_continue: bool = False
    refusal: Refusal | None = None
    principal: str = ""
    """Who calls, as the application's `admit` found out."""

    def text_header(self, name: bytes) -> str:
        """Return a header's value, or the empty string; bytes beyond ASCII read as UTF-8, wrong ones replaced."""
        return self.headers.get(name, b"").decode(errors="replace")


def header(name: bytes, value: str | bytes) -> bytes:
    """Return one header line; control characters are dropped from the value, so it stays one line."""
    content = value.encode() if isinstance(value, str) else value
    return b"%s: %s\r\n" % (name, content.translate(None, _FORBIDDEN))
