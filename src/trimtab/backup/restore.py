"""Putting a backup in place: into a data directory that is not there yet, all of it or nothing."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from trimtab.backup.archive import extract
from trimtab.backup.take import DATA, EVIDENCE
from trimtab.core.errors import ConflictError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.backup.archive import Manifest

__all__ = ["restore_backup"]


def restore_backup(archive: Path, root: Path, *, evidence: Path | None) -> Manifest:
    """Restore into `root`, and files of evidence into `evidence`; neither may hold anything.

    `evidence`: `None` where those are at their place already, in a folder that outlived this machine: they stay as they
    are, and what their log knows beyond the backup counts.

    Raises `ConflictError` where one does, `InputError` or `IntegrityError` for what is no whole backup, `StorageError`.
    """
    for place in filter(None, (root, evidence)):
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise ConflictError(
                "not_empty",
                "a backup is restored where nothing is yet",
                param=str(place),
                hint="name another data directory, or move this one away"
                if place == root
                else "--without-evidence where it is what other machines share, or move it away",
            )
    scratch = root.with_name(f".{root.name}.restoring-{os.getpid()}")
    try:
        scratch.mkdir(mode=0o700, parents=True)
        manifest = extract(archive, scratch)
        _put(scratch / DATA, root)
        if evidence is not None and (scratch / EVIDENCE).exists():
            _put(scratch / EVIDENCE, evidence)
    except OSError as error:
        raise StorageError("restore_failed", f"cannot restore: {error}", param=str(root)) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def _put(source: Path, place: Path) -> None:
    source.mkdir(mode=0o700, exist_ok=True)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if place.exists():
        place.rmdir()
    shutil.move(source, place)
