"""A snapshot made ready: from a feature and a unit to a decision, by looking up and hashing alone."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import InputError, NotFoundError
from trimtab.events import Arm
from trimtab.serving.assignment import arm_at, bucket_after, salted
from trimtab.serving.release import PreparedRelease
from trimtab.serving.snapshot import Price, Route, Snapshot

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


class _ReadyRoute(msgspec.Struct, frozen=True, gc=False):
    """A route with everything looked up that no request changes."""

    route: Route
    stable: PreparedRelease
    stable_price: Price | None
    candidate: PreparedRelease | None
    candidate_price: Price | None
    salt: bytes


class RoutingTable:
    """All routes of one snapshot, prepared. Immutable: a new snapshot makes a new table."""

    __slots__ = ("_ready", "_releases", "snapshot")

    def __init__(self, snapshot: Snapshot, *, reuse: Mapping[str, PreparedRelease] | None = None) -> None:
        """Prepare every release, taking those in `reuse` as they are.

        Raises `InputError` where a release cannot be compiled or a route names one that is not in the snapshot.
        """
        reuse = reuse or {}
        self.snapshot = snapshot
        self._releases = {
            digest: reuse.get(digest) or PreparedRelease(compiled) for digest, compiled in snapshot.releases.items()
        }
        self._ready = {route.feature: self._make_ready(route) for route in snapshot.routes}

    def _make_ready(self, route: Route) -> _ReadyRoute:
        for digest in (route.stable, route.rollout.candidate if route.rollout else route.stable):
            if digest not in self._releases:
                raise InputError(
                    "incomplete_snapshot",
                    f"the route of `{route.feature}` names a release that the snapshot lacks",
                    param=digest,
                )
        prices, rollout = self.snapshot.prices, route.rollout
        return _ReadyRoute(
            route,
            self._releases[route.stable],
            prices.get(route.stable),
            self._releases[rollout.candidate] if rollout else None,
            prices.get(rollout.candidate) if rollout else None,
            salted(rollout.salt) if rollout else b"",
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
        route, snapshot = ready.route, self.snapshot
        environment, revision, capture = snapshot.environment, snapshot.revision, route.capture_content
        rollout, candidate = route.rollout, ready.candidate
        # Positional: this runs for every request, and keywords would double its cost.
        if rollout is None or candidate is None:
            return Decision(
                feature, environment, ready.stable, "stable", unit, "", -1, None, capture, revision, ready.stable_price
            )
        arm, mirrored = arm_at(rollout, bucket_after(ready.salt, unit)) if unit else ("stable", False)
        release, price = ready.stable, ready.stable_price
        if arm == "candidate":
            release, price = candidate, ready.candidate_price
        mirror, mirror_price = (candidate, ready.candidate_price) if mirrored else (None, None)
        return Decision(
            feature,
            environment,
            release,
            arm,
            unit,
            rollout.id,
            rollout.stage,
            mirror,
            capture,
            revision,
            price,
            mirror_price,
        )

    def _unknown(self, feature: str) -> NotFoundError:
        close = difflib.get_close_matches(feature, self.features, n=1)
        return NotFoundError(
            "unknown_feature",
            f"no feature `{feature}` in environment `{self.snapshot.environment}`",
            param="feature",
            hint=f"did you mean `{close[0]}`?" if close else "trimtab running lists the features that are served",
        )
