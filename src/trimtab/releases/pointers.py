"""Environment pointers: which release is stable, moved with a compare-and-swap and a full history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import ConflictError, InputError, IntegrityError
from trimtab.core.ids import check_name
from trimtab.releases.model import Pointer, PointerMove, Release

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.releases.ports import RegistryTransaction

__all__ = ["PointerRequest", "replay_moves", "rollback_pointer", "set_pointer"]


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
    faster; `InputError` where it is not said who moves it.
    """
    check_name(request.environment, what="environment")
    if not request.actor:
        raise InputError("missing_actor", "a pointer moves for somebody", param="actor", hint="say who moves it")
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


def rollback_pointer(
    tx: RegistryTransaction, feature: str, environment: str, *, actor: str, reason: str, now_ms: int
) -> PointerMove:
    """Point an environment back at the release it served before the last move; twice is there and back again.

    Raises `ConflictError` (`nothing_to_roll_back`) where there was none, and as :func:`set_pointer`.
    """
    pointer = tx.pointer(feature, environment)
    moves = tx.pointer_moves(feature, environment)
    earlier = moves[-1].from_release if moves else None
    if pointer is None or earlier is None:
        raise ConflictError(
            "nothing_to_roll_back",
            f"`{environment}` has served one release of `{feature}` at most",
            param="environment",
            hint="name the release it should serve: trimtab environment set",
        )
    release = tx.release(earlier)
    if release is None:
        raise IntegrityError(
            "missing_release",
            f"`{environment}` served release {earlier} of `{feature}`, which is no longer stored",
            param=earlier,
            hint="restore the control database from a backup",
        )
    request = PointerRequest(
        release=release, environment=environment, actor=actor, reason=reason, expected_revision=pointer.revision
    )
    return set_pointer(tx, request, now_ms=now_ms)


def replay_moves(moves: Iterable[PointerMove]) -> Pointer | None:
    """Return where a history leads, `None` for an empty one; raises `IntegrityError` at the first gap."""
    pointer: Pointer | None = None
    for move in moves:
        revision, release = (pointer.revision, pointer.release) if pointer else (0, None)
        if (move.revision, move.from_release) != (revision + 1, release):
            raise IntegrityError(
                "broken_history",
                f"move {move.revision} of `{move.feature}` in `{move.environment}` does not follow move {revision}",
                param=f"{move.feature}/{move.environment}",
                hint="restore the control database from a backup",
            )
        pointer = Pointer(
            feature=move.feature, environment=move.environment, release=move.to_release, revision=move.revision
        )
    return pointer
