"""Heads of requests that were read before: clients send the same one again and again, but for the body's length.

Reading a head is most of what a small request costs. One that has been parsed, judged and found plain is known from
then on by its bytes: the same bytes mean the same request. Only the digits of Content-Length may differ, on a line of
its own; where they do, they say how long the body is, as they did to the parser.

Known are only heads that leave nothing to interpret: HTTP/1.1, one Content-Length, no Transfer-Encoding, Expect or
Upgrade, nothing refused, a connection that stays open; and only where head and body arrive in one piece. All else goes
through the parser, and so does whatever a known head is followed by.
"""

from __future__ import annotations

from typing import NamedTuple

from trimtab.providers.http.message import Request

__all__ = ["KnownHeads"]

_MOST_HEADS = 1024
_LARGEST_HEAD = 4096
"""Bytes. Larger ones carry what changes from request to request, mostly."""
_END = b"\r\n\r\n"
_LENGTH = b"ength: "
"""The end of Content-Length, as all clients spell it that differ in case."""
_LENGTH_BYTES = len(_LENGTH)
_LINE = b"\ncontent-length: "
_LINE_BYTES = len(_LINE)
_MOST_DIGITS = 15
_INTERPRETED = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


class _Head(NamedTuple):
    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    """Shared by all requests of this head, and not to be changed; its `content-length` is that of the first."""
    path: bytes


class KnownHeads:
    """The heads one server knows."""

    __slots__ = ("_heads", "_largest_body")

    def __init__(self, *, max_body_bytes: int) -> None:
        """Leave bodies larger than that to the parser, which refuses them."""
        self._largest_body = max_body_bytes
        self._heads: dict[bytes, _Head] = {}

    def read(self, data: bytes) -> Request | None:
        """Return the request that `data` is, no more and no less, where its head is known.

        To be asked only where a request may begin, and nothing of it has been read.
        """
        end = data.find(_END)
        start = data.find(_LENGTH, 0, end) + _LENGTH_BYTES
        stop = data.find(b"\r", start, end + 1)
        digits = data[start:stop]
        if not digits.isdigit() or len(digits) > _MOST_DIGITS:
            return None
        head = self._heads.get(data[:start] + data[stop:end])
        body = data[end + 4 :]
        if head is None or len(body) != int(digits) or len(body) > self._largest_body:
            return None
        return Request(head.method, head.target, head.headers, head.path, body)

    def learn(self, data: bytes, request: Request) -> None:
        """Know a request's head from now on, where it leaves nothing to interpret and `data` is all of the request."""
        headers = request.headers
        end = data.find(_END)
        start = data.find(_LENGTH, 0, end) + _LENGTH_BYTES
        stop = data.find(b"\r", start, end + 1)
        digits = data[start:stop]
        if (
            _LINE_BYTES < start < end <= _LARGEST_HEAD
            and data[start - _LINE_BYTES : start].lower() == _LINE
            and digits.isdigit()
            and digits == headers.get(b"content-length")
            and len(data) == end + len(_END) + int(digits)
            and request.keep_alive
            and not (request.http_1_0 or request.expects_continue or request.refusal)
            and _INTERPRETED.isdisjoint(headers)
        ):
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads[data[:start] + data[stop:end]] = _Head(request.method, request.target, headers, request.path)
