"""What every SQL store does alike: transactions that are begun and ended by hand, and migrations."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import sqlalchemy.exc

from trimtab.storage.migrate import current_revision, migrate
from trimtab.storage.schema import HEAD
from trimtab.storage.sql_errors import storage_error
from trimtab.storage.sql_evals import SqlEvals
from trimtab.storage.sql_migrations import SqlMigrations
from trimtab.storage.sql_nodes import SqlNodes
from trimtab.storage.sql_outbox import SqlOutbox
from trimtab.storage.sql_registry import SqlRegistry
from trimtab.storage.sql_rollouts import SqlRollouts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    import sqlalchemy as sa
    from sqlalchemy.engine import Connection

__all__ = ["SqlStore", "SqlTransaction", "WriteTurn"]


class WriteTurn(Protocol):
    """Who may write now."""

    def held(self) -> AbstractContextManager[None]:
        """Wait for one's turn, and hold it; raises `StorageError`."""
        ...


class SqlTransaction(SqlRegistry, SqlEvals, SqlRollouts, SqlNodes, SqlOutbox, SqlMigrations):
    """All control state inside one transaction (`migration.ports.PlanTransaction`)."""


class SqlStore:
    """A `migration.ports.PlanStore` over an engine whose driver begins nothing by itself (`AUTOCOMMIT`).

    `reading` and `writing` are the statements that begin a transaction; `turn` is held around each writing one.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        place: str,
        reading: Sequence[str],
        writing: Sequence[str],
        turn: WriteTurn,
    ) -> None:
        self._engine = engine
        self._place = place
        self._reading = reading
        self._writing = writing
        self._turn = turn

    @contextlib.contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        """A consistent view; writing through it raises `StorageError`."""
        with self._transaction(self._reading) as connection:
            yield SqlTransaction(connection, place=self._place, writable=False)

    @contextlib.contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        """The one writer. Committed means durable; an exception leaves nothing behind."""
        with self._turn.held(), self._transaction(self._writing) as connection:
            yield SqlTransaction(connection, place=self._place, writable=True)

    def migrate(self, target: str = HEAD) -> None:
        """Bring the schema up to date; costs one read where it is."""
        with self._transaction(self._reading) as connection:
            if current_revision(connection) == target:
                return
        with self._turn.held(), self._transaction(self._writing) as connection:
            migrate(connection, place=self._place, target=target)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _transaction(self, begin: Sequence[str]) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                try:
                    for statement in begin:
                        connection.exec_driver_sql(statement)
                    yield connection
                    connection.exec_driver_sql("COMMIT")
                except BaseException:
                    _roll_back(connection)
                    raise
        except sqlalchemy.exc.DBAPIError as error:
            raise storage_error(error, self._place) from error


def _roll_back(connection: Connection) -> None:
    with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):  # a full disk rolls back by itself, a lost server too
        connection.exec_driver_sql("ROLLBACK")
