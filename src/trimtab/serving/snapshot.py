"""The routing snapshot: the compiled, revisioned table a data plane needs to serve all its features."""

from __future__ import annotations

from typing import Literal

import msgspec

from trimtab.releases.model import CompiledRelease

__all__ = ["Band", "Challenger", "Price", "RolloutRoute", "Route", "Snapshot"]


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What tokens of a model cost, in US dollars per million tokens, on the day the snapshot was compiled."""

    input_usd: float
    output_usd: float


class Challenger(msgspec.Struct, frozen=True, kw_only=True):
    """A release that an experiment serves beside the candidate, to units whose u lies in [start, end)."""

    release: str
    """Digest."""
    start: float
    end: float


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """Who may take part in a rollout: units whose u under `salt` lies in [start, end)."""

    kind: Literal["layer", "holdout"]
    """For people: a slot of a layer, or all but the units that a holdout keeps on stable."""
    name: str
    """Of the layer; of a holdout the feature it holds units out of, empty where it is the whole environment."""
    salt: str
    start: float
    end: float


class RolloutRoute(msgspec.Struct, frozen=True, kw_only=True):
    """How a rollout in progress splits the units of a feature (see `serving.assignment`)."""

    id: str
    """Id of the rollout attempt."""
    candidate: str
    """Digest of the candidate release."""
    salt: str
    """Salt of the attempt: a retry draws anew."""
    stage: int
    """Index of the step in force."""
    state: str
    """State of the rollout when the snapshot was compiled, for people (`shadowing`, `progressing`, ...)."""
    weight: float = 0.0
    """Share of units on the candidate: u in [0, weight)."""
    control_weight: float = 0.0
    """Share of units on the matched control: u in [1 - control_weight, 1), never overlapping the candidate."""
    shadow: float = 0.0
    """Share of units, u in [0, shadow), whose requests are mirrored to the candidate; stable answers the user and
    is recorded as `matched_control`."""
    shadow_budget_usd: float | None = None
    """What the mirrors of this step may cost, on one machine; `None` where nothing limits it."""
    shadow_hosted_tools: list[str] = []
    """Kinds of tools that may run at the provider for a mirror: they are free of side effects."""
    challengers: list[Challenger] = []
    """In an experiment: between the candidate's units and the matched control's, overlapping neither."""
    bands: list[Band] = []
    """A unit takes part where it lies in every one of them; everybody else meets stable and is not compared."""
    fallback: Literal["", "session"] = ""
    """What is randomised where a caller gives no unit."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What one feature serves in one environment."""

    feature: str
    stable: str
    """Digest of the stable release."""
    team: str = ""
    capture_content: bool = True
    rollout: RolloutRoute | None = None

    @property
    def releases(self) -> list[str]:
        """Digests of all that may be served: stable, the candidate, its challengers."""
        rollout = self.rollout
        if rollout is None:
            return [self.stable]
        return [self.stable, rollout.candidate, *(challenger.release for challenger in rollout.challengers)]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a data plane needs; immutable, replaced whole. Revisions only grow."""

    revision: int
    environment: str
    published_at_ms: int
    routes: list[Route] = []
    releases: dict[str, CompiledRelease] = {}
    """By digest: stable and candidate of every route."""
    prices: dict[str, Price] = {}
    """By release digest; a release whose model has no known price is absent."""
    fallback_prices: dict[str, list[Price | None]] = {}
    """By release digest, one for each of its fallbacks; `None` where nobody knows. Absent without fallbacks."""
    keys: dict[str, str] = {}
    """Hex SHA-256 of a live gateway key -> team."""
    fingerprint: str = ""
    """Of all that decides the routing: who would publish the same again need not."""
    keys_required: bool = False
    """Whether a key was ever created: from then on gateways ask for one, also when all of them are revoked."""
    reader: int = 0
    """Least version of reader that serves it as it is meant (see `serving.snapshot_reading`); 0 from before there were
    any."""
    reader_for: list[str] = []
    """What it takes that version for, in words."""
