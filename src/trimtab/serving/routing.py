"""A snapshot made ready: from a feature and a unit to a decision, by looking up and hashing alone."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import InputError, NotFoundError
from trimtab.events import Arm
from trimtab.serving.assignment import arm_at, bucket_after, salted
from trimtab.serving.release import PreparedRelease
from trimtab.serving.snapshot import Price, RolloutRoute, Route, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Decision", "RoutingTable"]


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What one request meets."""

    feature: str
    environment: str
    release: PreparedRelease
    arm: Arm = "stable"
    unit: str = ""
    rollout: str = ""
    """Id of the rollout attempt in force; empty where none runs."""
    stage: int = -1
    mirror: PreparedRelease | None = None
    """The candidate to send a copy of the request to, after the user was answered."""
    capture_content: bool = True
    revision: int = 0
    """Revision of the snapshot that decided."""
    price: Price | None = None
    mirror_price: Price | None = None


_UNITS_REMEMBERED = 4096
"""Per feature; a snapshot that changes forgets them all."""
_Served = tuple[PreparedRelease, Price | None, PreparedRelease | None, Price | None]
"""What an arm serves and its price; what it is mirrored to and that one's price."""


class _ReadyRoute(msgspec.Struct, frozen=True, gc=False):
    """A route with everything looked up that no request changes."""

    route: Route
    environment: str
    revision: int
    capture_content: bool
    rollout: RolloutRoute | None
    rollout_id: str
    stage: int
    salt: bytes
    served: dict[tuple[Arm, bool], _Served]
    """By arm, and whether the request is mirrored."""
    known: dict[str, Decision]
    """Decisions by unit: a user who comes back meets what it met, without being hashed again."""


class RoutingTable:
    """All routes of one snapshot, prepared. Immutable: a new snapshot makes a new table."""

    __slots__ = ("_ready", "_releases", "snapshot")

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        reuse: Mapping[str, PreparedRelease] | None = None,
        withdrawn: frozenset[str] = frozenset(),
    ) -> None:
        """Prepare every release, taking those in `reuse` as they are.

        The rollouts in `withdrawn` (ids) are not served: everybody meets stable, as if there were none.

        Raises `InputError` where a release cannot be compiled or a route names one that is not in the snapshot.
        """
        reuse = reuse or {}
        self.snapshot = snapshot
        self._releases = {
            digest: reuse.get(digest) or PreparedRelease(compiled) for digest, compiled in snapshot.releases.items()
        }
        self._ready = {route.feature: self._make_ready(route, withdrawn) for route in snapshot.routes}

    def _make_ready(self, route: Route, withdrawn: frozenset[str]) -> _ReadyRoute:
        for digest in (route.stable, route.rollout.candidate if route.rollout else route.stable):
            if digest not in self._releases:
                raise InputError(
                    "incomplete_snapshot",
                    f"the route of `{route.feature}` names a release that the snapshot lacks",
                    param=digest,
                )
        snapshot, rollout = self.snapshot, route.rollout
        if rollout is not None and rollout.id in withdrawn:
            rollout = None
        stable = (self._releases[route.stable], snapshot.prices.get(route.stable))
        served: dict[tuple[Arm, bool], _Served] = {
            (arm, False): (*stable, None, None) for arm in ("stable", "matched_control")
        }
        if rollout is not None:
            candidate = (self._releases[rollout.candidate], snapshot.prices.get(rollout.candidate))
            served["candidate", False] = (*candidate, None, None)
            served["matched_control", True] = (*stable, *candidate)
        return _ReadyRoute(
            route,
            snapshot.environment,
            snapshot.revision,
            route.capture_content,
            rollout,
            rollout.id if rollout else "",
            rollout.stage if rollout else -1,
            salted(rollout.salt) if rollout else b"",
            served,
            {},
        )

    @property
    def releases(self) -> Mapping[str, PreparedRelease]:
        """Prepared releases by digest."""
        return self._releases

    @property
    def features(self) -> list[str]:
        """Names of the features served, sorted."""
        return sorted(self._ready)

    def route(self, feature: str) -> Route | None:
        """The route of a feature."""
        ready = self._ready.get(feature)
        return ready.route if ready else None

    def decide(self, feature: str, unit: str) -> Decision:
        """Return what a unit meets; raises `NotFoundError` (`unknown_feature`)."""
        ready = self._ready.get(feature)
        if ready is None:
            raise self._unknown(feature)
        decision = ready.known.get(unit)
        return decision if decision is not None else self._decide(ready, unit)

    def _decide(self, ready: _ReadyRoute, unit: str) -> Decision:
        rollout = ready.rollout
        arm: Arm = "stable"
        mirrored = False
        if rollout is not None and unit:
            arm, mirrored = arm_at(rollout, bucket_after(ready.salt, unit))
        release, price, mirror, mirror_price = ready.served[arm, mirrored]
        # Positional: this runs for most requests, and keywords would double its cost.
        decision = Decision(
            ready.route.feature,
            ready.environment,
            release,
            arm,
            unit,
            ready.rollout_id,
            ready.stage,
            mirror,
            ready.capture_content,
            ready.revision,
            price,
            mirror_price,
        )
        if len(ready.known) >= _UNITS_REMEMBERED:
            ready.known.clear()
        ready.known[unit] = decision
        return decision

    def _unknown(self, feature: str) -> NotFoundError:
        close = difflib.get_close_matches(feature, self.features, n=1)
        return NotFoundError(
            "unknown_feature",
            f"no feature `{feature}` in environment `{self.snapshot.environment}`",
            param="feature",
            hint=f"did you mean `{close[0]}`?" if close else "trimtab running lists the features that are served",
        )
