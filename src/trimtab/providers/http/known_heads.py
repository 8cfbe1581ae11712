"""Heads of requests that were read before: clients send the same one again and again, but for the body's length.

Reading a head is most of what a small request costs. One that has been parsed, judged and found plain is known from
then on by its bytes: the same bytes mean the same request. What may differ stands on lines of its own: the digits of
Content-Length, which say how long the body is, as they did to the parser; and the values of the few headers that are
others with every request or user (`traceparent`, `x-trimtab-unit`), where they are plain.

Known are only heads that leave nothing to interpret: HTTP/1.1, one Content-Length, no Transfer-Encoding, Expect or
Upgrade, nothing refused, a connection that stays open; and only where head and body arrive in one piece. All else goes
through the parser, and so does whatever a known head is followed by.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from trimtab.providers.http.message import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trimtab.providers.http.lane import Lane

__all__ = ["KnownHead", "KnownHeads"]

_MOST_HEADS: Final = 1024
_LARGEST_HEAD: Final = 4096
"""Bytes. Larger ones carry what changes from request to request, mostly."""
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"ength: "
"""The end of Content-Length, as all clients spell it that differ in case."""
_LENGTH_BYTES: Final = len(_LENGTH)
_LINE: Final = b"\ncontent-length: "
_LINE_BYTES: Final = len(_LINE)
_MOST_DIGITS: Final = 15
_TRACE: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?=\r\n)")
"""W3C Trace Context, level 1, §3.2.2."""
_UNIT: Final = re.compile(rb"[!-~]{1,512}(?=\r\n)")
_VARYING: Final = (
    (b"\ntraceparent: ", b"traceparent", _TRACE),
    (b"\nTraceparent: ", b"traceparent", _TRACE),
    (b"\nx-trimtab-unit: ", b"x-trimtab-unit", _UNIT),
    (b"\nX-Trimtab-Unit: ", b"x-trimtab-unit", _UNIT),
    (b"\nX-trimtab-unit: ", b"x-trimtab-unit", _UNIT),
)
"""Of headers whose values may differ: how their lines begin, as clients spell it, the name, and what is a plain value.

Whatever else is sent for one is read, and judged, in full each time.
"""
_VARYING_NAMES: Final = frozenset(name for _, name, _ in _VARYING)
_NOTHING: Final[dict[bytes, bytes]] = {}
_INTERPRETED: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


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

    def request(self, body: bytes, varied: Mapping[bytes, bytes] = _NOTHING) -> Request:
        """Return a request with this head. `varied`: its own values of the headers that differ.

        The headers are shared by all of them, and not to be changed; their `content-length` is that of the first.
        """
        first = self._first
        headers = {**first.headers, **varied} if varied else first.headers
        return Request(first.method, first.target, headers, first.path, body)


class KnownHeads:
    """The heads one server knows."""

    __slots__ = ("_heads", "_lane_of", "_largest_body")

    def __init__(self, *, max_body_bytes: int, lane_of: Callable[[Request], Lane | None] | None = None) -> None:
        """Leave bodies larger than that to the parser, which refuses them. `lane_of`: what takes requests like one."""
        self._largest_body = max_body_bytes
        self._lane_of = lane_of
        self._heads: dict[bytes, KnownHead] = {}

    def read(self, data: bytes) -> tuple[KnownHead, bytes, Mapping[bytes, bytes]] | None:
        """Return head and body of the request that `data` is, no more and no less, where its head is known.

        Beside them: its own values of the headers that differ. To be asked only where a request may begin, and nothing
        of it has been read.
        """
        end = data.find(_END)
        if end < 0:
            return None
        cut = _without_varying(data, end)
        if cut is None:
            return None
        data, end, varied = cut
        start = data.find(_LENGTH, 0, end) + _LENGTH_BYTES
        stop = data.find(b"\r", start, end + 1)
        if stop < start:
            return None
        digits = data[start:stop]
        if not digits.isdigit() or len(digits) > _MOST_DIGITS:
            return None
        head = self._heads.get(data[:start] + data[stop:end])
        body = data[end + 4 :]
        if head is None or len(body) != int(digits) or len(body) > self._largest_body:
            return None
        return head, body, varied

    def learn(self, data: bytes, request: Request) -> None:
        """Know a request's head from now on, where it leaves nothing to interpret and `data` is all of the request."""
        headers = request.headers
        cut = _without_varying(data, data.find(_END))
        if cut is None:
            return
        data, end, varied = cut
        if varied != {name: headers[name] for name in _VARYING_NAMES.intersection(headers)}:
            return  # one that is there twice, or is spelled as nobody spells it
        headers = {**headers, **dict.fromkeys(varied, b"")}
        start = data.find(_LENGTH, 0, end) + _LENGTH_BYTES
        stop = data.find(b"\r", start, end + 1)
        if stop < start:
            return
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


def _without_varying(data: bytes, end: int) -> tuple[bytes, int, Mapping[bytes, bytes]] | None:
    """Return a request without what may differ, where its head ends, and the values; `None` if one is not plain."""
    varied = _NOTHING
    for mark, name, plain in _VARYING:
        at = data.find(mark, 0, end) + len(mark)
        if at >= len(mark):
            value = plain.match(data, at)
            if value is None:
                return None
            data, end = data[:at] + data[value.end() :], end - len(value[0])
            varied = {**varied, name: value[0]}
    return data, end, varied
