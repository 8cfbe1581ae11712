"""What is in a process's journal folder, who owns it, and how it is written so that it lasts."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from trimtab.core.errors import StorageError
from trimtab.serving.durable_file import make_private, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "HOT_FILE",
    "LOCK_FILE",
    "append_frame",
    "claim",
    "open_segment",
    "ownership",
    "process_folders",
    "segment_path",
    "segments",
]

HOT_FILE = "hot.buffer"
LOCK_FILE = "owner.lock"


def segment_path(folder: Path, number: int) -> Path:
    """Return the path of a segment."""
    return folder / f"{number:08d}.seg"


def segments(folder: Path) -> list[Path]:
    """Return the segments of a process, oldest first."""
    return sorted(folder.glob("*.seg"))


def process_folders(journals: Path) -> list[Path]:
    """Return the folders of all processes that ever wrote here, by name."""
    return sorted(path for path in journals.glob("*") if path.is_dir())


def claim(folder: Path) -> int:
    """Make a process's folder and hold its lock; returns the lock's descriptor.

    The lock tells readers that its owner lives. Raises `StorageError` where the folder cannot be made or exists.
    """
    lock = -1
    try:
        made = not folder.parent.exists()
        make_private(folder.parent)
        folder.mkdir()
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # a fsynced segment in a folder that a power cut forgets would not be durable
        sync_folder(folder.parent)
        if made:
            sync_folder(folder.parent.parent)
    except OSError as error:
        if lock >= 0:
            os.close(lock)
        raise StorageError("journal_unavailable", f"the journal cannot be made: {error}", param=str(folder)) from error
    return lock


@contextlib.contextmanager
def ownership(folder: Path) -> Iterator[bool]:
    """Hold a process's lock if nobody does: then its owner is dead. `False` also where the folder is gone."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # pruned meanwhile, or not ours to write
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owned = False
        else:
            owned = True
        yield owned
    finally:
        os.close(descriptor)


def open_segment(folder: Path, number: int) -> None:
    """Make an empty segment, so that the one before it counts as closed. Raises `OSError`."""
    os.close(os.open(segment_path(folder, number), os.O_WRONLY | os.O_CREAT, 0o600))
    sync_folder(folder)


def append_frame(folder: Path, number: int, frame: bytes) -> None:
    """Append a frame to a segment and fsync it; on failure the segment is what it was. Raises `OSError`."""
    path = segment_path(folder, number)
    fresh = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        try:
            written = 0
            while written < len(frame):
                written += os.pwrite(descriptor, frame[written:], size + written)
            os.fdatasync(descriptor)
            if fresh:
                sync_folder(folder)
        except OSError:
            os.ftruncate(descriptor, size)
            if fresh:  # so that the next try syncs the folder again
                path.unlink()
            raise
    finally:
        os.close(descriptor)
