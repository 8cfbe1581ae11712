"""What killed processes left behind: their buffers become frames, their torn tails are cut, old journals go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import StorageError
from trimtab.serving.frames import encode_frame
from trimtab.serving.hot_buffer import read_hot
from trimtab.serving.journal_folder import (
    HOT_FILE,
    LOCK_FILE,
    append_frame,
    ownership,
    process_folders,
    segment_path,
    segments,
)
from trimtab.serving.segment_reader import frames_from

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["JournalPosition", "prune", "reclaim", "retire", "salvage"]


class JournalPosition(msgspec.Struct, frozen=True):
    """How far a process's journal was read. Events below `sequence` are done."""

    segment: str = ""
    offset: int = 0
    sequence: int = 0


def salvage(journals: Path) -> list[str]:
    """Move what killed processes left in their hot buffers into their segments; returns their process ids.

    Safe to repeat and to be killed in: the frame is fsynced before the buffer goes, and what the segments already hold
    is not written again. A live owner holds its lock, so it is never touched. A process whose events cannot be moved
    now (a full disk) keeps them in its buffer for the next time, where `find` sees them too.
    """
    saved = []
    for folder in process_folders(journals):
        if not (folder / HOT_FILE).exists():
            continue
        with ownership(folder) as owned:
            if not owned or not (folder / HOT_FILE).exists():
                continue
            try:
                _salvage_one(folder)
            except OSError:
                continue
            saved.append(folder.name)
    return saved


def prune(journals: Path, *, older_than_ms: int, read: Mapping[str, JournalPosition] | None = None) -> int:
    """Delete the journals of dead processes whose newest write is older; returns how many.

    Where `read` is given, only journals that were read to their end go. Raises `StorageError`.
    """
    removed = 0
    salvage(journals)
    try:
        for folder in process_folders(journals):
            files = segments(folder)
            newest_ms = max(path.stat().st_mtime_ns // 1_000_000 for path in [folder, *files])
            if newest_ms >= older_than_ms or (folder / HOT_FILE).exists():
                continue
            if read is not None and not _read_to_end(files, read.get(folder.name, JournalPosition())):
                continue
            with ownership(folder) as owned:
                if owned:
                    for path in [*files, folder / LOCK_FILE]:
                        path.unlink(missing_ok=True)
                    folder.rmdir()
                    removed += 1
    except OSError as error:
        raise StorageError("prune_failed", f"old journals cannot be deleted: {error}", param=str(journals)) from error
    return removed


def retire(journals: Path, *, older_than_ms: int, read: Mapping[str, JournalPosition]) -> int:
    """Delete old segments, of the living too, that were read to their end; returns how many.

    The newest segment of a process stays, for its owner appends to it. Raises `StorageError`.
    """
    removed = 0
    try:
        for folder in process_folders(journals):
            reached = read.get(folder.name, JournalPosition()).segment
            for path in segments(folder)[:-1]:
                if path.name < reached and path.stat().st_mtime_ns // 1_000_000 < older_than_ms:
                    path.unlink()
                    removed += 1
    except OSError as error:
        raise StorageError("prune_failed", f"old journals cannot be deleted: {error}", param=str(journals)) from error
    return removed


def reclaim(journals: Path, *, size: int, read: Mapping[str, JournalPosition]) -> int:
    """Delete the oldest segments that were read to their end, however young, until `size` bytes are free.

    Returns how many bytes were freed; raises `StorageError`.
    """
    freed = 0
    try:
        old: list[tuple[int, Path, int]] = []
        for folder in process_folders(journals):
            reached = read.get(folder.name, JournalPosition()).segment
            for path in segments(folder)[:-1]:
                if path.name < reached:
                    stat = path.stat()
                    old.append((stat.st_mtime_ns, path, stat.st_size))
        for _, path, length in sorted(old):
            if freed >= size:
                break
            path.unlink()
            freed += length
    except OSError as error:
        raise StorageError("prune_failed", f"old journals cannot be deleted: {error}", param=str(journals)) from error
    return freed


def _read_to_end(files: list[Path], position: JournalPosition) -> bool:
    return not files or (position.segment == files[-1].name and position.offset >= files[-1].stat().st_size)


def _salvage_one(folder: Path) -> None:
    held = _cut_torn_tail(folder)
    number = max((int(path.stem) for path in segments(folder)), default=0)
    for half in read_hot(folder / HOT_FILE):
        if half.first_sequence < held:
            continue  # killed after the frame was durable, before the buffer was emptied
        frame = encode_frame(half.records, events=half.events, first_sequence=half.first_sequence, span_ms=half.span_ms)
        append_frame(folder, number, frame)
    (folder / HOT_FILE).unlink()


def _cut_torn_tail(folder: Path) -> int:
    """Cut the half frame that a process killed inside a write leaves: its events are still in the hot buffer.

    Returns the sequence number after the last event that the segments hold.
    """
    files = segments(folder)
    held = 0
    for path in files[-2:]:  # the newest may hold nothing but the torn frame
        end = 0
        for frame in frames_from(segment_path(folder, int(path.stem)), 0, growing=True):
            end = frame.end
            held = max(held, frame.first_sequence + frame.events)
        if path == files[-1] and end < path.stat().st_size:
            with path.open("r+b") as file:
                file.truncate(end)
    return held
