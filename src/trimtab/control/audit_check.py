"""Does the audit log tell what is stored? The chain alone cannot notice that its end was cut off, or a pointer moved.

Everything audited names what it was about, so each stored thing is looked up in the log: one that the log does not know
was changed by hand, or the log was cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.core.errors import IntegrityError
from trimtab.core.ids import short_digest
from trimtab.releases.audit import chain_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trimtab.releases.model import AuditEntry
    from trimtab.rollout.ports import ControlTransaction

__all__ = ["audit_fault"]


def audit_fault(tx: ControlTransaction, entries: Sequence[AuditEntry]) -> str:
    """Return what is wrong first: a broken chain, damaged content, something stored that the log does not know.

    An empty string where log and store agree. `entries` is the whole log.
    """
    broken = chain_fault(entries)
    if broken:
        return broken
    told = {(entry.action, entry.subject, _detail(entry)) for entry in entries}
    try:
        for what, fact in _stored(tx):
            if fact not in told:
                return (
                    f"{what} is stored, but the log does not tell of it: the log was cut, or the store changed by hand"
                )
        return _pointer_fault(tx)
    except IntegrityError as error:
        return error.message


def _detail(entry: AuditEntry) -> str:
    return str(entry.detail.get("digest") or entry.detail.get("revision") or "")


def _stored(tx: ControlTransaction) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Yield everything that must have been audited, in words and as the log would tell it; reading checks digests."""
    for feature in tx.features():
        for artifact in tx.artifacts(feature.name):
            subject = f"{feature.name}/{artifact.kind}/{artifact.name}@v{artifact.number}"
            yield f"artifact {subject}", ("artifact.create", subject, artifact.digest)
        for release in tx.releases(feature.name):
            subject = f"{feature.name}#{release.number}"
            yield f"release {subject}", ("release.create", subject, release.digest)
            for result in tx.eval_results(release.digest):
                run = f"{subject}/{result.suite}/{result.number}"
                yield f"result {run}", ("eval.record", run, "")
    for pointer in tx.pointers():
        subject = f"{pointer.feature}/{pointer.environment}"
        for move in tx.pointer_moves(pointer.feature, pointer.environment):
            yield f"move {move.revision} of {subject}", ("pointer.move", subject, str(move.revision))
    keys = tx.keys()
    for key in keys:
        yield f"key {key.id}", ("key.create", key.id, "")


def _pointer_fault(tx: ControlTransaction) -> str:
    for pointer in tx.pointers():
        moves = tx.pointer_moves(pointer.feature, pointer.environment)
        last = moves[-1] if moves else None
        if last is None or (last.to_release, last.revision) != (pointer.release, pointer.revision):
            where = f"`{pointer.feature}` in `{pointer.environment}`"
            return f"{where} points at {short_digest(pointer.release)}, which its history does not tell of"
    return ""
