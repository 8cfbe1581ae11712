"""What every store refuses, and in which words: decided once, for memory and for SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import ConflictError, FencedError, NotFoundError, StorageError
from trimtab.rollout.ports import Lease

if TYPE_CHECKING:
    from trimtab.migration.model import Migration
    from trimtab.policy.model import ApiKey
    from trimtab.releases.eval_result import EvalResult
    from trimtab.releases.model import Pointer, PointerMove
    from trimtab.rollout.model import Rollout

__all__ = [
    "active_conflict",
    "check_move",
    "eval_conflict",
    "key_conflict",
    "migration_changed",
    "migration_conflict",
    "nested_write",
    "next_lease",
    "read_only",
    "require_lease",
    "unknown_feature",
    "unknown_key",
    "version_conflict",
]

_CLOCK_SKEW_MS = 60_000
"""By how much clocks of machines that share a store may differ."""


def check_move(move: PointerMove, pointer: Pointer | None, *, release_known: bool) -> None:
    """Raise unless a move follows where the pointer stands and leads to a stored release."""
    revision = pointer.revision if pointer else 0
    stands_at = pointer.release if pointer else None
    if (move.revision, move.from_release) != (revision + 1, stands_at):
        raise ConflictError(
            "pointer_moved",
            f"`{move.feature}` in `{move.environment}` is at move {revision} ({stands_at or 'nothing'}), "
            f"so move {move.revision} from {move.from_release or 'nothing'} cannot follow",
            param="revision",
            hint="somebody was faster: look at the history and decide again",
        )
    if not release_known:
        raise NotFoundError(
            "unknown_release",
            f"`{move.feature}` has no release {move.to_release}",
            param="to_release",
            hint="push it first",
        )


def unknown_feature(feature: str) -> NotFoundError:
    """Return the error of a row of a feature that is not stored."""
    return NotFoundError(
        "unknown_feature", f"there is no feature `{feature}`", param="feature", hint="push it: trimtab push FOLDER"
    )


def unknown_key(key_id: str) -> NotFoundError:
    """Return the error of a key that is not stored."""
    return NotFoundError("unknown_key", f"there is no key {key_id}", param="key", hint="trimtab key list")


def key_conflict(key: ApiKey) -> ConflictError:
    """Return the error of a key stored twice."""
    return ConflictError("key_exists", f"key {key.id} is stored already", param="key", hint="make another one")


def eval_conflict(result: EvalResult) -> ConflictError:
    """The error for a number that a suite's results have already."""
    return ConflictError(
        "eval_result_exists",
        f"result {result.number} of suite `{result.suite}` is stored already for this release",
        param="suite",
    )


def active_conflict(rollout: Rollout) -> ConflictError:
    """Return the error of a second live rollout."""
    return ConflictError(
        "rollout_active",
        f"`{rollout.feature}` has a rollout under way in `{rollout.environment}`",
        param="feature",
        hint="abort or promote it first",
    )


def version_conflict(rollout: Rollout, expected_version: int) -> FencedError:
    """Return the error of a lost compare-and-swap."""
    return FencedError(
        "rollout_changed",
        f"rollout {rollout.id} is no longer at version {expected_version}",
        param=rollout.id,
        hint="somebody else changed it: read it again and decide again",
    )


def migration_conflict(plan: Migration) -> ConflictError:
    """Return the error of a second live migration between two models."""
    return ConflictError(
        "migration_exists",
        f"`{plan.environment}` migrates from {plan.source.text} to {plan.target.text} already",
        param="to",
        hint="trimtab migration status tells where it stands",
    )


def migration_changed(plan: Migration, expected_version: int) -> FencedError:
    """Return the error of a lost compare-and-swap."""
    return FencedError(
        "migration_changed",
        f"migration {plan.id} is no longer at version {expected_version}",
        param=plan.id,
        hint="somebody else changed it meanwhile: look at its status and decide again",
    )


def next_lease(stored: Lease | None, name: str, *, holder: str, now_ms: int, ttl_ms: int, address: str) -> Lease | None:
    """Return the lease a holder gets now, `None` while it is somebody else's. Only a change of hands is a new epoch.

    A lease that runs out later than any clock near ours could have said was given before the clock was set back:
    waiting for it would leave everything without a leader for as long as that. Epochs fence its holder.
    """
    lease = Lease(name=name, holder=holder, epoch=1, expires_at_ms=now_ms + ttl_ms, address=address)
    if stored is None:
        return lease
    if stored.holder == holder and stored.expires_at_ms > 0:
        return msgspec.structs.replace(lease, epoch=stored.epoch)
    if now_ms < stored.expires_at_ms <= now_ms + ttl_ms + _CLOCK_SKEW_MS:
        return None
    return msgspec.structs.replace(lease, epoch=stored.epoch + 1)


def require_lease(stored: Lease | None, lease: Lease, *, now_ms: int) -> None:
    """Raise `FencedError` unless the lease is still this holder's, in this epoch, and has not run out."""
    if stored is None or (stored.holder, stored.epoch) != (lease.holder, lease.epoch) or stored.expires_at_ms <= now_ms:
        raise FencedError(
            "lease_lost",
            f"`{lease.name}` is no longer held by {lease.holder} in epoch {lease.epoch}",
            param=lease.name,
            hint="nothing was written; whoever holds it now goes on",
        )


def read_only() -> StorageError:
    """Return the error of writing through a reading transaction."""
    return StorageError("read_only", "this transaction only reads", hint="open one with store.write()")


def nested_write(place: str) -> StorageError:
    """Return the error of a write transaction inside another one of the same thread."""
    return StorageError(
        "nested_write",
        "a write transaction was opened inside another one",
        param=place,
        hint="pass the open transaction on instead",
    )
