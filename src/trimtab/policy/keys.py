"""Keys: made, listed, revoked. The secret is returned once and only its hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from trimtab.core.errors import ConflictError, NotFoundError
from trimtab.core.ids import check_name, new_id
from trimtab.policy.model import ApiKey

if TYPE_CHECKING:
    from trimtab.policy.model import KeyRole
    from trimtab.policy.ports import AuditedKeyTransaction

__all__ = ["create_key", "hash_key", "revoke_key"]

_PREFIX = "tt-"
_BYTES = 32


def hash_key(secret: str) -> str:
    """Return the hex SHA-256 under which a key is known (a random key of 256 bits needs no slow hash)."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create_key(
    tx: AuditedKeyTransaction, team: str, *, actor: str, now_ms: int, role: KeyRole = "gateway"
) -> tuple[ApiKey, str]:
    """Store a new key of a team; returns it and the secret, which nobody can show again."""
    check_name(team, what="team")
    secret = _PREFIX + secrets.token_urlsafe(_BYTES)
    key = ApiKey(
        id=new_id("key", now_ms),
        hash=hash_key(secret),
        team=team,
        created_at_ms=now_ms,
        created_by=actor,
        role=role,
    )
    tx.add_key(key)
    tx.append_audit(at_ms=now_ms, actor=actor, action="key.create", subject=key.id, detail=_detail(key))
    return key, secret


def revoke_key(tx: AuditedKeyTransaction, key_id: str, *, actor: str, now_ms: int) -> None:
    """Revoke a key; raises `NotFoundError` for an unknown one, `ConflictError` where it is revoked already."""
    stored = tx.keys()
    key = next((key for key in stored if key.id == key_id), None)
    if key is None:
        raise NotFoundError("unknown_key", f"there is no key {key_id}", param="key", hint="trimtab key list")
    if key.revoked_at_ms is not None:
        raise ConflictError("key_revoked", f"{key_id} is revoked already", param="key", hint="nothing to do")
    tx.revoke_key(key_id, now_ms)
    tx.append_audit(at_ms=now_ms, actor=actor, action="key.revoke", subject=key_id, detail=_detail(key))


def _detail(key: ApiKey) -> dict[str, str]:
    return {"team": key.team} if key.role == "gateway" else {"team": key.team, "role": key.role}
