"""The few ways in which SQL is run, with driver errors turned into ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import sqlalchemy as sa
import sqlalchemy.exc

from trimtab.core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection, Row

    from trimtab.core.errors import TrimtabError

__all__ = ["SqlTables", "storage_error"]

_T = TypeVar("_T")


def storage_error(error: sqlalchemy.exc.DBAPIError, place: str) -> StorageError:
    """Return our error for a driver's."""
    text = str(error.orig)
    hints = {
        "full": "free some space; nothing was half-written",
        "readonly": "is the folder writable by this user?",
        "locked": "another program has the database open for writing; use Trimtab's own commands",
        "malformed": "restore it from a backup",
        "not a database": "is this the right file?",
    }
    hint = next((hint for word, hint in hints.items() if word in text), None)
    return StorageError("database_failed", f"the control database failed: {text}", param=place, hint=hint)


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
        bodies = self.bodies(query)
        return msgspec.json.decode(bodies[0], type=kind) if bodies else None

    def many(self, kind: type[_T], query: sa.Executable) -> list[_T]:
        """Run a query for JSON values."""
        decoder = msgspec.json.Decoder(kind)
        return [decoder.decode(body) for body in self.bodies(query)]

    def run(self, statement: sa.Executable, parameters: list[dict[str, Any]] | None = None) -> int:
        """Run a statement that writes; returns how many rows it touched."""
        self._require_writable()
        try:
            return self._connection.execute(statement, parameters).rowcount
        except sqlalchemy.exc.DBAPIError as error:
            raise storage_error(error, self._place) from error

    def insert(self, table: sa.Table, conflict: TrimtabError, **values: Any) -> None:  # noqa: ANN401 - column values
        """Insert a row; raises `conflict` where a key or a unique value is taken."""
        self._require_writable()
        try:
            self._connection.execute(sa.insert(table).values(**values))
        except sqlalchemy.exc.IntegrityError as error:
            raise conflict from error
        except sqlalchemy.exc.DBAPIError as error:
            raise storage_error(error, self._place) from error

    def _require_writable(self) -> None:
        if not self._writable:
            raise StorageError("read_only", "this transaction only reads", hint="open one with store.write()")
