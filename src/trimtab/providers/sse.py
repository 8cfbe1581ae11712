"""Server-sent events out of bytes in any fragmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.core.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["EventSplitter", "StreamBrokenError", "data_of", "event_bytes", "said_by"]

_EMPTY_LINE = b"\n\n"
_MAX_EVENT_BYTES = 16 * 1024 * 1024


class StreamBrokenError(UpstreamError):
    """An event is none of its format. Those before it, in the same packet, are still the caller's: `said`."""

    def __init__(self, error: UpstreamError, said: bytes) -> None:
        super().__init__(error.code, error.message, param=error.param, hint=error.hint)
        self.said = said


class EventSplitter:
    """Keeps what is not yet a whole event (WHATWG HTML, section 9.2: an event ends with an empty line)."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the events that are complete now, without their empty lines; raises as `block`."""
        block = self.block(data)
        return block[: -len(_EMPTY_LINE)].split(_EMPTY_LINE) if block else []

    def block(self, data: bytes) -> bytes:
        """Return the events that are complete now, each with its empty line.

        Raises `UpstreamError` (`upstream_malformed`) for an event beyond 16 MiB.
        """
        buffer = self._buffer + data if self._buffer else data
        if b"\r" in buffer:
            buffer = buffer.replace(b"\r\n", b"\n")
        end = buffer.rfind(_EMPTY_LINE) + len(_EMPTY_LINE)
        if end < len(_EMPTY_LINE):
            if len(buffer) > _MAX_EVENT_BYTES:
                raise UpstreamError("upstream_malformed", f"an event of the stream exceeds {_MAX_EVENT_BYTES} bytes")
            self._buffer = buffer
            return b""
        self._buffer = buffer[end:]
        return buffer[:end]


def said_by(events: Iterable[bytes], take: Callable[[bytes], bytes | None], end: bytes = b"") -> bytes:
    """Return what `take` makes of each event, `end` behind each that comes to anything.

    Raises `StreamBrokenError` where `take` raises `UpstreamError`.
    """
    said: list[bytes] = []
    for event in events:
        try:
            piece = take(event)
        except UpstreamError as error:
            raise StreamBrokenError(error, b"".join(said)) from error
        if piece:
            said.append(piece + end)
    return b"".join(said)


def data_of(event: bytes) -> bytes | None:
    """Return the data of one event, `None` where it has none (comments: the provider's keep-alive)."""
    name, found, data = event.partition(b"\ndata: ")
    if found and name.startswith(b"event:") and b"\n" not in name and b"\n" not in data:
        return data
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def event_bytes(name: bytes, data: bytes) -> bytes:
    """Return one event of a stream of messages."""
    return b"event: %b\ndata: %b\n\n" % (name, data)
