"""What is in journals and not in files yet, as tables that are kept between questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from trimtab.evidence.tables import kind_of, table_of
from trimtab.serving.journal_folder import process_folders
from trimtab.serving.journal_reader import JournalPosition, read_journal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trimtab.events import Event

__all__ = ["JournalTail"]


_EVENTS_AT_ONCE = 2_000
"""As objects, before they are columns."""


class _Stretch(msgspec.Struct, frozen=True, eq=False):
    """Some events of one process that follow each other."""

    begin: JournalPosition
    end: JournalPosition
    tables: dict[str, pa.Table]
    """By kind."""


class JournalTail:
    """Follows journals from wherever the compactor stands: only what is new is read, only what is compacted is let go.

    Not thread-safe.
    """

    def __init__(self) -> None:
        self._known: dict[str, list[_Stretch]] = {}
        self._tables: dict[str, pa.Table] = {}

    def read(self, journals: Path, cursors: Mapping[str, JournalPosition]) -> dict[str, pa.Table]:
        """Return the events after the cursors as tables by kind; kinds without events are absent.

        The very same object is returned for as long as nothing changes.
        """
        known = {
            folder.name: self._follow(folder, cursors.get(folder.name, JournalPosition()))
            for folder in process_folders(journals)
        }
        if known != self._known:
            found: dict[str, list[pa.Table]] = {}
            for stretches in known.values():
                for stretch in stretches:
                    for kind, table in stretch.tables.items():
                        found.setdefault(kind, []).append(table)
            self._known = known
            self._tables = {kind: pa.concat_tables(tables) for kind, tables in found.items()}
        return self._tables

    def _follow(self, folder: Path, cursor: JournalPosition) -> list[_Stretch]:
        stretches = [one for one in self._known.get(folder.name, []) if one.begin.sequence >= cursor.sequence]
        if not stretches or stretches[0].begin.sequence > cursor.sequence:
            stretches = []  # the compactor stopped inside of one: read again from where it stands
        position = stretches[-1].end if stretches else cursor
        while True:
            result = read_journal(folder, position, limit=_EVENTS_AT_ONCE)
            if not result.events:
                return stretches
            stretches.append(_Stretch(position, result.position, _tables(result.events)))
            position = result.position


def _tables(events: list[Event]) -> dict[str, pa.Table]:
    by_kind: dict[str, list[Event]] = {}
    for event in events:
        by_kind.setdefault(kind_of(event), []).append(event)
    return {kind: table_of(kind, found) for kind, found in by_kind.items()}
