"""What of an earlier snapshot may be served beside a newer one of which only the head is understood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from trimtab.serving.snapshot import Route, Snapshot
    from trimtab.serving.snapshot_reading import HeadRoute, SnapshotHead

__all__ = ["held_to"]


def held_to(head: SnapshotHead, earlier: Snapshot) -> Snapshot:
    """Return the earlier snapshot as far as the newer one leaves it in force; the same object where that is all of it.

    Routing is as it was, for nothing else is understood. But a key that was revoked admits nobody, a candidate whose
    rollout ended meets nobody, and content that is no longer to be recorded is not: that a data plane is older may keep
    none of these from it.
    """
    declared = head.read_routes()
    routes = (
        earlier.routes if declared is None else [_still(route, declared.get(route.feature)) for route in earlier.routes]
    )
    asks = earlier.keys_required or bool(earlier.keys) or head.keys_required
    if (routes, head.keys, asks) == (earlier.routes, earlier.keys, earlier.keys_required):
        return earlier
    return msgspec.structs.replace(earlier, routes=routes, keys=head.keys, keys_required=asks)


def _still(route: Route, now: HeadRoute | None) -> Route:
    captures = route.capture_content and (now is None or now.capture_content)
    rollout = route.rollout if _goes_on(route, now) else None
    if (captures, rollout) == (route.capture_content, route.rollout):
        return route
    return msgspec.structs.replace(route, capture_content=captures, rollout=rollout)


def _goes_on(route: Route, now: HeadRoute | None) -> bool:
    """Whether a rollout is in progress, or ended with a promotion: units then keep what they met."""
    rollout = route.rollout
    if rollout is None or now is None:
        return False
    arms = {rollout.candidate, *(challenger.release for challenger in rollout.challengers)}
    return now.stable in arms or (now.rollout is not None and now.rollout.id == rollout.id)
