"""The audit log's hash chain: pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.canonical import canonical_digest
from trimtab.releases.model import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.releases.model import AuditAction

__all__ = ["GENESIS", "chain_fault", "next_entry"]

GENESIS = "sha256:" + "0" * 64
"""What the first entry follows."""


def next_entry(
    previous: AuditEntry | None,
    *,
    at_ms: int,
    actor: str,
    action: AuditAction,
    subject: str,
    detail: dict[str, Any],
) -> AuditEntry:
    """Return the entry that follows `previous` (`None` for the first)."""
    entry = AuditEntry(
        sequence=previous.sequence + 1 if previous else 1,
        at_ms=at_ms,
        actor=actor,
        action=action,
        subject=subject,
        detail=detail,
        previous=previous.digest if previous else GENESIS,
        digest="",
    )
    return msgspec.structs.replace(entry, digest=_digest(entry))


def chain_fault(entries: Iterable[AuditEntry]) -> str:
    """Walk a whole log from its first entry; return what is wrong at the first broken one, or an empty string.

    Finds entries changed, removed in the middle or slipped in. Entries cut off at the end leave a shorter whole chain:
    keep the head (`trimtab audit verify` prints it) somewhere else to notice that.
    """
    previous = GENESIS
    for sequence, entry in enumerate(entries, start=1):
        if entry.sequence != sequence:
            return f"entry {sequence} is missing: entry {entry.sequence} follows entry {sequence - 1}"
        if entry.previous != previous:
            return f"entry {sequence} does not follow entry {sequence - 1}: its `previous` is another digest"
        if entry.digest != _digest(entry):
            return f"entry {sequence} was changed: its content does not match its digest"
        previous = entry.digest
    return ""


def _digest(entry: AuditEntry) -> str:
    fields = msgspec.to_builtins(entry)
    del fields["digest"]
    return canonical_digest(fields)
