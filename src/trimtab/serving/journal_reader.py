"""Reading journals: tail one process, salvage the dead, find one generation by its id."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.ids import id_time_ms
from trimtab.events import Event, Generation, decode_event
from trimtab.events.model import subject_id
from trimtab.serving.frames import (
    HEADER_SIZE,
    MAGIC,
    FrameHeader,
    encode_frame,
    parse_header,
    payload_events,
    split_records,
)
from trimtab.serving.hot_buffer import HotBuffer
from trimtab.serving.journal import HOT_FILE, LOCK_FILE, append_frame, segment_path, segments

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["JournalPosition", "ReadResult", "find", "prune", "read_journal", "salvage"]

_SCAN = 1024 * 1024


class JournalPosition(msgspec.Struct, frozen=True):
    """How far a process's journal was read. Events below `sequence` are done."""

    segment: str = ""
    offset: int = 0
    sequence: int = 0


class ReadResult(msgspec.Struct, frozen=True):
    """New events of one process, the position after them, and how many frames were damaged on the way."""

    events: list[Event]
    position: JournalPosition
    damaged: int


def read_journal(folder: Path, position: JournalPosition, *, limit: int = 20_000) -> ReadResult:
    """Return the events after `position`, in order, at most about `limit` (whole frames).

    A frame not yet complete at the end of the newest segment is waited for; a damaged one in the middle is skipped,
    counted, and reading goes on at the next sound frame. Events seen before (a salvage may repeat) are left out.
    """
    events: list[Event] = []
    damaged = 0
    sequence = position.sequence
    name, offset = position.segment, position.offset
    paths = [path for path in segments(folder) if path.name >= name]
    for path in paths:
        start = offset if path.name == name else 0
        name, offset = path.name, start
        for frame in _frames(path, start, last=path is paths[-1]):
            offset = frame.end
            if frame.header is None or frame.records is None:
                damaged += 1
                continue
            skip = max(0, sequence - frame.header.first_sequence)
            for index, record in enumerate(frame.records):
                if index >= skip:
                    damaged += _append_decoded(events, record)
            sequence = max(sequence, frame.header.first_sequence + frame.header.events)
            if len(events) >= limit:
                return ReadResult(events, JournalPosition(name, offset, sequence), damaged)
    return ReadResult(events, JournalPosition(name, offset, sequence), damaged)


def salvage(journals: Path) -> list[str]:
    """Move what killed processes left in their hot buffers into their segments; returns their process ids.

    Safe to repeat and to be killed in: the frame is fsynced before the buffer goes, and readers drop repeats by
    sequence. A live owner holds its lock, so it is never touched.
    """
    saved = []
    for folder in _processes(journals):
        if not (folder / HOT_FILE).exists():
            continue
        with _ownership(folder) as owned:
            if owned and (folder / HOT_FILE).exists():
                _salvage_one(folder)
                saved.append(folder.name)
    return saved


def find(journals: Path, generation: str) -> list[Event]:
    """Return a generation, what mirrors it, and every score and feedback about it, oldest first.

    Reads frame headers and decompresses only frames whose subjects' time span covers the id's time. Raises
    `InputError` where `generation` is not an id.
    """
    at_ms = id_time_ms(generation)
    found: list[Event] = []
    salvage(journals)
    for folder in _processes(journals):
        for path in segments(folder):
            found.extend(event for event in _matching(path, at_ms) if _is_about(event, generation))
    unique = {event.id: event for event in found}
    return sorted(unique.values(), key=lambda event: event.at_ms)


