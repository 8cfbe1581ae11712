"""What a machine ships of its journals: frames as they stand in the segments, and where they stood.

The receiver says where a process's next stretch must begin; a stretch repeats that (`after`), so that one which comes
twice, too late or to a receiver that knows less is told from the one that is due, whatever happened to either side.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import InputError
from trimtab.serving.frames import HEADER_SIZE, FrameHeader, is_sound, parse_header, unpacked_bytes
from trimtab.serving.journal_folder import HOT_FILE, segments
from trimtab.serving.salvage import JournalPosition
from trimtab.serving.segment_reader import raw_frames

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Receipt", "Shipment", "ShippedFrame", "Stretch", "check_process", "frames_in", "read_stretch"]

_SEGMENT = re.compile(r"[0-9]{8}\.seg")
_FARTHEST = 1 << 62
"""Offsets and sequence numbers stay below: stores keep them in 64 bits."""
_MOST_BYTES = 64 * 1024 * 1024
"""Of the records of one frame; a process's buffer holds far less."""
_PROCESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of one process that follow each other in one segment."""

    process: str
    after: JournalPosition
    """Where the receiver said that it stands."""
    segment: str
    offset: int
    """Where the first frame begins in the segment."""
    frames: bytes
    damaged: int = 0
    """Stretches of the journal before it that are no frames: what was in them is lost."""


class Shipment(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    machine: str
    ask: list[str] = []
    """Processes whose positions are wanted."""
    stretches: list[Stretch] = []


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. A position is what was taken in, not what is safe: that is `judged`."""

    positions: dict[str, JournalPosition]
    """By process, of those shipped and asked for: where the next stretch must begin."""
    judged: dict[str, JournalPosition] = {}
    """By process, of those asked for: what was committed together with the evidence it became."""
    local: list[str] = []
    """Processes of the receiver's own machine: it reads their journals itself."""
    full: bool = False
    """Something was not taken in for want of room: the controller does not keep up. Try again in a while."""


class ShippedFrame(msgspec.Struct, frozen=True):
    """A sound frame, and the position after it."""

    header: FrameHeader
    payload: memoryview
    end: JournalPosition


def read_stretch(folder: Path, position: JournalPosition, *, limit_bytes: int) -> Stretch | None:
    """Return the next frames of a process after `position`; `None` where there is nothing yet.

    There are none where only damage follows, which is to be passed. They end with their segment, at damage, or when
    they are `limit_bytes` long. Raises `OSError`.
    """
    is_open = (folder / HOT_FILE).exists()  # looked at first: once it is gone, the segments are complete
    paths = [path for path in segments(folder) if path.name >= position.segment]
    damaged = 0
    reached = position.segment, position.offset
    for path in paths:
        found: list[bytes] = []
        begin = size = 0
        start = position.offset if path.name == position.segment else 0
        for raw in raw_frames(path, start, growing=is_open and path is paths[-1]):
            sound = raw.header is not None and is_sound(raw.header, memoryview(raw.data)[HEADER_SIZE:])
            if not sound:
                if found:
                    break
                damaged += 1
                reached = path.name, raw.end
                continue
            begin = begin if found else raw.begin
            found.append(raw.data)
            size += len(raw.data)
            if size >= limit_bytes:
                break
        if found:
            return Stretch(
                process=folder.name,
                after=position,
                segment=path.name,
                offset=begin,
                frames=b"".join(found),
                damaged=damaged,
            )
    if not damaged:
        return None
    return Stretch(
        process=folder.name, after=position, segment=reached[0], offset=reached[1], frames=b"", damaged=damaged
    )


def frames_in(stretch: Stretch) -> list[ShippedFrame]:
    """Return the frames of a stretch, at least one: an empty one where it holds none.

    Every checksum holds, else it raises `InputError` (`damaged_frames`); so it does (`invalid_stretch`) for what no
    process of ours would write.
    """
    if not _SEGMENT.fullmatch(stretch.segment) or not 0 <= stretch.offset < _FARTHEST:
        raise InputError("invalid_stretch", "this is no place in a journal", param="stretches")
    data = memoryview(stretch.frames)
    found: list[ShippedFrame] = []
    position, sequence = 0, stretch.after.sequence
    while position < len(data):
        header = parse_header(data[position : position + HEADER_SIZE])
        payload = data[position + HEADER_SIZE :][: header.payload_length if header else 0]
        if header is None or not is_sound(header, payload):
            raise InputError(
                "damaged_frames",
                f"byte {position} of a stretch of {stretch.process} is no sound frame",
                param="stretches",
                hint="ship it again",
            )
        position += HEADER_SIZE + len(payload)
        sequence = max(sequence, header.first_sequence + header.events)
        if sequence >= _FARTHEST or unpacked_bytes(payload) > _MOST_BYTES:
            raise InputError("invalid_stretch", "no process writes such a frame", param="stretches")
        end = JournalPosition(stretch.segment, stretch.offset + position, sequence)
        found.append(ShippedFrame(header, payload, end))
    if not found:
        header = FrameHeader(0, 0, 0, sequence, 0, 0)
        found = [ShippedFrame(header, data, JournalPosition(stretch.segment, stretch.offset, sequence))]
    return found


def check_process(name: str) -> None:
    """Raise `InputError` unless a name can be that of a process: it becomes part of paths."""
    if not _PROCESS.fullmatch(name):
        raise InputError("invalid_process", "this is no name of a process", param="process")
