"""Walking the frames of one segment: in order, backwards, or straight to those about one moment.

Files are read, not mapped: their writer may cut them back, and a mapped page that is gone kills the reader.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import msgspec

from trimtab.serving.frames import HEADER_SIZE, MAGIC, FrameHeader, parse_header, payload_records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Frame", "RawFrame", "frames_about", "frames_backwards", "frames_from", "raw_frames"]

_SKIP = struct.Struct("<4s4xI8x8xQQ")
"""Of a header: magic, payload length, oldest and newest subject."""
_WINDOW = 1024 * 1024


class Frame(msgspec.Struct, frozen=True):
    """A frame and where it ends; a damaged one has no records."""

    records: list[memoryview] | None
    end: int
    first_sequence: int = 0
    events: int = 0


class RawFrame(msgspec.Struct, frozen=True):
    """A frame as it stands in the file; what is no frame has no header."""

    header: FrameHeader | None
    data: bytes
    begin: int
    end: int


def frames_from(path: Path, start: int, *, growing: bool) -> Iterator[Frame]:
    """Yield the frames from `start`; damaged ones have no records. Raises `OSError`.

    Where the segment is `growing`, an incomplete frame at its end is still being written and is not yielded.
    """
    for raw in raw_frames(path, start, growing=growing):
        if raw.header is None:
            yield Frame(None, raw.end)
        else:
            records = payload_records(raw.header, memoryview(raw.data)[HEADER_SIZE:])
            yield Frame(records, raw.end, raw.header.first_sequence, raw.header.events)


def raw_frames(path: Path, start: int, *, growing: bool) -> Iterator[RawFrame]:
    """Yield the frames from `start` as they stand in the file; see `frames_from`. Payloads are not looked at."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        position = start
        while position < size:
            file.seek(position)
            head = file.read(HEADER_SIZE)
            header = parse_header(head)
            end = position + HEADER_SIZE + header.payload_length if header else size + 1
            if header is None or end > size:
                following = _next_frame(file.fileno(), position + 1)
                if following is None and growing:
                    return
                begin, position = position, size if following is None else following
                yield RawFrame(None, b"", begin, position)
                continue
            yield RawFrame(header, head + file.read(header.payload_length), position, end)
            position = end


def frames_about(path: Path, at_ms: int) -> Iterator[list[memoryview]]:
    """Yield the records of the frames whose subjects' time span covers `at_ms`. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for position, header in _headers_within(descriptor, at_ms, at_ms):
            yield _records_at(descriptor, position, header)
    finally:
        os.close(descriptor)


def frames_backwards(path: Path, since_ms: int, until_ms: int) -> Iterator[list[memoryview]]:
    """Yield the records of the frames whose subjects' time span meets [since, until], last frame first.

    The headers are walked before the first frame is read; who stops early decompresses no more. Raises `OSError`.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for position, header in reversed(list(_headers_within(descriptor, since_ms, until_ms))):
            yield _records_at(descriptor, position, header)
    finally:
        os.close(descriptor)


def _records_at(descriptor: int, position: int, header: FrameHeader) -> list[memoryview]:
    """Return the records of a frame, none where it is damaged."""
    return payload_records(header, os.pread(descriptor, header.payload_length, position + HEADER_SIZE)) or []


def _headers_within(descriptor: int, since_ms: int, until_ms: int) -> Iterator[tuple[int, FrameHeader]]:
    """Yield where the frames stand whose subjects' time span meets [since, until], and their headers.

    Other frames cost a look at their header, not even its checksum: should it lead astray, the next sound frame is
    looked for from the last header that was believed.
    """
    position = believed = base = 0
    window = b""
    last = -1
    skip = _SKIP.unpack_from
    while True:
        if position > last:
            base, window = position, os.pread(descriptor, _WINDOW, position)
            last = base + len(window) - HEADER_SIZE
        if position <= last:
            magic, length, oldest, newest = skip(window, position - base)
            if magic == MAGIC and (newest < since_ms or oldest > until_ms):
                believed = position
                position += HEADER_SIZE + length
                continue
            header = parse_header(window[position - base : position - base + HEADER_SIZE])
            if header is not None:
                yield position, header
                position += HEADER_SIZE + length
                believed = position
                continue
        if position == os.fstat(descriptor).st_size:
            return
        following = _next_frame(descriptor, believed + 1)
        if following is None:
            return
        position = believed = following
        last = -1


def _next_frame(descriptor: int, start: int) -> int | None:
    """Return where the next sound header begins."""
    data = os.pread(descriptor, max(0, os.fstat(descriptor).st_size - start), start)
    position = data.find(MAGIC)
    while position >= 0:
        if parse_header(data[position : position + HEADER_SIZE]) is not None:
            return start + position
        position = data.find(MAGIC, position + 1)
    return None
