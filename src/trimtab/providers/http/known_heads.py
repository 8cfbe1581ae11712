"""Heads of requests that were read before: clients send the same one again and again, but for the body's length.

Reading a head is most of what a small request costs. One that has been parsed, judged and found plain is known from
then on by its bytes: the same bytes mean the same request. Two things may differ, each on a line of its own: the digits
of Content-Length, which say how long the body is, as they did to the parser; and the value of `traceparent`, which is
another one for every request of whoever traces.

Known are only heads that leave nothing to interpret: HTTP/1.1, one Content-Length, no Transfer-Encoding, Expect or
Upgrade, nothing refused, a connection that stays open; and only where head and body arrive in one piece. All else goes
through the parser, and so does whatever a known head is followed by.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trimtab.providers.http.message import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.providers.http.lane import Lane

__all__ = ["KnownHead", "KnownHeads"]

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
_TRACE = b"raceparent: "
_TRACE_BYTES = len(_TRACE)
_TRACE_LINE = b"\ntraceparent: "
_TRACE_VALUE = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?=\r\n)")
"""W3C Trace Context, level 1, §3.2.2. Whatever else is sent for one is read, and judged, in full each time."""
_INTERPRETED = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


class KnownHead:
    """A head that was read before."""

    __slots__ = ("_first", "before", "behind", "lane")

    def __init__(self, first: Request, before: bytes, behind: bytes, lane: Lane | None) -> None:
        """`first`: the request that it was read of."""
        self._first = first
        self.before = before
        """Its bytes up to the digits of Content-Length."""
        self.behind = behind
        """Its bytes from there to its end."""
        self.lane = lane
        """What takes its requests the short way."""

    def request(self, body: bytes, trace: bytes = b"") -> Request:
        """Return a request with this head. `trace`: the value of its `traceparent`, where it has one.

        The headers are shared by all of them, and not to be changed; their `content-length` is that of the first.
        """
        first = self._first
        headers = {**first.headers, b"traceparent": trace} if trace else first.headers
        return Request(first.method, first.target, headers, first.path, body)


class KnownHeads:
    """The heads one server knows."""

    __slots__ = ("_heads", "_lane_of", "_largest_body")

    def __init__(self, *, max_body_bytes: int, lane_of: Callable[[Request], Lane | None] | None = None) -> None:
        """Leave bodies larger than that to the parser, which refuses them. `lane_of`: what takes requests like one."""
        self._largest_body = max_body_bytes
        self._lane_of = lane_of
        self._heads: dict[bytes, KnownHead] = {}

    def read(self, data: bytes) -> tuple[KnownHead, bytes, bytes] | None:
        """Return head, body and `traceparent` of the request that `data` is, no more and no less, if its head is known.

        The last is empty where the head has none. To be asked only where a request may begin, and nothing of it has
        been read.
        """
        end = data.find(_END)
        if end < 0:
            return None
        at, trace = data.find(_TRACE, 0, end), b""
        if at >= 0:
            data, trace = _without_trace(data, at)
            if not trace:
                return None
            end -= len(trace)
        start = data.find(_LENGTH, 0, end) + _LENGTH_BYTES
        stop = data.find(b"\r", start, end + 1)
        digits = data[start:stop]
        if not digits.isdigit() or len(digits) > _MOST_DIGITS:
            return None
        head = self._heads.get(data[:start] + data[stop:end])
        body = data[end + 4 :]
        if head is None or len(body) != int(digits) or len(body) > self._largest_body:
            return None
        return head, body, trace

    def learn(self, data: bytes, request: Request) -> None:
        """Know a request's head from now on, where it leaves nothing to interpret and `data` is all of the request."""
        headers = request.headers
        end = data.find(_END)
        at, trace = data.find(_TRACE, 0, end), b""
        if at >= 0:
            line = data[at - 2 : at + _TRACE_BYTES]
            data, trace = _without_trace(data, at)
            if not trace or line.lower() != _TRACE_LINE or headers.get(b"traceparent") != trace:
                return
            end -= len(trace)
            headers = {**headers, b"traceparent": b""}
        elif b"traceparent" in headers:
            return  # spelled as nobody spells it
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
            before, behind = data[:start], data[stop : end + len(_END)]
            lane = self._lane_of(request) if self._lane_of is not None else None
            first = Request(request.method, request.target, headers, request.path)
            self._heads[before + data[stop:end]] = KnownHead(first, before, behind, lane)


def _without_trace(data: bytes, at: int) -> tuple[bytes, bytes]:
    """Return a request without the value of the header whose name ends at `at`, and that value; empty if it is none."""
    start = at + _TRACE_BYTES
    value = _TRACE_VALUE.match(data, start)
    return (data[:start] + data[value.end() :], value[0]) if value else (data, b"")
