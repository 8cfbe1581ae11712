"""Keys: who may call a gateway, and which machines may be data planes. Shown once; only their SHA-256 is stored."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["ApiKey", "KeyRole"]

KeyRole = Literal["gateway", "data-plane"]
"""What a key opens: the gateway, or the control plane's door for data planes of other machines."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a team, by its hash."""

    id: str
    hash: str
    """Hex SHA-256 of the whole key."""
    team: str
    created_at_ms: int
    created_by: str
    revoked_at_ms: int | None = None
    role: KeyRole = "gateway"
