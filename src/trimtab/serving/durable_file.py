"""Files that are written whole or not at all, and outlast a power cut."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from trimtab.core.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["make_private", "sync_folder", "write_atomically"]


def write_atomically(path: Path, content: bytes, *, durable: bool) -> None:
    """Replace a file by rename; `durable` survives a power cut. Raises `StorageError`, leaving the old file."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise StorageError(
            "write_failed", f"cannot write {path.name}: {error.strerror}", param=str(path), hint="is the disk full?"
        ) from error


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone: what lies there quotes people.

    One that is there stays as it is. Raises `OSError`.
    """
    for missing in [one for one in (*reversed(folder.parents), folder) if not one.exists()]:
        missing.mkdir(mode=0o700, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Make creations and renames inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
