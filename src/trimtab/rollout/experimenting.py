"""What an `experiment` leads to: a challenger dropped, an arm proven better, or time up with nothing proven. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.experiment_evidence import CANDIDATE
from trimtab.rollout.moves import enter, move, pause
from trimtab.rollout.spec import seconds

if TYPE_CHECKING:
    from trimtab.analysis.experiment import ArmEvidence, ExperimentVerdict
    from trimtab.rollout.effects import Observation
    from trimtab.rollout.model import Rollout
    from trimtab.rollout.moves import Change
    from trimtab.rollout.spec import ExperimentStep, RolloutPlan

__all__ = ["at_experiment", "drop_harmed"]


def drop_harmed(rollout: Rollout, seen: Observation, now_ms: int) -> Change | None:
    """Send the units of challengers that are proven harmful back to stable; the other arms go on."""
    experiment = None if seen.verdict is None else seen.verdict.experiment
    if experiment is None:
        return None
    fresh = [arm for arm in experiment.arms if arm.harmed and arm.arm not in rollout.dropped]
    if not fresh:
        return None
    rollout = msgspec.structs.replace(rollout, dropped=[*rollout.dropped, *(arm.arm for arm in fresh)])
    reason = " ".join(f"{arm.label} was dropped: {arm.harmed}" for arm in fresh)
    return move(rollout, rollout.state, now_ms, reason=reason, pause_reason=rollout.pause_reason)


def at_experiment(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int, *, elapsed: float) -> Change:
    """End the step where an arm that the plan promotes is proven better, or where time is up."""
    step = plan.steps[rollout.stage].experiment
    if step is None:
        return rollout, []
    found = None if seen.verdict is None else seen.verdict.experiment
    winner = None if found is None else found.arm(found.best if step.promote == "winner" else CANDIDATE)
    if found is not None and winner is not None and winner.superior and _has_units(step, plan, found):
        return _won(rollout, plan, winner, now_ms)
    if elapsed < seconds(step.max_duration):
        return rollout, []
    standing = "" if found is None else f": {found.words}"
    reason = f"the experiment did not decide in {step.max_duration}{standing}"
    if step.on_inconclusive == "rollback":
        return move(rollout, "rolling_back", now_ms, reason=reason)
    if step.on_inconclusive == "promote":
        return enter(rollout, plan, rollout.stage + 1, now_ms, reason=reason)
    return pause(rollout, now_ms, "inconclusive", reason)


def _has_units(step: ExperimentStep, plan: RolloutPlan, found: ExperimentVerdict) -> bool:
    needed = plan.min_units if step.min_units is None else step.min_units
    return min(found.control_units, *(arm.units for arm in found.arms if not arm.harmed)) >= needed


def _won(rollout: Rollout, plan: RolloutPlan, winner: ArmEvidence, now_ms: int) -> Change:
    """Go on with the winner: a challenger takes the candidate's place for the rest of the plan."""
    why = f"{winner.label} is better than control: {'; '.join(goal.words for goal in winner.goals)}"
    if winner.arm != CANDIDATE:
        rollout = msgspec.structs.replace(rollout, candidate=winner.arm)
        why += "; it takes the candidate's place"
    return enter(rollout, plan, rollout.stage + 1, now_ms, reason=why)
