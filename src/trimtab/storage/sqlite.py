"""Control state in SQLite: WAL, `synchronous=FULL`, one writer at a time in turn (see `write_lock`)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import sqlalchemy.exc

from trimtab.core.errors import StorageError
from trimtab.storage.migrate import current_revision, migrate
from trimtab.storage.schema import HEAD
from trimtab.storage.sql_errors import storage_error
from trimtab.storage.sql_outbox import SqlOutbox
from trimtab.storage.sql_registry import SqlRegistry
from trimtab.storage.sql_rollouts import SqlRollouts
from trimtab.storage.write_lock import WriteLock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Connection

__all__ = ["SqlTransaction", "SqliteStore", "open_sqlite"]

_PRAGMAS = ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")


class SqlTransaction(SqlRegistry, SqlRollouts, SqlOutbox):
    """All control state inside one transaction (`rollout.ports.ControlTransaction`)."""


def open_sqlite(path: Path) -> SqliteStore:
    """Open the control database, making or migrating it first; raises `StorageError` where that fails."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            "directory_unavailable",
            f"cannot make the data directory: {error.strerror}",
            param=str(path.parent),
            hint="make it yourself, or name another one: `directory` in trimtab.toml, or TRIMTAB_DIRECTORY",
        ) from error
    store = SqliteStore(path)
    try:
        store.migrate()
    except BaseException:
        store.close()
        raise
    return store


class SqliteStore:
    """A `rollout.ports.ControlStore` in one file; thread-safe, and safe with any number of processes."""

    def __init__(self, path: Path) -> None:
        """Use :func:`open_sqlite`."""
        self._place = str(path)
        self._lock = WriteLock(path.with_name(f"{path.name}.queue"))
        # the driver's implicit transactions are off: BEGIN and COMMIT below are the only ones
        self._engine = sa.create_engine(
            f"sqlite:///{path}", isolation_level="AUTOCOMMIT", connect_args={"check_same_thread": False}
        )
        sa.event.listen(self._engine, "connect", _prepare)

    @contextlib.contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        """A consistent view; writing through it raises `StorageError`."""
        with self._transaction("BEGIN") as connection:
            yield SqlTransaction(connection, place=self._place, writable=False)

    @contextlib.contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        """The one writer. Committed means fsynced; an exception leaves nothing behind."""
        with self._lock.held(), self._transaction("BEGIN IMMEDIATE") as connection:
            yield SqlTransaction(connection, place=self._place, writable=True)

    def migrate(self, target: str = HEAD) -> None:
        """Bring the schema up to date; costs one read where it is."""
        with self._transaction("BEGIN") as connection:
            if current_revision(connection) == target:
                return
        with self._lock.held(), self._transaction("BEGIN IMMEDIATE") as connection:
            migrate(connection, place=self._place, target=target)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql(begin)
                try:
                    yield connection
                    connection.exec_driver_sql("COMMIT")
                except BaseException:
                    _roll_back(connection)
                    raise
        except sqlalchemy.exc.DBAPIError as error:
            raise storage_error(error, self._place) from error


def _roll_back(connection: Connection) -> None:
    with contextlib.suppress(sqlalchemy.exc.DBAPIError):  # a full disk rolls back by itself
        connection.exec_driver_sql("ROLLBACK")


def _prepare(connection: Any, _record: Any) -> None:  # noqa: ANN401 - the driver's types
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
