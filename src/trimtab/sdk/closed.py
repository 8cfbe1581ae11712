"""What everything raises after `Trimtab.close`."""

from __future__ import annotations

from trimtab.core.errors import StorageError

__all__ = ["closed"]


def closed() -> StorageError:
    """Return the error (`closed`)."""
    return StorageError("closed", "this Trimtab is closed", hint="open a new one")
