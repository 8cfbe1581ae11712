"""Chunked bodies (RFC 9112 §7.1) that hold nothing but chunks, read a packet at a time.

The parser calls back for every chunk, which for a stream of tokens is most of what it costs. Here one packet's chunks
are one piece. What is not beyond doubt (extensions, trailers, a size that is no plain number, anything behind the end)
is left to the parser from the chunk on with which it begins.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ChunkedBody"]

_LINE_END: Final = b"\r\n"
_LINE_END_BYTES: Final = len(_LINE_END)
_LAST: Final = b"0\r\n\r\n"
_SIZE: Final = re.compile(rb"[0-9a-fA-F]{1,8}")
_LONGEST_SIZE: Final = 8
_MOST_SIZES: Final = 4096
_sizes: Final[dict[bytes, int]] = {}
"""Sizes that were read before, by how they are written."""


class ChunkedBody:
    """Reads one body. After `feed`, look at `ended`, `malformed` and `unread`."""

    __slots__ = ("_closing", "_left", "_rest", "ended", "malformed", "unread")

    def __init__(self) -> None:
        self._rest = b""
        """What came and is not yet a whole size, or end of a chunk."""
        self._left = 0
        """Bytes that the chunk at hand has still to come."""
        self._closing = False
        """Whether the end of the chunk at hand comes next."""
        self.ended = False
        """Whether the body is complete, and nothing came behind it."""
        self.malformed = False
        """Whether a chunk did not end where it said."""
        self.unread: bytes | None = None
        """What begins a chunk and is for the parser to read; from then on everything is."""

    def feed(self, data: bytes) -> bytes:
        """Return the part of the body that `data` brought."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        pieces: list[bytes] = []
        position, end = 0, len(data)
        if self._left:
            position = min(self._left, end)
            pieces.append(data[:position])
            self._left -= position
            self._closing = not self._left
        while position < end:
            if self._closing:
                if data[position : position + _LINE_END_BYTES] != _LINE_END:
                    self._rest = data[position:]
                    self.malformed = self._rest != b"\r"
                    break
                self._closing = False
                position += _LINE_END_BYTES
                continue
            stop = data.find(_LINE_END, position, position + _LONGEST_SIZE + _LINE_END_BYTES)
            size = _sizes.get(data[position:stop]) or _read_size(data[position:stop])
            if stop < 0 or not size:
                self._finish(data[position:], complete=stop >= 0)
                break
            start = stop + _LINE_END_BYTES
            position = start + size
            pieces.append(data[start:position])
            if data[position : position + _LINE_END_BYTES] == _LINE_END:
                position += _LINE_END_BYTES
            else:
                self._left = max(0, position - end)
                self._closing = not self._left
        return b"".join(pieces)

    def _finish(self, data: bytes, *, complete: bool) -> None:
        """Take what begins no chunk: the end, the beginning of a size, or what the parser has to look at."""
        if data == _LAST:
            self.ended = True
        elif _LAST.startswith(data) or (not complete and _SIZE.fullmatch(data.removesuffix(b"\r"))):
            self._rest = data
        else:
            self.unread = data


def _read_size(digits: bytes) -> int:
    """Return a chunk's size; 0 for the last chunk's, and for what is none."""
    if not _SIZE.fullmatch(digits):
        return 0
    if len(_sizes) >= _MOST_SIZES:
        _sizes.clear()
    _sizes[digits] = size = int(digits, 16)
    return size
