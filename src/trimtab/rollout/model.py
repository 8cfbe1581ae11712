"""A rollout as a value: what is being replaced by what, under which plan, and where it stands."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trimtab.serving.snapshot import Band

__all__ = [
    "LIVE_STATES",
    "TERMINAL_STATES",
    "Entrant",
    "GateAnswer",
    "GateStatus",
    "Holdout",
    "Rollout",
    "RolloutState",
    "Transition",
]

RolloutState = Literal[
    "draft",
    "validating",
    "evaluating",
    "shadowing",
    "progressing",
    "paused",
    "baking",
    "promoted",
    "rolling_back",
    "rolled_back",
    "superseded",
    "expired",
]

LIVE_STATES: frozenset[str] = frozenset(
    {"draft", "validating", "evaluating", "shadowing", "progressing", "paused", "baking", "rolling_back"}
)
"""States of an active rollout; at most one per feature and environment."""

TERMINAL_STATES: frozenset[str] = frozenset({"promoted", "rolled_back", "superseded", "expired"})
"""States that nothing leads out of."""

GateStatus = Literal["approved", "refused", "pending"]


class Entrant(msgspec.Struct, frozen=True, kw_only=True):
    """A challenger of one experiment."""

    stage: int
    """Index of the `experiment` step."""
    release: str
    """Digest."""
    label: str
    """`feature#number`."""
    start: float
    end: float
    """Its units: u in [start, end)."""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to replace the stable release of a feature by a candidate."""

    id: str
    feature: str
    environment: str
    stable: str
    """Digest of the release in force when the attempt began; what a rollback returns to."""
    candidate: str
    plan: bytes
    """Canonical JSON of the frozen plan (`rollout.spec.RolloutPlan`)."""
    salt: str
    state: RolloutState
    challengers: list[Entrant] = []
    """Releases that experiments of the plan serve beside the candidate."""
    dropped: list[str] = []
    """Digests of challengers whose harm was proven: their units went back to stable."""
    bands: list[Band] = []
    """Who takes part: its slot of a layer and the holdouts in force when it started."""
    stage: int = -1
    """Index of the step in force."""
    stage_entered_ms: int = 0
    pause_reason: str = ""
    """`manual`, `signal`, `srm`, `no_data`, `inconclusive`, `eval` or `harm`, while paused."""
    reason: str = ""
    """Why it is in this state, in words."""
    verdict: dict[str, Any] = {}
    """The evidence behind the last decision, for people and machines."""
    acknowledged: list[str] = []
    """Metrics whose alarm or proven harm a person saw and resumed past: they do not pause this attempt again."""
    srm_acknowledged: bool = False
    """Whether a person saw that the arms' sizes do not fit and resumed past it."""
    failed_eval: str = ""
    """The last failed result of a suite that was acted upon (`suite/number`): it does not stop this attempt again."""
    warned_stage: int = -1
    """The last step whose want of traffic was told of without pausing (`onNoData: warn`)."""
    version: int = 0
    """Counts saves; compare-and-swap."""
    epoch: int = 0
    """Epoch of the lease under which it was last saved."""
    created_at_ms: int
    created_by: str
    updated_at_ms: int
    ended_at_ms: int | None = None


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a rollout's history."""

    rollout: str
    at_ms: int
    from_state: str
    to_state: RolloutState
    stage: int
    actor: str
    reason: str


class Holdout(msgspec.Struct, frozen=True, kw_only=True):
    """Units that stay on stable whatever is rolled out: u in [0, percent / 100) under a salt that never changes."""

    environment: str
    feature: str
    """Empty: of every feature in the environment."""
    percent: float
    """0: nobody, and the salt is kept."""
    salt: str
    set_at_ms: int
    set_by: str


class GateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate said when it was last asked about a step."""

    rollout: str
    stage: int
    entered_ms: int
    """`stage_entered_ms` of the step it was asked about: what was said before a resume does not count after it."""
    status: GateStatus
    reason: str = ""
    asked_at_ms: int
