"""What a rehearsal begins with, and what comes of it."""

from __future__ import annotations

import msgspec

from trimtab.rollout.model import Rollout
from trimtab.rollout.rehearsal.crowd import Crowd
from trimtab.rollout.rehearsal.outcomes import Baseline
from trimtab.rollout.spec import RolloutPlan, encode_plan

__all__ = ["RunResult", "Scene", "attempt"]


class Scene(msgspec.Struct, frozen=True):
    """What is rehearsed, and before whom."""

    plan: RolloutPlan
    crowd: Crowd
    baseline: Baseline


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one rehearsal ended."""

    state: str
    """`promoted`, `rolled_back`, `expired`, `paused` where a person has to decide, `undecided`: see `MOST_SCORED`."""
    reason: str
    seconds: float
    """From the start to the end, or to the pause that waits for a person."""
    users_touched: int
    """Who met the candidate (in shadow nobody does)."""
    touched: list[tuple[float, int]]
    """(seconds, users who have met the candidate) now and then."""
    units: int
    """Units of the candidate that were measured, live and in shadow."""
    scored: int
    """Requests that were scored, of both arms: the work done."""
    harmed: list[str]
    """Guardrails and signals whose harm was proven."""
    unproven: list[str]
    """Guardrails and goals that were not proven no worse when it ended."""


def attempt(plan: RolloutPlan) -> Rollout:
    """Return the rollout that a rehearsal begins with."""
    return Rollout(
        id="rehearsal",
        feature="rehearsal",
        environment="rehearsal",
        stable="stable",
        candidate="candidate",
        plan=encode_plan(plan),
        salt="",
        state="validating",
        created_at_ms=0,
        created_by="rehearsal",
        updated_at_ms=0,
    )
