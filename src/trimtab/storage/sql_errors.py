"""Driver errors, told as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.core.errors import IntegrityError, StorageError

if TYPE_CHECKING:
    import sqlalchemy.exc

__all__ = ["damaged", "storage_error"]

_FAILURES: dict[str, tuple[str, str]] = {
    "SQLITE_FULL": ("disk_full", "nothing was half-written: free some space and try again"),
    "SQLITE_IOERR": ("disk_failed", "nothing was half-written: is the disk full, over quota or failing?"),
    "SQLITE_READONLY": ("database_read_only", "is the data directory writable by this user?"),
    "SQLITE_CANTOPEN": ("database_unavailable", "is the data directory there, and readable and writable by this user?"),
    "SQLITE_BUSY": ("database_locked", "another program has the database open for writing; use Trimtab's own commands"),
    "SQLITE_CORRUPT": ("database_corrupt", "restore it from a backup; data planes go on with their last good snapshot"),
    "SQLITE_NOTADB": ("not_a_database", "is this the right file?"),
}
_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})


_STATES: dict[str, tuple[str, str]] = {
    "08": ("database_unavailable", "is the Postgres server up, and reachable from here?"),
    "57P": ("database_unavailable", "the Postgres server was shut down or restarted: try again"),
    "53100": ("disk_full", "nothing was half-written: free some space on the Postgres server"),
    "53300": ("too_many_connections", "raise max_connections of the Postgres server, or put a pooler before it"),
    "55P03": ("write_lock_timeout", "other writers held the lock for more than 30 s: is a node stuck?"),
    "28": ("database_refused", "check user and password: PGPASSWORD or ~/.pgpass where this process runs"),
    "42501": ("database_refused", "the user needs CREATE on the schema once, and to read and write its tables"),
    "3D000": ("no_database", "create it: createdb NAME"),
    "25P03": ("turn_lost", "this process stood still for 15 s inside of a transaction: nothing of it was written"),
    "25006": ("database_read_only", "this server takes no writes: is it a standby?"),
    "XX001": ("database_corrupt", "restore it from a backup; data planes go on with their last good snapshot"),
}
"""By the beginning of an SQLSTATE."""


def storage_error(error: sqlalchemy.exc.DBAPIError, place: str) -> StorageError:
    """Return our error for a driver's: `IntegrityError` where the file is damaged, else `StorageError`."""
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    primary = "_".join(name.split("_")[:2])  # SQLITE_IOERR_WRITE is a kind of SQLITE_IOERR
    code, hint = _FAILURES.get(primary) or _told_by_postgres(error.orig) or ("database_failed", None)
    kind = IntegrityError if primary in _DAMAGED else StorageError
    return kind(code, f"the control database failed: {error.orig}", param=place, hint=hint)


def _told_by_postgres(error: Any) -> tuple[str, str] | None:  # noqa: ANN401 - the driver's own error
    if not hasattr(error, "sqlstate"):
        return None
    state: str = error.sqlstate or "08"  # none where it never came to an answer
    return next((told for begin, told in _STATES.items() if state.startswith(begin)), None)


def damaged(
    what: str, *, param: str | None = None, why: str = "its content does not match its digest"
) -> IntegrityError:
    """Return the error of a row that is not what was stored."""
    return IntegrityError(
        "damaged_content",
        f"{what} is not what was stored: {why}",
        param=param,
        hint="restore the control database from a backup; `trimtab audit verify` finds changes by hand",
    )
