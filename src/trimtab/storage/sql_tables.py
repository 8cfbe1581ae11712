"""The few ways in which SQL is run, with driver errors turned into ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.dialects import postgresql, sqlite

from trimtab.storage.refusals import read_only, unknown_feature
from trimtab.storage.schema import feature as feature_table
from trimtab.storage.sql_errors import damaged, storage_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection, Row

    from trimtab.core.errors import TrimtabError

__all__ = ["SqlTables"]

_T = TypeVar("_T")


class SqlTables:
    """A connection inside a transaction."""

    def __init__(self, connection: Connection, *, place: str, writable: bool) -> None:
        self._connection = connection
        self._place = place
        self._writable = writable

    def rows(self, query: sa.Executable) -> Sequence[Row[Any]]:
        """Run a query."""
        try:
            return self._connection.execute(query).fetchall()
        except sqlalchemy.exc.DBAPIError as error:
            raise storage_error(error, self._place) from error

    def bodies(self, query: sa.Executable) -> list[bytes]:
        """Run a query for one column of JSON."""
        return [row[0] for row in self.rows(query)]

    def one(self, kind: type[_T], query: sa.Executable) -> _T | None:
        """Run a query for at most one JSON value."""
        return next(iter(self.many(kind, query)), None)

    def many(self, kind: type[_T], query: sa.Executable) -> list[_T]:
        """Run a query for JSON values; raises `IntegrityError` for one that cannot be read."""
        decoder = msgspec.json.Decoder(kind)
        try:
            return [decoder.decode(body) for body in self.bodies(query)]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise damaged(f"a stored {kind.__name__}", param=self._place, why=str(error)) from error

    def run(self, statement: sa.Executable, parameters: list[dict[str, Any]] | None = None) -> int:
        """Run a statement that writes; returns how many rows it touched."""
        self._require_writable()
        try:
            return self._connection.execute(statement, parameters).rowcount
        except sqlalchemy.exc.DBAPIError as error:
            raise storage_error(error, self._place) from error

    def insert(self, table: sa.Table, conflict: TrimtabError, **values: Any) -> None:  # noqa: ANN401 - column values
        """Insert a row; raises `conflict` where a key or a unique value is taken."""
        self.run_unique(sa.insert(table).values(**values), conflict)

    def run_unique(self, statement: sa.Executable, conflict: TrimtabError) -> int:
        """Run a statement that writes; raises `conflict` where it would break a constraint."""
        self._require_writable()
        try:
            self._connection.exec_driver_sql("SAVEPOINT attempt")  # Postgres would refuse all that follows
            try:
                return self._connection.execute(statement).rowcount
            except sqlalchemy.exc.IntegrityError:
                self._connection.exec_driver_sql("ROLLBACK TO SAVEPOINT attempt")
                raise
        except sqlalchemy.exc.IntegrityError as error:
            raise conflict from error
        except sqlalchemy.exc.DBAPIError as error:
            raise storage_error(error, self._place) from error

    def in_order(self, *columns: sa.ColumnElement[Any]) -> list[sa.ColumnElement[Any]]:
        """Return what to order text by: its code points, as Python and SQLite do, whatever the database's locale."""
        if self.dialect == "sqlite":
            return list(columns)
        return [sa.collate(one, "C") if isinstance(one.type, sa.String) else one for one in columns]

    def insert_new(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Insert the rows whose key is not taken."""
        dialect = sqlite if self.dialect == "sqlite" else postgresql
        self.run(dialect.insert(table).on_conflict_do_nothing(), rows)

    @property
    def dialect(self) -> str:
        """Name of the database's kind: `sqlite` or `postgresql`."""
        return self._connection.dialect.name

    def require_feature(self, feature: str) -> None:
        """Raise `NotFoundError` unless the feature is stored: a foreign key would not say which."""
        if not self.rows(sa.select(feature_table.c.name).where(feature_table.c.name == feature)):
            raise unknown_feature(feature)

    def _require_writable(self) -> None:
        if not self._writable:
            raise read_only()
