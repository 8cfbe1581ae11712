"""A migration as a value: a plan for one environment, and where each of its forks stands."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trimtab.migration.inventory import ModelName
from trimtab.migration.states import FIRST, StateName

__all__ = [
    "Acknowledgement",
    "Fork",
    "HistoryEntry",
    "Migration",
    "MigrationArtifact",
    "MigrationOptions",
    "Override",
    "Passed",
    "Standing",
]

Standing = Literal["due", "waiting", "blocked", "held", "done"]
"""`due`: `run` does the work. `waiting`: for time or traffic. `blocked`: a gate said no. `held`: for a person."""


class MigrationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan was started with; kept, so that a resumed plan goes on by the same rules."""

    lead_days: float = 30.0
    """How long a migration takes: after shutdown less this, it is late."""
    traffic_days: float = 30.0
    """How far back recorded calls are looked at."""
    golden_items: int = 400
    """Of each fork, at most."""
    min_items: int = 30
    """Of each fork, for its golden set to pass."""
    heldout_share: float = 0.5
    max_noise: float = 0.2
    """Share of items, at most, whose behaviour differs between two answers of the old model."""
    max_errors: float = 0.02
    """Share of the new model's calls that may fail."""
    margin: float | None = None
    """Share of the held-out answers in which what programs read may be worse, as is shown; only told where `None`."""
    soak_hours: float = 24.0
    zero_call_hours: float = 168.0
    """How long nobody may have called the old model before it counts as retired."""
    approve_before: list[StateName] = msgspec.field(default_factory=lambda: ["shadow"])
    """States that a person lets a fork into."""
    parameters: dict[str, Any] = {}
    """What releases pin for the new model, whatever the lint proposes; `null` drops a parameter."""


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word in place of a gate's."""

    actor: str
    reason: str
    at_ms: int
    despite: list[str]
    """What the gate said."""


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """A state that a fork is through."""

    artifact: str
    """Digest."""
    at_ms: int
    override: Override | None = None


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """Who saw a finding."""

    actor: str
    reason: str
    at_ms: int


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """One feature with its own prompt, on its own way through the states."""

    name: str
    """The feature's."""
    release: str
    """Digest of the stable release that calls the old model: what a rollback returns to."""
    release_number: int
    prompt: str
    role: Literal["model", "fallback"] = "model"
    state: StateName = FIRST
    standing: Standing = "due"
    reasons: list[str] = []
    """Why it stands where it stands, in words."""
    until_ms: int | None = None
    """When waiting is over, where that is known."""
    pending: str = ""
    """Digest of what the state at hand wrote last, before its gate let it pass."""
    open_findings: list[str] = []
    """Findings of the lint that nobody has acknowledged."""
    passed: dict[StateName, Passed] = {}
    acknowledged: dict[str, Acknowledgement] = {}
    candidate: str = ""
    """Digest of the release that is to replace the old one; from state `adapt` on."""
    rejected: list[str] = []
    """Digests of candidates that rollouts proved harmful."""
    rollout: str = ""
    """Id of the rollout that states `shadow` to `cutover` follow."""


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a plan's history."""

    at_ms: int
    fork: str
    """Empty: of the whole plan."""
    actor: str
    what: str
    """`passed`, `override`, `rolled_back`, ..."""
    state: StateName
    """Where it led."""
    reason: str


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One model replaced by another in one environment."""

    id: str
    environment: str
    source: ModelName
    target: ModelName
    options: MigrationOptions
    status: Literal["live", "complete", "abandoned"] = "live"
    inventory: str = ""
    """Digest of the inventory; empty until it was taken."""
    reasons: list[str] = []
    """Why the inventory did not pass."""
    forks: list[Fork] = []
    history: list[HistoryEntry] = []
    version: int = 0
    """Counts saves; compare-and-swap."""
    created_at_ms: int
    created_by: str
    updated_at_ms: int

    def fork(self, name: str) -> Fork | None:
        """Return a fork by its name."""
        return next((fork for fork in self.forks if fork.name == name), None)


class MigrationArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """What a state wrote: immutable, identified by its content."""

    digest: str
    """SHA-256 over the canonical JSON of `content`."""
    migration: str
    fork: str
    state: StateName
    content: dict[str, Any]
    created_at_ms: int