def prune(journals: Path, *, older_than_ms: int) -> int:
    """Delete the journals of dead processes whose newest write is older; returns how many."""
    removed = 0
    salvage(journals)
    for folder in _processes(journals):
        files = segments(folder)
        newest_ms = max(path.stat().st_mtime_ns // 1_000_000 for path in [folder, *files])
        with _ownership(folder) as owned:
            if owned and newest_ms < older_than_ms:
                for path in [*files, folder / LOCK_FILE]:
                    path.unlink(missing_ok=True)
                folder.rmdir()
                removed += 1
    return removed


class _Frame(msgspec.Struct, frozen=True):
    header: FrameHeader | None
    records: Iterator[memoryview] | None
    end: int


def _frames(path: Path, start: int, *, last: bool) -> Iterator[_Frame]:
    """Yield the frames from `start`; damaged ones have no records. Stops before an incomplete tail of the last."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        position = start
        while position < size:
            file.seek(position)
            header = parse_header(file.read(HEADER_SIZE))
            end = position + HEADER_SIZE + header.payload_length if header else size + 1
            if header is None or end > size:
                following = _next_magic(path, position + 1, size)
                if following is None:
                    if not last:
                        yield _Frame(None, None, size)
                    return
                yield _Frame(None, None, following)
                position = following
                continue
            yield _Frame(header, payload_events(header, file.read(header.payload_length)), end)
            position = end


def _next_magic(path: Path, start: int, size: int) -> int | None:
    """Return where the next sound header begins, looking through at most the rest of the file."""
    with path.open("rb") as file:
        file.seek(start)
        window = file.read(min(_SCAN * 64, size - start))
    position = window.find(MAGIC)
    while position >= 0:
        if parse_header(window[position : position + HEADER_SIZE]) is not None:
            return start + position
        position = window.find(MAGIC, position + 1)
    return None


def _matching(path: Path, at_ms: int) -> Iterator[Event]:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        position = 0
        while position < size:
            file.seek(position)
            header = parse_header(file.read(HEADER_SIZE))
            if header is None:
                following = _next_magic(path, position + 1, size)
                if following is None:
                    return
                position = following
                continue
            position += HEADER_SIZE + header.payload_length
            if header.oldest_ms <= at_ms <= header.newest_ms:
                decoded: list[Event] = []
                for record in payload_events(header, file.read(header.payload_length)) or ():
                    _append_decoded(decoded, record)
                yield from decoded


def _append_decoded(events: list[Event], record: memoryview) -> int:
    """Append the event in a record; returns 1 where it is of a kind that only a newer Trimtab knows, else 0."""
    try:
        events.append(decode_event(record))
    except msgspec.DecodeError:
        return 1
    return 0


def _is_about(event: Event, generation: str) -> bool:
    return subject_id(event) == generation or (isinstance(event, Generation) and event.mirrors == generation)


def _processes(journals: Path) -> list[Path]:
    return sorted(path for path in journals.glob("*") if path.is_dir())


@contextlib.contextmanager
def _ownership(folder: Path) -> Iterator[bool]:
    """Hold a process's lock if nobody does: then its owner is dead."""
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _salvage_one(folder: Path) -> None:
    _cut_torn_tail(folder)
    if (folder / HOT_FILE).stat().st_size == 0:  # killed before the buffer had its blocks: nothing was recorded
        (folder / HOT_FILE).unlink()
        return
    hot = HotBuffer(folder / HOT_FILE, create=False)
    halves = [half for index in (0, 1) if (half := hot.read(index)) is not None]
    number = max((int(path.stem) for path in segments(folder)), default=0)
    for half in sorted(halves, key=lambda half: half.first_sequence):
        count = sum(1 for _ in split_records(memoryview(half.records)))
        frame = encode_frame(half.records, events=count, first_sequence=half.first_sequence, span_ms=half.span_ms)
        append_frame(folder, number, frame)
    hot.close()
    (folder / HOT_FILE).unlink()


def _cut_torn_tail(folder: Path) -> None:
    """A process killed inside a write leaves half a frame; its events are still in the hot buffer."""
    files = segments(folder)
    if not files:
        return
    path = segment_path(folder, int(files[-1].stem))
    end = 0
    for frame in _frames(path, 0, last=True):
        end = frame.end
    if end < path.stat().st_size:
        os.truncate(path, end)
