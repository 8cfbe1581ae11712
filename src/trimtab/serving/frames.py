"""The journal's frames: a header that can be skipped by, and a checksummed zstd payload of events.

The payload is the records of one half of a hot buffer, byte for byte.

    magic 4s | version u8 | flags u8 | reserved u16 | payload length u32 | payload CRC-32 u32 | events u32
    | first sequence u64 | oldest subject ms u64 | newest subject ms u64 | header CRC-32 u32          (little-endian)

A subject is the generation an event is about (its id carries its time), so one generation and everything said about it
later can be found by reading headers alone. Sequence numbers count a process's events from 0; readers use them to skip
what they have seen.
"""

from __future__ import annotations

import errno
import struct
import zlib

import msgspec

from trimtab.serving.hot_buffer import records_of

__all__ = [
    "HEADER_SIZE",
    "MAGIC",
    "FrameHeader",
    "encode_frame",
    "is_sound",
    "parse_header",
    "payload_records",
    "unpacked_bytes",
]

MAGIC = b"TTJ1"
_HEADER = struct.Struct("<4sBBHIIIQQQ")
_CRC = struct.Struct("<I")
HEADER_SIZE = _HEADER.size + _CRC.size
_VERSION = 2
_LEVEL = 1
MAX_PAYLOAD = 256 * 1024 * 1024


class FrameHeader(msgspec.Struct, frozen=True, gc=False):
    """What is known of a frame without decompressing it."""

    payload_length: int
    payload_crc: int
    events: int
    first_sequence: int
    oldest_ms: int
    newest_ms: int


def encode_frame(records: bytes | memoryview, *, events: int, first_sequence: int, span_ms: tuple[int, int]) -> bytes:
    """Return the frame of `events` records as a hot buffer holds them; `span_ms` is the oldest and newest subject.

    Raises `OSError` where there is no memory to compress them in.
    """
    import zstandard  # late: 12 ms that only the flusher pays

    try:
        payload = zstandard.ZstdCompressor(level=_LEVEL).compress(records)
    except zstandard.ZstdError as error:
        raise OSError(errno.ENOMEM, f"events cannot be compressed: {error}") from error
    head = _HEADER.pack(
        MAGIC, _VERSION, 0, 0, len(payload), zlib.crc32(payload), events, first_sequence, span_ms[0], span_ms[1]
    )
    return head + _CRC.pack(zlib.crc32(head)) + payload


def parse_header(data: bytes | memoryview) -> FrameHeader | None:
    """Return the header at the start of `data`, or `None` where there is no whole and sound one."""
    if len(data) < HEADER_SIZE:
        return None
    magic, version, _, _, length, crc, events, first, oldest, newest = _HEADER.unpack_from(data)
    (check,) = _CRC.unpack_from(data, _HEADER.size)
    if magic != MAGIC or version != _VERSION or length > MAX_PAYLOAD or zlib.crc32(data[: _HEADER.size]) != check:
        return None
    return FrameHeader(length, crc, events, first, oldest, newest)


def is_sound(header: FrameHeader, payload: bytes | memoryview) -> bool:
    """Return whether a payload is what its header promises."""
    return len(payload) == header.payload_length and zlib.crc32(payload) == header.payload_crc


def unpacked_bytes(payload: bytes | memoryview) -> int:
    """Return how large the records in a payload are, by its own word; 0 where it says nothing."""
    import zstandard

    try:
        return max(0, zstandard.frame_content_size(payload))
    except zstandard.ZstdError:
        return 0


def payload_records(header: FrameHeader, payload: bytes | memoryview) -> list[memoryview] | None:
    """Return the records of a frame, or `None` where the payload is not what the header promises."""
    import zstandard

    if not is_sound(header, payload):
        return None
    try:
        return records_of(zstandard.ZstdDecompressor().decompress(payload))
    except zstandard.ZstdError:
        return None
