"""What policy needs of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trimtab.releases.ports import RegistryTransaction

if TYPE_CHECKING:
    from trimtab.policy.model import ApiKey

__all__ = ["AuditedKeyTransaction", "KeyTransaction"]


class KeyTransaction(Protocol):
    """Gateway keys inside one transaction."""

    def add_key(self, key: ApiKey) -> None: ...
    def keys(self) -> list[ApiKey]: ...
    def revoke_key(self, key_id: str, at_ms: int) -> None: ...


class AuditedKeyTransaction(RegistryTransaction, KeyTransaction, Protocol):
    """Keys together with the audit log."""
