"""Control state in SQLite: WAL, `synchronous=FULL`, one writer at a time in turn (see `write_lock`)."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from trimtab.core.errors import StorageError
from trimtab.storage.sql_store import SqlStore
from trimtab.storage.write_lock import WriteLock

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SqliteStore", "copy_sqlite", "open_sqlite"]

_PRAGMAS = ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")


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


def copy_sqlite(path: Path, target: Path) -> None:
    """Write a control database, as of one moment, into a new file, while it is in use; raises `StorageError`."""
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA {_PRAGMAS[0]}")
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        raise StorageError("copy_failed", f"the control database cannot be copied: {error}", param=str(path)) from error


class SqliteStore(SqlStore):
    """A `rollout.ports.ControlStore` in one file; thread-safe, and safe with any number of processes."""

    def __init__(self, path: Path) -> None:
        """Use :func:`open_sqlite`."""
        # the driver's implicit transactions are off: the statements below are the only ones that begin and end any
        engine = sa.create_engine(
            f"sqlite:///{path}", isolation_level="AUTOCOMMIT", connect_args={"check_same_thread": False}
        )
        sa.event.listen(engine, "connect", _prepare)
        super().__init__(
            engine,
            place=str(path),
            reading=["BEGIN"],
            writing=["BEGIN IMMEDIATE"],
            turn=WriteLock(path.with_name(f"{path.name}.queue")),
        )


def _prepare(connection: Any, _record: Any) -> None:  # noqa: ANN401 - the driver's types
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
