"""Dictionaries with an undo log."""

from __future__ import annotations

from typing import Any

from trimtab.storage.refusals import read_only, unknown_feature

__all__ = ["MemoryTables"]

_ABSENT: Any = object()


class MemoryTables:
    """Tables by name, each a dict; every change is logged so that it can be undone."""

    def __init__(
        self, tables: dict[str, dict[Any, Any]], *, undo: list[tuple[dict[Any, Any], Any, Any]] | None
    ) -> None:
        self._tables = tables
        self._undo = undo

    def table(self, name: str) -> dict[Any, Any]:
        """Return a table to read from."""
        return self._tables.setdefault(name, {})

    def require_feature(self, feature: str) -> None:
        """Raise `NotFoundError` unless the feature is stored: what a foreign key does in SQL."""
        if feature not in self.table("feature"):
            raise unknown_feature(feature)

    def put(self, name: str, key: Any, value: Any) -> None:  # noqa: ANN401 - any stored value
        """Insert or replace a row."""
        if self._undo is None:
            raise read_only()
        table = self.table(name)
        self._undo.append((table, key, table.get(key, _ABSENT)))
        table[key] = value

    def drop(self, name: str, key: Any) -> None:  # noqa: ANN401 - any key
        """Delete a row that is there."""
        if self._undo is None:
            raise read_only()
        table = self.table(name)
        self._undo.append((table, key, table.pop(key)))

    def roll_back(self) -> None:
        """Undo everything, newest first."""
        for table, key, value in reversed(self._undo or []):
            if value is _ABSENT:
                table.pop(key, None)
            else:
                table[key] = value
        if self._undo is not None:
            self._undo.clear()
