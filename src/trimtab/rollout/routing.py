"""Which share of units meets what in each state of a rollout. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.rollout.moves import weight_at
from trimtab.serving.snapshot import Challenger, RolloutRoute

if TYPE_CHECKING:
    from trimtab.rollout.model import Rollout
    from trimtab.rollout.spec import RolloutPlan

__all__ = ["is_routed", "routing"]

_ROUTED = frozenset({"shadowing", "progressing", "paused", "baking"})


def is_routed(rollout: Rollout) -> bool:
    """Return whether anybody may meet the candidate in this state."""
    return rollout.state in _ROUTED and rollout.stage >= 0


def routing(rollout: Rollout, plan: RolloutPlan) -> RolloutRoute | None:
    """Return how the units of a feature are split; `None` where nobody may meet the candidate.

    The matched control has the candidate's share, so that both arms see the same hours and the same users' mix; it
    gives way above one half. A paused rollout keeps the split of its step.
    """
    if not is_routed(rollout):
        return None
    current = plan.steps[rollout.stage]
    weight = weight_at(plan, rollout.stage)
    return RolloutRoute(
        id=rollout.id,
        candidate=rollout.candidate,
        salt=rollout.salt,
        stage=rollout.stage,
        state=rollout.state,
        weight=weight,
        control_weight=min(weight, 1.0 - weight),
        challengers=[
            Challenger(release=one.release, start=one.start, end=one.end)
            for one in rollout.challengers
            if one.stage == rollout.stage and one.release not in rollout.dropped
        ],
        bands=rollout.bands,
        fallback=plan.fallback,
        shadow=0.0 if current.shadow is None else current.shadow.traffic / 100,
        shadow_budget_usd=None if current.shadow is None else current.shadow.budget_usd,
        shadow_hosted_tools=[] if current.shadow is None else current.shadow.hosted_tools,
    )
