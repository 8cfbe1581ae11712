"""Which database holds the control state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from trimtab.bootstrap.settings import Settings
    from trimtab.control.feed import Notices
    from trimtab.storage.sql_store import SqlStore

__all__ = ["open_database", "open_notices", "open_store"]


def open_store(settings: Settings) -> SqlStore:
    """Open the control state: SQLite in the data directory, or the Postgres that the settings name.

    Raises `StorageError` where it cannot be opened, `InputError` for a `database` that is no Postgres URL.
    """
    if settings.database:
        return open_database(settings.database)
    from trimtab.storage.sqlite import open_sqlite

    return open_sqlite(settings.data_directory.database)


def open_notices(settings: Settings) -> Notices:
    """Open what tells when a snapshot was published: Postgres itself, or the snapshot files of the one machine."""
    if settings.database:
        from trimtab.storage.postgres_notices import PostgresNotices

        return PostgresNotices(settings.database)
    from trimtab.rollout.files import SnapshotFolderNotices

    return SnapshotFolderNotices(settings.data_directory)


def open_database(url: str) -> SqlStore:
    """Open the Postgres at a URL; raises as :func:`open_store`."""
    try:
        import psycopg  # noqa: F401 - SQLAlchemy loads it by name, and would not say how to get it
    except ModuleNotFoundError as error:
        raise InputError(
            "missing_extra",
            "this installation cannot speak to Postgres",
            param="database",
            hint="pip install 'trimtab[server,postgres]'",
        ) from error
    from trimtab.storage.postgres import open_postgres

    return open_postgres(url)
