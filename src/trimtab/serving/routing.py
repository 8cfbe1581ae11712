"""A snapshot made ready: from a feature and a unit to a decision, by looking up and hashing alone."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import InputError, NotFoundError
from trimtab.events import Arm
from trimtab.serving.assignment import assign
from trimtab.serving.release import PreparedRelease
from trimtab.serving.snapshot import Price, Route, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Decision", "RoutingTable"]


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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


class RoutingTable:
    """All routes of one snapshot, prepared. Immutable: a new snapshot makes a new table."""

    __slots__ = ("_releases", "_routes", "snapshot")

    def __init__(self, snapshot: Snapshot, *, reuse: Mapping[str, PreparedRelease] | None = None) -> None:
        """Prepare every release, taking those in `reuse` as they are.

        Raises `InputError` where a release cannot be compiled or a route names one that is not in the snapshot.
        """
        reuse = reuse or {}
        self.snapshot = snapshot
        self._releases = {
            digest: reuse.get(digest) or PreparedRelease(compiled) for digest, compiled in snapshot.releases.items()
        }
        self._routes = {route.feature: route for route in snapshot.routes}
        for route in snapshot.routes:
            for digest in (route.stable, route.rollout.candidate if route.rollout else route.stable):
                if digest not in self._releases:
                    raise InputError(
                        "incomplete_snapshot",
                        f"the route of `{route.feature}` names a release that the snapshot lacks",
                        param=digest,
                    )

    @property
    def releases(self) -> Mapping[str, PreparedRelease]:
        """Prepared releases by digest."""
        return self._releases

    @property
    def features(self) -> list[str]:
        """Names of the features served, sorted."""
        return sorted(self._routes)

    def route(self, feature: str) -> Route | None:
        """The route of a feature."""
        return self._routes.get(feature)

    def decide(self, feature: str, unit: str) -> Decision:
        """Return what a unit meets; raises `NotFoundError` (`unknown_feature`)."""
        route = self._routes.get(feature)
        if route is None:
            raise self._unknown(feature)
        snapshot = self.snapshot
        stable = self._releases[route.stable]
        rollout = route.rollout
        if rollout is None:
            return Decision(
                feature=feature,
                environment=snapshot.environment,
                release=stable,
                unit=unit,
                capture_content=route.capture_content,
                revision=snapshot.revision,
                price=snapshot.prices.get(route.stable),
            )
        arm, mirrored = assign(rollout, unit)
        release = self._releases[rollout.candidate] if arm == "candidate" else stable
        return Decision(
            feature=feature,
            environment=snapshot.environment,
            release=release,
            arm=arm,
            unit=unit,
            rollout=rollout.id,
            stage=rollout.stage,
            mirror=self._releases[rollout.candidate] if mirrored else None,
            capture_content=route.capture_content,
            revision=snapshot.revision,
            price=snapshot.prices.get(release.digest),
            mirror_price=snapshot.prices.get(rollout.candidate) if mirrored else None,
        )

    def _unknown(self, feature: str) -> NotFoundError:
        close = difflib.get_close_matches(feature, self.features, n=1)
        return NotFoundError(
            "unknown_feature",
            f"no feature `{feature}` in environment `{self.snapshot.environment}`",
            param="feature",
            hint=f"did you mean `{close[0]}`?" if close else "trimtab running lists the features that are served",
        )
