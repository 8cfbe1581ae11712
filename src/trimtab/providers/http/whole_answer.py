"""Answers that need no parser: those that come in one piece under one Content-Length, and the heads of chunked ones.

The lines of a head are judged once and remembered, for an upstream sends most of them again with every answer. What is
not beyond doubt (RFC 9112 §5 and §6: any transfer coding but chunked, any connection option but keep-alive, a content
coding, an interim or bodiless status, a line that is no field) is left to the parser, which either reads it or says
what is wrong.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["WholeAnswers"]

_END: Final = b"\r\n\r\n"
_END_BYTES: Final = len(_END)
_LENGTH: Final = b"content-length"
_CODING: Final = b"transfer-encoding"
_STATUS: Final = re.compile(rb"HTTP/1\.1 (20[0-3])(?: [\t\x20-\x7e\x80-\xff]*)?")
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_DIGITS: Final = re.compile(rb"[0-9]{1,15}")
_INTERPRETED: Final = frozenset(
    {b"transfer-encoding", b"content-encoding", b"connection", b"upgrade", b"trailer", b"te"}
)
_HARMLESS: Final = frozenset(
    {(b"connection", b"keep-alive"), (b"content-encoding", b"identity"), (_CODING, b"chunked")}
)
_MOST_LINES: Final = 1024


class WholeAnswers:
    """Reads whole answers of one upstream."""

    __slots__ = ("_largest_head", "_lines", "_statuses")

    def __init__(self, *, max_head_bytes: int) -> None:
        self._largest_head = max_head_bytes
        self._statuses: dict[bytes, int] = {}
        self._lines: dict[bytes, tuple[bytes, bytes]] = {}

    def read(self, data: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes, bool] | None:
        """Return status, headers (names in lower case), body and `False`, where `data` is one whole answer and no more.

        Of a chunked answer, what follows its head in `data`, still in chunks, and `True`.
        """
        end = data.find(_END, 0, self._largest_head)
        lines = data[:end].split(b"\r\n")
        status = self._statuses.get(lines[0]) or self._status(lines[0])
        if end < 0 or not status:
            return None
        known = self._lines
        headers = []
        framing = None
        for line in lines[1:]:
            field = known.get(line) or self._field(line)
            if field is None:
                return None
            name = field[0]
            if name is _LENGTH or name is _CODING:
                if framing is not None:
                    return None
                framing = field
            headers.append(field)
        if framing is None:
            return None
        body = data[end + _END_BYTES :]
        if framing[0] is _CODING:
            return status, headers, body, True
        return (status, headers, body, False) if len(body) == int(framing[1]) else None

    def _status(self, line: bytes) -> int:
        """Return the status in a status line, 0 where the parser has to look at it."""
        match = _STATUS.fullmatch(line)
        if match is None:
            return 0
        self._make_room(self._statuses)
        self._statuses[line] = status = int(match[1])
        return status

    def _field(self, line: bytes) -> tuple[bytes, bytes] | None:
        """Return name and value of a field line, `None` where the parser has to look at it."""
        match = _FIELD.fullmatch(line)
        if match is None:
            return None
        name, value = match[1].lower(), match[2].rstrip(b"\t ")
        if name in _INTERPRETED and (name, value.lower()) not in _HARMLESS:
            return None
        if name == _LENGTH:
            if not _DIGITS.fullmatch(value):
                return None
            name = _LENGTH  # this very object: that is how it is told from others
        elif name == _CODING:
            name = _CODING  # likewise
        self._make_room(self._lines)
        self._lines[line] = field = (name, value)
        return field

    def _make_room(self, memory: dict[bytes, object] | dict[bytes, int] | dict[bytes, tuple[bytes, bytes]]) -> None:
        if len(memory) >= _MOST_LINES:
            memory.clear()  # what is sent with every answer is back after the next one
