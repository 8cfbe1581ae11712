"""Reading journals: tail one process, find one generation by its id."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.ids import id_time_ms
from trimtab.events import Event, Generation, decode_event
from trimtab.events.model import subject_id
from trimtab.serving.hot_buffer import read_hot, records_of
from trimtab.serving.journal_folder import HOT_FILE, process_folders, segments
from trimtab.serving.salvage import JournalPosition, prune, salvage
from trimtab.serving.segment_reader import frames_about, frames_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = [
    "JournalPosition",
    "Passed",
    "ReadResult",
    "append_decoded",
    "find",
    "pass_records",
    "prune",
    "read_journal",
    "salvage",
]


class ReadResult(msgspec.Struct, frozen=True):
    """New events of one process, the position after them, and what was wrong on the way."""

    events: list[Event]
    position: JournalPosition
    damaged: int
    """Frames whose checksum does not hold, and events that cannot be decoded."""
    missing: int = 0
    """Events that are nowhere, though their sequence numbers were given out: what damage cost."""


class Passed(msgspec.Struct, frozen=True):
    """How far a process's journal was read, and what was wrong on the way."""

    records: int
    position: JournalPosition
    damaged: int
    """As `ReadResult.damaged`."""
    missing: int
    """As `ReadResult.missing`."""


def read_journal(folder: Path, position: JournalPosition, *, limit: int = 20_000) -> ReadResult:
    """Return the events after `position`, in order, at most about `limit` (whole frames); see `pass_records`."""
    events: list[Event] = []
    passed = pass_records(folder, position, lambda record: append_decoded(events, record), limit=limit)
    return ReadResult(events, passed.position, passed.damaged, passed.missing)


def pass_records(
    folder: Path, position: JournalPosition, take: Callable[[memoryview], bool], *, limit: int = 20_000
) -> Passed:
    """Hand every encoded event after `position` to `take`, in order, at most about `limit` (whole frames).

    `take` returns whether it could read it. A frame not yet complete at the end of a journal that is still open is
    waited for. A damaged one is skipped, counted, and reading goes on at the next sound frame. Events seen before (a
    salvage may repeat) are left out.
    """
    records = damaged = missing = 0
    sequence = position.sequence
    name, offset = position.segment, position.offset
    is_open = (folder / HOT_FILE).exists()  # looked at first: once it is gone, the segments are complete
    paths = [path for path in segments(folder) if path.name >= name]
    for path in paths:
        start = offset if path.name == name else 0
        name, offset = path.name, start
        for frame in frames_from(path, start, growing=is_open and path is paths[-1]):
            offset = frame.end
            if frame.records is None:
                damaged += 1
                continue
            missing += max(0, frame.first_sequence - sequence)
            fresh = frame.records[max(0, sequence - frame.first_sequence) :]
            damaged += len(fresh) - sum(map(take, fresh))
            records += len(fresh)
            sequence = max(sequence, frame.first_sequence + frame.events)
            if records >= limit:
                return Passed(records, JournalPosition(name, offset, sequence), damaged, missing)
    return Passed(records, JournalPosition(name, offset, sequence), damaged, missing)


def find(journals: Path, generation: str) -> list[Event]:
    """Return a generation, what mirrors it, and every score and feedback about it, oldest first.

    Looks at frame headers and decompresses only frames whose subjects' time span covers the id's time; what is not in
    a frame yet is found in the buffers. Raises `InputError` where `generation` is not an id.
    """
    at_ms = id_time_ms(generation)
    salvage(journals)
    found: dict[str, Event] = {}
    for folder in process_folders(journals):
        for records in _about(folder, at_ms):
            events: list[Event] = []
            for record in records:
                append_decoded(events, record)
            found.update((event.id, event) for event in events if _is_about(event, generation))
    return sorted(found.values(), key=lambda event: event.at_ms)


def _about(folder: Path, at_ms: int) -> Iterator[list[memoryview]]:
    """Yield the records of a process that may be about a moment; a process that is pruned meanwhile has none."""
    hot = []
    with contextlib.suppress(
        OSError
    ):  # the buffer before the segments: what moves meanwhile is seen twice, never missed
        hot = read_hot(folder / HOT_FILE)
    for half in hot:
        if half.span_ms[0] <= at_ms <= half.span_ms[1]:
            yield records_of(half.records)
    with contextlib.suppress(FileNotFoundError):
        for path in segments(folder):
            yield from frames_about(path, at_ms)


def append_decoded(events: list[Event], record: memoryview) -> bool:
    """Append the event in a record; returns whether it is of a kind that this version of Trimtab knows."""
    try:
        events.append(decode_event(record))
    except msgspec.DecodeError:
        return False
    return True


def _is_about(event: Event, generation: str) -> bool:
    return subject_id(event) == generation or (isinstance(event, Generation) and event.mirrors == generation)
