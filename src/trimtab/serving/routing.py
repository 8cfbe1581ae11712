"""A snapshot made ready: from a feature and a unit to a decision, by looking up and hashing alone."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from trimtab.core.errors import InputError, NotFoundError
from trimtab.serving.assignment import RESERVED, arm_at, bucket_after, challenger_at, salted, session_unit, takes_part
from trimtab.serving.decision import Decision, Served
from trimtab.serving.release import PreparedRelease

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.events import Arm
    from trimtab.serving.snapshot import RolloutRoute, Route, Snapshot

__all__ = ["RoutingTable"]


_UNITS_REMEMBERED: Final = 4096
"""Per feature; a snapshot that changes forgets them all."""


class _ReadyRoute:
    """A route with everything looked up that no request changes."""

    __slots__ = (
        "capture_content",
        "environment",
        "known",
        "revision",
        "rollout",
        "rollout_id",
        "route",
        "salt",
        "served",
        "sessions",
        "stage",
    )

    def __init__(
        self, route: Route, snapshot: Snapshot, rollout: RolloutRoute | None, served: dict[tuple[str, bool], Served]
    ) -> None:
        """`served`: by arm, of challengers by digest, and whether the request is mirrored."""
        self.route = route
        self.environment = snapshot.environment
        self.revision = snapshot.revision
        self.capture_content = route.capture_content
        self.rollout = rollout
        self.rollout_id = rollout.id if rollout else ""
        self.stage = rollout.stage if rollout else -1
        self.salt = salted(rollout.salt) if rollout else b""
        self.served = served
        self.known: dict[str, Decision] = {}
        """Decisions by unit: a user who comes back meets what it met, without being hashed again."""
        self.sessions: dict[str, Decision] = {}
        """The same by session, for callers without a unit."""


class RoutingTable:
    """All routes of one snapshot, prepared. Immutable: a new snapshot makes a new table."""

    __slots__ = ("_ready", "_releases", "met", "snapshot")

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
        self.met: dict[str, dict[str, Decision]] = {route.feature: {} for route in snapshot.routes}
        """Decisions by feature and unit of which it is on record that the unit met them; kept by `remember_met`."""

    def _make_ready(self, route: Route, withdrawn: frozenset[str]) -> _ReadyRoute:
        for digest in route.releases:
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
        served: dict[tuple[str, bool], Served] = {
            (arm, False): Served(*stable) for arm in ("stable", "matched_control")
        }
        if rollout is not None:
            candidate = (self._releases[rollout.candidate], snapshot.prices.get(rollout.candidate))
            served["candidate", False] = Served(*candidate)
            served["matched_control", True] = Served(*stable, *candidate, route)
            for challenger in rollout.challengers:
                digest = challenger.release
                served[digest, False] = Served(self._releases[digest], snapshot.prices.get(digest))
        return _ReadyRoute(route, snapshot, rollout, served)

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

    def decide(self, feature: Any, unit: Any, session: Any = "") -> Decision:
        """Return what a unit meets.

        Without a unit, the session is what is randomised where the rollout's plan falls back on it. A key that begins
        with U+001F is no caller's to give, and counts as none. Raises `NotFoundError` (`unknown_feature`), and
        `InputError` (`invalid_feature`, `invalid_unit`, `invalid_session`) for what is no text.
        """
        if unit or not session:
            try:
                decision = self._ready[feature].known.get(unit)
            except (KeyError, TypeError):  # not served, or nothing that can be looked up
                decision = None
            if decision is not None:
                return decision
        return self._decide_anew(feature, unit, session)

    def _decide_anew(self, feature: Any, unit: Any, session: Any) -> Decision:
        if type(feature) is not str or type(unit) is not str or type(session) is not str:
            _check_text(feature, "feature")
            _check_text(unit, "unit")
            _check_text(session, "session")
        ready = self._ready.get(feature)
        if ready is None:
            raise self._unknown(feature)
        if session and not unit:
            return self._by_session(ready, session)
        unit = str.__str__(unit)  # of a derived type it could not be written down
        return self._decide(ready, "" if unit.startswith(RESERVED) else unit, ready.known, unit)

    def _by_session(self, ready: _ReadyRoute, session: str) -> Decision:
        decision = ready.sessions.get(session)
        if decision is not None:
            return decision
        falls_back = ready.rollout is not None and ready.rollout.fallback
        return self._decide(ready, session_unit(session) if falls_back else "", ready.sessions, session)

    def _decide(self, ready: _ReadyRoute, unit: str, known: dict[str, Decision], key: str) -> Decision:
        rollout = ready.rollout
        arm: Arm = "stable"
        serves: str = arm
        mirrored = False
        if rollout is not None and unit and (not rollout.bands or takes_part(rollout.bands, unit)):
            position = bucket_after(ready.salt, unit)
            arm, mirrored = arm_at(rollout, position)
            challenger = challenger_at(rollout, position) if arm == "challenger" else None
            serves = arm if challenger is None else challenger.release
        served = ready.served[serves, mirrored]
        # Positional: this runs for most requests, and keywords would double its cost.
        decision = Decision(
            ready.route.feature,
            ready.environment,
            served.release,
            arm,
            unit,
            ready.rollout_id,
            ready.stage,
            served.mirror,
            ready.capture_content,
            ready.revision,
            served.price,
            served.mirror_price,
            served,
        )
        if len(known) >= _UNITS_REMEMBERED:
            known.clear()
        known[key] = decision
        return decision

    def remember_met(self, unit: str, decision: Decision) -> None:
        """Note that it is on record that a unit met a decision; one that counts as none meets it anew each time."""
        met = self.met.get(decision.feature)
        if met is not None and decision.unit:
            if len(met) >= _UNITS_REMEMBERED:
                met.clear()
            met[unit] = decision

    def _unknown(self, feature: str) -> NotFoundError:
        close = difflib.get_close_matches(feature, self.features, n=1)
        return NotFoundError(
            "unknown_feature",
            f"no feature `{feature}` in environment `{self.snapshot.environment}`",
            param="feature",
            hint=f"did you mean `{close[0]}`?" if close else "trimtab running lists the features that are served",
        )


def _check_text(value: object, name: str) -> None:
    if not isinstance(value, str):
        raise InputError(
            f"invalid_{name}",
            f"a {name} is text, not `{type(value).__name__}`",
            param=name,
            hint="leave it out where there is none" if value is None else "pass `str(...)` of it, and always the same",
        )
