"""Evidence as SQL tables: the files that count, and what is still in journals, seen as one through DuckDB."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads

from trimtab.core.errors import InputError, StorageError
from trimtab.evidence.log import read_everything
from trimtab.evidence.objects import LocalObjects
from trimtab.evidence.tables import KINDS, empty_table, schema_of
from trimtab.evidence.tail import JournalTail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trimtab.evidence.layout import Span
    from trimtab.evidence.log import LiveFile, LogState
    from trimtab.evidence.objects import Objects

__all__ = ["EvidenceReader"]

_TRIES = 4
_ALWAYS = (0, 1 << 62)


class EvidenceReader:
    """Answers SQL over `generations`, `exposures`, `scores`, `feedback` and `withdrawals`. Thread-safe.

    What was recorded is seen as soon as it is in a journal here, whether or not it was compacted meanwhile.
    """

    def __init__(self, objects: Objects, journals: Path | None = None) -> None:
        """`journals` are read beside the files; without them only what was compacted is seen."""
        self._objects = objects
        self._journals = journals
        self._lock = threading.Lock()
        self._connection = duckdb.connect(":memory:")
        self._connection.execute("SET parquet_metadata_cache = true; SET TimeZone = 'UTC'")
        self._tail = JournalTail()

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None, *, hours: Span = _ALWAYS) -> pa.Table:
        """Return the rows of a query. `hours` says when the generations began that it is about: less is opened.

        Raises `InputError` (`invalid_query`) for what DuckDB refuses, `StorageError` where files cannot be read.
        """
        for left in reversed(range(_TRIES)):
            try:
                with self._lock:
                    return self._query(sql, parameters or {}, hours)
            except (duckdb.IOException, FileNotFoundError) as error:  # merged into another file meanwhile
                if not left:
                    raise StorageError("read_failed", f"evidence cannot be read: {error}", param="evidence") from error
            except duckdb.Error as error:
                raise InputError("invalid_query", f"the query cannot be answered: {error}", param="sql") from error
        raise AssertionError

    def close(self) -> None:
        """Let go of the memory."""
        self._connection.close()

    def _query(self, sql: str, parameters: Mapping[str, Any], hours: Span) -> pa.Table:
        states = read_everything(self._objects)
        hot = self._hot(states)
        cursor = self._connection.cursor()
        try:
            for kind in KINDS:
                files = [file for state in states for file in state.of(kind, since_ms=hours[0], until_ms=hours[1])]
                self._define(cursor, kind, files, hot.get(kind))
            return cursor.sql(_one_select(sql), params=dict(parameters)).to_arrow_table()
        finally:
            cursor.close()

    def _define(
        self, cursor: duckdb.DuckDBPyConnection, kind: str, files: Sequence[LiveFile], hot: pa.Table | None
    ) -> None:
        cursor.register(f"_hot_{kind}", empty_table(kind) if hot is None else hot)
        parts = [f"FROM _hot_{kind}"]  # first: its columns are those of this version
        if files and isinstance(self._objects, LocalObjects):
            paths = ", ".join(_quoted(f"{self._objects.root}/{file.key}") for file in files)
            parts.append(f"FROM read_parquet([{paths}], union_by_name = true, hive_partitioning = false)")
        elif files:
            cursor.register(f"_cold_{kind}", self._dataset(kind, files))
            parts.append(f"FROM _cold_{kind}")
        cursor.execute(f"CREATE OR REPLACE TEMP VIEW {kind} AS {' UNION ALL BY NAME '.join(parts)}")

    def _dataset(self, kind: str, files: Sequence[LiveFile]) -> pads.Dataset:
        paths = [f"{self._objects.root}/{file.key}" for file in files]
        return pads.dataset(paths, schema=schema_of(kind), format="parquet", filesystem=self._objects.filesystem)

    def _hot(self, states: Sequence[LogState]) -> dict[str, pa.Table]:
        if self._journals is None:
            return {}
        cursors = {process: position for state in states for process, position in state.cursors.items()}
        return self._tail.read(self._journals, cursors)


def _one_select(sql: str) -> duckdb.Statement:
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InputError("not_a_question", "this is not one SELECT", param="sql", hint="evidence is read only")
    return statements[0]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
