"""Control state in Postgres: the same tables, one writer at a time across all nodes, by an advisory lock.

Writers come seldom and are short, and every rule of the product is stated for one writer: so they take turns instead of
being retried. The lock is taken before anything is read, at READ COMMITTED: a snapshot taken while waiting would be
stale. It goes with the transaction, so a node that dies holds nobody up. Readers see one moment (REPEATABLE READ).
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import sqlalchemy as sa
import sqlalchemy.exc

from trimtab.core.errors import InputError
from trimtab.storage.refusals import nested_write
from trimtab.storage.sql_store import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PostgresStore", "open_postgres", "parsed_url"]

_LOCK = 0x7472696D746162  # "trimtab"
_READING = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]
_WRITING = [
    "BEGIN ISOLATION LEVEL READ COMMITTED",
    "SET LOCAL synchronous_commit = on",  # committed means durable, whatever the server's default is
    "SET LOCAL lock_timeout = '30s'",
    "SET LOCAL idle_in_transaction_session_timeout = '15s'",  # a node that hangs in its turn must not keep it
    f"SELECT pg_advisory_xact_lock({_LOCK})",
]


def open_postgres(url: str) -> PostgresStore:
    """Open the control database at a `postgresql://` URL, migrating it first.

    Raises `InputError` for what is no such URL, `StorageError` where the server cannot be reached or refuses.
    """
    store = PostgresStore(url)
    try:
        store.migrate()
    except BaseException:
        store.close()
        raise
    return store


class PostgresStore(SqlStore):
    """A `rollout.ports.ControlStore` on a Postgres server; thread-safe, and safe with any number of nodes."""

    def __init__(self, url: str) -> None:
        """Use :func:`open_postgres`."""
        target = parsed_url(url)
        engine = sa.create_engine(
            target.set(drivername="postgresql+psycopg"),
            isolation_level="AUTOCOMMIT",
            pool_pre_ping=True,  # a server that was restarted is noticed before a transaction begins, not in it
            connect_args={"connect_timeout": 10, "application_name": "trimtab"},
        )
        super().__init__(
            engine,
            place=target.render_as_string(hide_password=True),
            reading=_READING,
            writing=_WRITING,
            turn=_OneEach(target.render_as_string(hide_password=True)),
        )


class _OneEach:
    """Keeps a thread from waiting for itself; the server keeps the others."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._mine = threading.local()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        if getattr(self._mine, "held", False):
            raise nested_write(self._place)
        self._mine.held = True
        try:
            yield
        finally:
            self._mine.held = False


def parsed_url(url: str) -> sa.URL:
    """Return a URL in its parts; raises `InputError` (`malformed_database`), which does not repeat it."""
    try:
        target = sa.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        target = None
    if target is None or target.get_backend_name() not in {"postgresql", "postgres"} or not target.database:
        raise InputError(
            "malformed_database",
            "`database` is not a Postgres URL",  # which is not repeated: there may be a password in it
            param="database",
            hint="postgresql://user@host:5432/name; the password comes from PGPASSWORD or ~/.pgpass",
        )
    return target
