"""Environment pointers: which release is stable, moved with a compare-and-swap and a full history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import ConflictError
from trimtab.core.ids import check_name
from trimtab.releases.model import PointerMove, Release

if TYPE_CHECKING:
    from trimtab.releases.ports import RegistryTransaction

__all__ = ["PointerRequest", "set_pointer"]


class PointerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Point an environment at a release."""

    release: Release
    environment: str
    actor: str
    reason: str
    expected_revision: int | None = None
    """Refuse unless the pointer is at this revision (0: was never set); `None` takes it as it is."""


def set_pointer(tx: RegistryTransaction, request: PointerRequest, *, now_ms: int) -> PointerMove:
    """Move a pointer and write history and audit.

    Raises `ConflictError`: `pointer_unchanged` where it points there already, `pointer_moved` where somebody was
    faster.
    """
    check_name(request.environment, what="environment")
    release = request.release
    pointer = tx.pointer(release.feature, request.environment)
    revision = pointer.revision if pointer else 0
    if request.expected_revision is not None and request.expected_revision != revision:
        raise ConflictError(
            "pointer_moved",
            f"`{release.feature}` in `{request.environment}` is at move {revision}, not {request.expected_revision}",
            param="expected_revision",
            hint="look at the history and decide again",
        )
    if pointer and pointer.release == release.digest:
        raise ConflictError(
            "pointer_unchanged",
            f"`{request.environment}` serves {release.feature}#{release.number} already",
            param="release",
            hint="nothing to do",
        )
    move = PointerMove(
        feature=release.feature,
        environment=request.environment,
        revision=revision + 1,
        from_release=pointer.release if pointer else None,
        to_release=release.digest,
        at_ms=now_ms,
        actor=request.actor,
        reason=request.reason,
    )
    tx.move_pointer(move)
    tx.append_audit(
        at_ms=now_ms,
        actor=request.actor,
        action="pointer.move",
        subject=f"{release.feature}/{request.environment}",
        detail={
            "from": move.from_release,
            "to": move.to_release,
            "reason": move.reason,
            "rollout": None,
            "revision": move.revision,
        },
    )
    return move
