"""Making a backup of a data directory while everything runs.

The order is what makes it whole. Whoever reads on from a position is copied before what the position is in: first
evidence, whose log says how far journals are in files; then the database, which says how far the controller judged them
and everybody else's cursors; then journals. What is read twice after a restoration counts once, by its id or sequence
number; nothing is read too late.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.backup.archive import ArchiveWriter
from trimtab.core.errors import NotFoundError, StorageError
from trimtab.evidence.erasure_store import ERASED_FOLDER, ERASURES_FOLDER
from trimtab.evidence.log import LOG_FOLDER, EvidenceLog, retired_key, writers_of
from trimtab.evidence.objects import LocalObjects
from trimtab.serving.journal_folder import HOT_FILE, process_folders, segments
from trimtab.storage.sqlite import copy_sqlite
from trimtab.telemetry.build import version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.backup.archive import Manifest
    from trimtab.core.clock import Clock
    from trimtab.serving.directory import DataDirectory

__all__ = ["DATA", "DATABASE", "EVIDENCE", "take_backup"]

DATA = "data"
EVIDENCE = "evidence"
DATABASE = "data/control.db"
_NOT_KEPT = frozenset({"processes", "machines", "relay.json"})
"""What living processes say of themselves."""
_TRIES = 10


def take_backup(
    directory: DataDirectory, target: Path, *, clock: Clock, sqlite: bool, evidence: Path | None
) -> Manifest:
    """Write a backup; everything that was acknowledged before this was called is in it.

    `evidence`: the folder with files of evidence, `None` to leave them out. Raises `ConflictError` where the target
    exists, `StorageError`.
    """
    with ArchiveWriter(target) as archive:
        told = archive.manifest
        told.trimtab, told.began_ms = version(), clock.now_ms()
        told.database, told.evidence = "sqlite" if sqlite else "postgres", evidence is not None
        if evidence is not None:
            _add_evidence(archive, evidence)
        if sqlite:
            _add_database(archive, directory.database, target.parent)
        for path in _others(directory, evidence):
            archive.add(f"{DATA}/{path.relative_to(directory.root).as_posix()}", path)
        _add_journals(archive, directory)
        told.ended_ms = clock.now_ms()
    return told


def _add_evidence(archive: ArchiveWriter, root: Path) -> None:
    """Add what each writer's log says counts, as one checkpoint of it."""
    objects = LocalObjects(root)
    wanted = set(_add_as_they_are(archive, root))
    logs = sorted(objects.keys(LOG_FOLDER))  # once: who is gone and whose log counts instead must fit
    for key in logs:
        if key == retired_key(key.split("/")[1]) and archive.add(f"{EVIDENCE}/{key}", root / key):
            wanted.add(key)
    for writer in writers_of(logs):
        wanted |= _add_log(archive, objects, root, writer)
    held = {name.removeprefix(f"{EVIDENCE}/") for name in archive.manifest.members if name.startswith(f"{EVIDENCE}/")}
    archive.manifest.left_out += sorted(f"{EVIDENCE}/{key}" for key in held - wanted)


def _add_as_they_are(archive: ArchiveWriter, root: Path) -> Iterator[str]:
    """Add what is to be forgotten, before the files that may still hold it: all do it again. Yields keys.

    And what ever was, for whoever comes later with journals of before.
    """
    patterns = (f"{ERASURES_FOLDER}/*/request.json", f"{ERASED_FOLDER}/*")
    for path in sorted(path for pattern in patterns for path in root.glob(pattern) if path.name[0] != "."):
        key = path.relative_to(root).as_posix()
        if archive.add(f"{EVIDENCE}/{key}", path):
            yield key


def _add_log(archive: ArchiveWriter, objects: LocalObjects, root: Path, writer: str) -> set[str]:
    """Add a log and its files; returns their keys. Files that are merged meanwhile are looked for in the log again."""
    for _ in range(_TRIES):
        state = EvidenceLog(objects, writer).read()
        keys = state.belonging(state.files)
        missing = [key for key in keys if f"{EVIDENCE}/{key}" not in archive.manifest.members]
        if all(archive.add(f"{EVIDENCE}/{key}", root / key) for key in missing):
            checkpoint = f"{LOG_FOLDER}/{writer}/{state.number:010d}.checkpoint.json"
            archive.add_bytes(f"{EVIDENCE}/{checkpoint}", msgspec.json.encode(state))
            return {*keys, checkpoint}
    raise StorageError(
        "evidence_busy",
        "files of evidence are merged faster than they can be copied",
        param=str(root),
        hint="copy that folder by other means, and back up with --without-evidence",
    )


def _add_database(archive: ArchiveWriter, database: Path, scratch: Path) -> None:
    if not database.exists():
        raise NotFoundError("no_database", "there is no control state to back up", param=str(database))
    with tempfile.TemporaryDirectory(prefix=".trimtab-backup-", dir=scratch) as folder:
        copy = Path(folder) / "control.db"
        copy_sqlite(database, copy)
        archive.add(DATABASE, copy)


def _others(directory: DataDirectory, evidence: Path | None) -> Iterator[Path]:
    """Yield the files that need no care: each is replaced whole by whoever writes it."""
    root = directory.root
    apart = {directory.journals, root / "evidence", *([evidence] if evidence else [])}
    for top in sorted(root.glob("*")):
        if top in apart or top.name in _NOT_KEPT or top.name.startswith(directory.database.name):
            continue
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and path.suffix != ".lock" and not path.name.startswith("."):
                yield path


def _add_journals(archive: ArchiveWriter, directory: DataDirectory) -> None:
    """Add each process's buffer before its segments: what moves meanwhile is there twice, and salvaged once."""
    for folder in process_folders(directory.journals):
        for path in (folder / HOT_FILE, *_segments_later(folder)):
            archive.add(f"{DATA}/{path.relative_to(directory.root).as_posix()}", path)


def _segments_later(folder: Path) -> Iterator[Path]:
    """Yield the segments that there are when the first is asked for."""
    yield from segments(folder)
