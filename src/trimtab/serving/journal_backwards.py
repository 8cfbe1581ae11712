"""Reading all journals of a machine backwards: what happened last is found first, whoever has enough stops."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from trimtab.serving.hot_buffer import read_hot, records_of
from trimtab.serving.journal_folder import HOT_FILE, process_folders, segments
from trimtab.serving.salvage import salvage
from trimtab.serving.segment_reader import frames_backwards

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trimtab.serving.hot_buffer import HotHalf

__all__ = ["read_backwards"]

_SLACK_MS = 60_000
"""How far a file's time of modification may lie behind the clock that dated its events."""


def read_backwards(journals: Path, *, since_ms: int, until_ms: int, writers: str = "") -> Iterator[memoryview]:
    """Yield the records about subjects that began in [since, until], the newest first, roughly.

    Buffers first, then segments by when they were last written, each from its last frame to its first; within a frame
    the newest first. What moves from a buffer to a segment meanwhile is seen twice, never missed. `writers` is a
    prefix of process ids; empty for all. Segments last written before `since` are not even opened.
    """
    salvage(journals)
    folders = [folder for folder in process_folders(journals) if folder.name.startswith(writers)]
    for folder in folders:
        for half in reversed(_hot(folder)):
            if half.span_ms[0] <= until_ms and half.span_ms[1] >= since_ms:
                yield from reversed(records_of(half.records))
    found: list[tuple[int, str, Path]] = []
    for folder in folders:
        for path in segments(folder):
            with contextlib.suppress(FileNotFoundError):  # pruned meanwhile
                written_ms = path.stat().st_mtime_ns // 1_000_000
                if written_ms >= since_ms - _SLACK_MS:
                    found.append((written_ms, path.name, path))
    for _, _, path in sorted(found, reverse=True):
        with contextlib.suppress(FileNotFoundError):
            for records in frames_backwards(path, since_ms, until_ms):
                yield from reversed(records)


def _hot(folder: Path) -> list[HotHalf]:
    """Return what a process's buffer holds; nothing where it has none, or another version of Trimtab wrote it."""
    try:
        return read_hot(folder / HOT_FILE)
    except OSError:
        return []
