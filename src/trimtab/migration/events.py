"""What goes into the state machine of a migration and what comes out of it, as values."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trimtab.migration.states import StateName
from trimtab.releases.model import AuditAction

__all__ = [
    "Abandoned",
    "Acknowledged",
    "Approved",
    "Audit",
    "Effect",
    "Event",
    "ForkSeed",
    "Inventoried",
    "Rebased",
    "RolledBack",
    "RolloutEnded",
    "RolloutStarted",
    "TakeBack",
    "Worked",
]


class ForkSeed(msgspec.Struct, frozen=True, kw_only=True):
    """A fork that the inventory found."""

    name: str
    release: str
    release_number: int
    prompt: str
    role: Literal["model", "fallback"] = "model"


class Inventoried(msgspec.Struct, frozen=True, kw_only=True):
    """The inventory was taken."""

    artifact: str
    forks: list[ForkSeed]


class Worked(msgspec.Struct, frozen=True, kw_only=True):
    """The work of a state was done and written down, and its gate was asked."""

    fork: str
    state: StateName
    artifact: str
    """Digest of what it wrote; empty while it only waits."""
    gate: Literal["passed", "blocked", "waiting"]
    reasons: list[str] = []
    until_ms: int | None = None
    findings: list[str] = []
    """Of the lint: ids that must be acknowledged."""
    candidate: str = ""
    """Of state `adapt`: digest of the release it chose."""
    skipped_by: str = ""
    """Of states that follow a rollout: the person who promoted it past its evidence, for `reasons`."""


class Rebased(msgspec.Struct, frozen=True, kw_only=True):
    """A fork begins with another release than the inventory found: the environment was pointed at it meanwhile."""

    fork: str
    release: str
    release_number: int
    prompt: str


class RolloutStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout of the candidate began."""

    fork: str
    rollout: str


class RolloutEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout ended without a promotion."""

    fork: str
    rollout: str
    harmful: bool
    """Whether the candidate was proven harmful, rather than the attempt given up."""
    reason: str


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """A person saw findings of the lint. An empty list: all of them."""

    fork: str
    findings: list[str]
    actor: str
    reason: str


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    """A person lets a fork go on that is held, or past a gate that said no."""

    fork: str
    actor: str
    reason: str


class RolledBack(msgspec.Struct, frozen=True, kw_only=True):
    """A person sends a fork back."""

    fork: str
    actor: str
    reason: str
    to: StateName | None = None


class Abandoned(msgspec.Struct, frozen=True, kw_only=True):
    """A person gives the plan up. What forks changed for users is taken back first, by `RolledBack`."""

    actor: str
    reason: str


Event = (
    Inventoried | Rebased | Worked | RolloutStarted | RolloutEnded | Acknowledged | Approved | RolledBack | Abandoned
)


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """A line for the audit log."""

    actor: str
    action: AuditAction
    subject: str
    detail: dict[str, Any]


class TakeBack(msgspec.Struct, frozen=True, kw_only=True):
    """Users go back to the old release: the rollout is aborted, or where it was promoted, the pointer moved back."""

    feature: str
    rollout: str
    candidate: str
    release: str
    actor: str
    reason: str


Effect = Audit | TakeBack
