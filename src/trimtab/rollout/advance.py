"""When a step in force ends: time, units, traffic of both arms, proof, or the word of a gate or a suite. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.rollout.evaluating import evaluate
from trimtab.rollout.experimenting import at_experiment
from trimtab.rollout.moves import enter, move, pause, weight_at
from trimtab.rollout.spec import seconds

if TYPE_CHECKING:
    from trimtab.rollout.effects import Observation
    from trimtab.rollout.model import Rollout
    from trimtab.rollout.moves import Change
    from trimtab.rollout.spec import RolloutPlan, Step

__all__ = ["advance", "has_traffic"]


def advance(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int) -> Change:
    """End the step in force, where it is time to; nothing stands against the candidate."""
    current = plan.steps[rollout.stage]
    elapsed = (now_ms - rollout.stage_entered_ms) / 1000
    if current.offline_eval is not None:
        return evaluate(rollout, current.offline_eval, plan, seen, now_ms)
    if current.gate is not None:
        return _at_gate(rollout, plan, seen, now_ms, overdue=elapsed >= seconds(current.gate.timeout))
    return _in_time(rollout, plan, seen, now_ms, elapsed)


def _in_time(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int, elapsed: float) -> Change:
    """A step that ends by time, units and proof; `elapsed` is in seconds."""
    current = plan.steps[rollout.stage]
    minimum, maximum = _times(current)
    if elapsed < minimum:
        return rollout, []
    if not has_traffic(plan, rollout.stage, seen):
        return _without_data(rollout, plan, seen, now_ms, overdue=maximum is None or elapsed >= maximum)
    if current.experiment is not None:
        return at_experiment(rollout, plan, seen, now_ms, elapsed=elapsed)
    return _by_evidence(rollout, plan, seen, now_ms, overdue=maximum is not None and elapsed >= maximum)


def _by_evidence(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int, *, overdue: bool) -> Change:
    current = plan.steps[rollout.stage]
    if _has_units(plan, rollout.stage, seen) and _is_proven(current, seen):
        return enter(rollout, plan, rollout.stage + 1, now_ms, reason=_why_done(current, seen))
    why = _why_stuck(current, seen, overdue=overdue)
    return pause(rollout, now_ms, "inconclusive", why) if why else (rollout, [])


def _why_stuck(current: Step, seen: Observation, *, overdue: bool) -> str:
    """Return why waiting brings nothing more; empty while it may."""
    if current.shadow is not None and seen.mirrors_stopped:
        units = f"{seen.candidate_units:,} units were answered by both, too few to go on"
        return f"the money for mirrored requests is spent: {units}. {seen.mirrors}"
    if not overdue or current.analysis is None:
        return ""
    said = "" if seen.verdict is None else f": {seen.verdict.reason}"
    return f"the analysis did not decide in {seconds(current.analysis.max_duration):g} s{said}"


def _times(current: Step) -> tuple[float, float | None]:
    """Return (seconds at least, seconds at most) of a step; `None`: it waits as long as it takes."""
    if current.analysis is not None:
        return 0.0, seconds(current.analysis.max_duration)
    if current.experiment is not None:
        return 0.0, seconds(current.experiment.max_duration)
    timed = current.shadow or current.pause or current.bake
    duration = None if timed is None else timed.duration
    return (0.0 if duration is None else seconds(duration)), None


def has_traffic(plan: RolloutPlan, stage: int, seen: Observation) -> bool:
    """Whether every arm that is served in this step met somebody in it."""
    has_control = seen.control_generations > 0 or weight_at(plan, stage) >= 1.0
    return seen.candidate_generations > 0 and has_control


def _has_units(plan: RolloutPlan, stage: int, seen: Observation) -> bool:
    own = plan.steps[stage].min_units
    needed = plan.min_units if own is None else own
    control = seen.candidate_units if weight_at(plan, stage) >= 1.0 else seen.control_units
    return min(seen.candidate_units, control) >= needed


def _is_proven(current: Step, seen: Observation) -> bool:
    if current.analysis is None or current.analysis.mode == "noHarm":
        return True
    return seen.verdict is not None and seen.verdict.status == "successful"


def _why_done(current: Step, seen: Observation) -> str:
    done = f"{current.text}: done with {seen.candidate_units:,} candidate and {seen.control_units:,} control units"
    if current.analysis is not None and seen.verdict is not None:
        return f"{done}; {seen.verdict.reason}"
    return f"{done}. {seen.mirrors}" if current.shadow is not None and seen.mirrors else done


def _without_data(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int, *, overdue: bool) -> Change:
    timed = plan.steps[rollout.stage].pause
    if not overdue or (timed is not None and timed.duration is None):
        return rollout, []
    reason = f"nobody met both arms during `{plan.steps[rollout.stage].text}`"
    if seen.mirrors:
        reason = f"{reason}. {seen.mirrors}"
    if plan.on_no_data == "rollback":
        return move(rollout, "rolling_back", now_ms, reason=reason)
    if plan.on_no_data == "warn":
        if rollout.warned_stage == rollout.stage:
            return rollout, []
        rollout = msgspec.structs.replace(rollout, warned_stage=rollout.stage)
        return move(rollout, rollout.state, now_ms, reason=reason, notify="no_data")
    return pause(rollout, now_ms, "no_data", reason)


def _at_gate(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int, *, overdue: bool) -> Change:
    """Somebody else decides; only an answer given since the step was entered counts.

    Before any weight nobody is served the candidate, so there is no traffic to wait for.
    """
    answer = seen.gate
    if answer is None or (answer.stage, answer.entered_ms) != (rollout.stage, rollout.stage_entered_ms):
        answer = None
    if answer is not None and answer.status == "refused":
        return _gate_failed(rollout, plan, now_ms, f"the gate refused: {answer.reason}")
    if answer is not None and answer.status == "approved":
        if weight_at(plan, rollout.stage) > 0 and not has_traffic(plan, rollout.stage, seen):
            return _without_data(rollout, plan, seen, now_ms, overdue=overdue)
        reason = "the gate approved" + (f": {answer.reason}" if answer.reason else "")
        return enter(rollout, plan, rollout.stage + 1, now_ms, reason=reason)
    if overdue:
        last = f"; its last answer: {answer.reason}" if answer is not None else ""
        return _gate_failed(rollout, plan, now_ms, f"no approval within `{plan.steps[rollout.stage].text}`{last}")
    return rollout, []


def _gate_failed(rollout: Rollout, plan: RolloutPlan, now_ms: int, reason: str) -> Change:
    gate = plan.steps[rollout.stage].gate
    if gate is not None and gate.on_failure == "rollback":
        return move(rollout, "rolling_back", now_ms, reason=reason)
    return pause(rollout, now_ms, "inconclusive", reason)
