"""Gateway keys: who may call. A key is shown once; only its SHA-256 is stored."""

from __future__ import annotations

import msgspec

__all__ = ["ApiKey"]


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway key of a team, by its hash."""

    id: str
    hash: str
    """Hex SHA-256 of the whole key."""
    team: str
    created_at_ms: int
    created_by: str
    revoked_at_ms: int | None = None
