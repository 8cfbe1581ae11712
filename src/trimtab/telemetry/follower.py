"""Reading every journal on from where one stood: for whoever keeps cursors of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.serving.journal_folder import process_folders
from trimtab.serving.journal_reader import JournalPosition, pass_records, salvage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["Followed", "behind_bytes", "follow"]


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """How far everything was read."""

    records: int
    cursors: dict[str, JournalPosition]
    """Where every process that is still there was read up to."""
    more: bool
    """Whether the limit left something behind."""
    damaged: int
    missing: int
    """Events that are nowhere: lost to damage, or deleted before they were read."""


def follow(
    journals: Path, cursors: Mapping[str, JournalPosition], take: Callable[[memoryview], bool], *, limit: int
) -> Followed:
    """Hand what stands after the cursors to `take`, process by process, about `limit` records at most.

    `take` returns whether it could read it; see `pass_records`.
    """
    salvage(journals)
    moved: dict[str, JournalPosition] = {}
    records = damaged = missing = 0
    for folder in process_folders(journals):
        position = cursors.get(folder.name, JournalPosition())
        if records < limit:
            passed = pass_records(folder, position, take, limit=limit - records)
            position = passed.position
            records += passed.records
            damaged += passed.damaged
            missing += passed.missing if folder.name in cursors else 0  # else: retired before anybody followed
        moved[folder.name] = position
    return Followed(records=records, cursors=moved, more=records >= limit, damaged=damaged, missing=missing)


def behind_bytes(journals: Path, cursors: Mapping[str, JournalPosition]) -> tuple[int, int]:
    """Return how many bytes of segments there are, and how many of them stand after the cursors."""
    held = behind = 0
    for folder in process_folders(journals):
        at = cursors.get(folder.name, JournalPosition())
        for path in folder.glob("*.seg"):
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                continue  # deleted meanwhile
            held += size
            if path.name == at.segment:
                behind += max(0, size - at.offset)
            elif path.name > at.segment:
                behind += size
    return held, behind
