"""Evidence as SQL tables: the files that count, and what is still in journals, seen as one through DuckDB."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from trimtab.core.errors import StorageError
from trimtab.evidence.objects import LocalObjects
from trimtab.evidence.query_errors import refusal
from trimtab.evidence.query_scope import check_scope, one_select
from trimtab.evidence.snapshot import SnapshotSource
from trimtab.evidence.summaries import SUMMARY_SCHEMA
from trimtab.evidence.tables import KINDS, empty_table, schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from trimtab.evidence.layout import Span
    from trimtab.evidence.log import LiveFile
    from trimtab.evidence.objects import Objects
    from trimtab.evidence.snapshot import Snapshot

__all__ = ["EvidenceReader", "rows", "run"]

_TRIES = 4
_LOOK_EVERY = 100
"""Questions."""
_CACHED_BYTES = 128 * 1024 * 1024
"""DuckDB remembers the footers of files, those that are long merged away too: then it begins anew."""
_ALWAYS = (0, 1 << 62)
_FEW_ROWS = 250_000
"""Generations in the files that a question opens."""
_LOCKED = """
SET GLOBAL python_enable_replacements = false;
SET GLOBAL autoinstall_known_extensions = false;
SET GLOBAL autoload_known_extensions = false;
SET GLOBAL allowed_directories = [{folders}];
SET GLOBAL enable_external_access = false;
SET GLOBAL lock_configuration = true;
"""
"""A second fence behind `query_scope`: the machine's files and variables of this process are out of DuckDB's reach."""
_T = TypeVar("_T")


class EvidenceReader:
    """Answers SQL over `generations`, `exposures`, `scores`, `feedback` and `withdrawals`. Thread-safe.

    What was recorded is seen as soon as it is in a journal here, whether or not it was compacted meanwhile.
    """

    def __init__(self, objects: Objects, journals: Path | None = None) -> None:
        """`journals` are read beside the files; without them only what was compacted is seen."""
        self.objects = objects
        self._lock = threading.Lock()
        self._source = SnapshotSource(objects, journals)
        self._connections: dict[bool, duckdb.DuckDBPyConnection] = {}
        """By whether they answer on one thread."""
        self._asked = 0

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None, *, hours: Span = _ALWAYS) -> pa.Table:
        """Return the rows of a query of anybody's. `hours` says when the generations began that it is about.

        Raises `InputError` for what is not one SELECT over our tables (see `query_scope`) and for what DuckDB refuses,
        `StorageError` where files cannot be read.
        """
        with self._lock:
            cursor = self._connected(alone=True).cursor()
        with closing(cursor):
            check_scope(cursor, sql)
        (found,) = self.queries([sql], parameters, span=hours)
        return found

    def queries(
        self,
        questions: Sequence[str],
        parameters: Mapping[str, Any] | None = None,
        *,
        span: Span,
        kinds: Collection[str] = tuple(KINDS),
    ) -> list[pa.Table]:
        """Return the rows of several queries of ours, of one moment. `kinds` are the tables that they name."""

        def ask(snapshot: Snapshot, cursor: duckdb.DuckDBPyConnection) -> list[pa.Table]:
            for kind in kinds:
                self.define(cursor, kind, snapshot.files(kind, span), snapshot.hot.get(kind))
            return [run(cursor, sql, parameters) for sql in questions]

        return self.at_one_moment(ask, span=span)

    def at_one_moment(self, ask: Callable[[Snapshot, duckdb.DuckDBPyConnection], _T], *, span: Span) -> _T:
        """Return what a function makes of the evidence as it is now; it is asked again where files were merged away.

        `span` is what it is about: few rows are read on one thread, which is less work and done as soon. Raises as
        `query`.
        """
        for left in reversed(range(_TRIES)):
            try:
                with self._lock:
                    snapshot = self._source.take()
                    few = sum(file.rows for file in snapshot.files("generations", span)) < _FEW_ROWS
                    cursor = self._connected(alone=few).cursor()
                with closing(cursor):
                    return ask(snapshot, cursor)
            except (duckdb.IOException, FileNotFoundError) as error:
                if not left:
                    raise StorageError(
                        "read_failed",
                        f"evidence cannot be read: {error}",
                        param="evidence",
                        hint=self.objects.hint,
                    ) from error
            except duckdb.Error as error:
                raise refusal(error) from error
        raise AssertionError

    def close(self) -> None:
        """Let go of the memory."""
        for connection in self._connections.values():
            connection.close()

    def _connected(self, *, alone: bool) -> duckdb.DuckDBPyConnection:
        self._asked += 1
        if self._asked % _LOOK_EVERY == 0:  # not closed: cursors of other threads may still answer
            kept = {key: one for key, one in self._connections.items() if _cached_bytes(one) <= _CACHED_BYTES}
            self._connections = kept
        if alone not in self._connections:
            connection = duckdb.connect(":memory:", config={"threads": 1} if alone else {})
            connection.execute("SET GLOBAL parquet_metadata_cache = true; SET GLOBAL TimeZone = 'UTC'")
            for kind in KINDS:
                connection.register("_empty", empty_table(kind))
                connection.execute(f"CREATE TABLE _no_{kind} AS FROM _empty")
                connection.unregister("_empty")
            connection.execute(_LOCKED.format(folders=", ".join(map(_quoted, self._folders()))))
            self._connections[alone] = connection
        return self._connections[alone]

    def _folders(self) -> list[str]:
        """Return what a query may open by its path; a bucket is read by Arrow, which needs no leave of DuckDB's."""
        if not isinstance(self.objects, LocalObjects):
            return []
        return [f"{self.objects.root}/{kind}" for kind in (*KINDS, "summaries")]

    def define(
        self, cursor: duckdb.DuckDBPyConnection, kind: str, files: Sequence[LiveFile], hot: pa.Table | None
    ) -> None:
        """Make a table of files and journals known to a cursor under its name."""
        cursor.execute(f"CREATE OR REPLACE TEMP VIEW {kind} AS FROM {self.table(cursor, kind, files, hot)}")

    def table(
        self, cursor: duckdb.DuckDBPyConnection, kind: str, files: Sequence[LiveFile], hot: pa.Table | None
    ) -> str:
        """Return files and journals as a table expression, which spares the planning of a view."""
        parts = []
        if hot is not None:
            cursor.register(f"_hot_{kind}", hot)
            parts.append(f"FROM _hot_{kind}")
        for columns, same in groupby(sorted(files, key=_columns), key=_columns):
            name = f"_cold_{kind}_{columns}"
            parts.append(self._scan(cursor, name, [file.key for file in same], schema_of(kind), alike=bool(columns)))
        if hot is None and {_columns(file) for file in files} != {len(schema_of(kind))}:
            parts.insert(0, f"FROM _no_{kind}")  # its columns are those of this version
        return f"({' UNION ALL BY NAME '.join(parts)})"

    def summaries(self, cursor: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> str:
        """Return summaries as a table expression."""
        return f"({self._scan(cursor, '_cold_summaries', keys, SUMMARY_SCHEMA, alike=True)})"

    def _scan(
        self, cursor: duckdb.DuckDBPyConnection, name: str, keys: Sequence[str], schema: pa.Schema, *, alike: bool
    ) -> str:
        """Return a scan of files. Where they are alike in their columns, opening the first is enough to know them."""
        paths = [f"{self.objects.root}/{key}" for key in keys]
        if isinstance(self.objects, LocalObjects):
            listed = ", ".join(map(_quoted, paths))
            return f"FROM read_parquet([{listed}], union_by_name = {not alike}, hive_partitioning = false)"
        import pyarrow.dataset as pads  # late: local files do without

        cursor.register(name, pads.dataset(paths, schema=schema, format="parquet", filesystem=self.objects.filesystem))
        return f"FROM {name}"


def run(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
    """Return the rows of one SELECT; raises `InputError` (`not_a_question`) for anything else."""
    return cursor.sql(one_select(sql), params=dict(parameters or {})).to_arrow_table()


def rows(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the few rows of a statement of ours, without timestamps. A relation would be planned twice."""
    found = cursor.execute(sql, dict(parameters))
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _cached_bytes(connection: duckdb.DuckDBPyConnection) -> int:
    (found,) = connection.execute("SELECT coalesce(sum(memory_usage_bytes), 0) FROM duckdb_memory()").fetchall()
    return int(found[0])


def _columns(file: LiveFile) -> int:
    return file.columns


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
