"""Driver errors, told as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def storage_error(error: sqlalchemy.exc.DBAPIError, place: str) -> StorageError:
    """Return our error for a driver's: `IntegrityError` where the file is damaged, else `StorageError`."""
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    primary = "_".join(name.split("_")[:2])  # SQLITE_IOERR_WRITE is a kind of SQLITE_IOERR
    code, hint = _FAILURES.get(primary, ("database_failed", None))
    kind = IntegrityError if primary in _DAMAGED else StorageError
    return kind(code, f"the control database failed: {error.orig}", param=place, hint=hint)


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
