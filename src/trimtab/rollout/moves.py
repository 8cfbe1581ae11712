"""What a rollout can do: move to a state, enter a step, pause, be promoted. Pure; when it does is decided elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.rollout.effects import AppendTransition, Effect, MovePointer, Notify, Publish
from trimtab.rollout.model import TERMINAL_STATES, Transition

if TYPE_CHECKING:
    from trimtab.rollout.model import Rollout, RolloutState
    from trimtab.rollout.spec import NotifyEvent, RolloutPlan, Step

__all__ = ["CONTROLLER", "Change", "enter", "move", "pause", "promote", "state_of", "weight_at"]

CONTROLLER = "controller"

Change = tuple["Rollout", list[Effect]]


def move(  # noqa: PLR0913 - one constructor for every transition
    rollout: Rollout,
    state: RolloutState,
    now_ms: int,
    *,
    reason: str,
    actor: str = CONTROLLER,
    pause_reason: str = "",
    notify: NotifyEvent | None = None,
) -> Change:
    """Return the rollout in a state, with its history; what is routed is published anew."""
    ended = now_ms if state in TERMINAL_STATES else None
    moved = msgspec.structs.replace(
        rollout, state=state, reason=reason, pause_reason=pause_reason, updated_at_ms=now_ms, ended_at_ms=ended
    )
    transition = Transition(
        rollout=rollout.id,
        at_ms=now_ms,
        from_state=rollout.state,
        to_state=state,
        stage=moved.stage,
        actor=actor,
        reason=reason,
    )
    effects: list[Effect] = [AppendTransition(transition), Publish(rollout.environment)]
    if notify is not None:
        told = Notify(event=notify, rollout=rollout.id, feature=rollout.feature, state=state, actor=actor, text=reason)
        effects.append(told)
    return moved, effects


def pause(rollout: Rollout, now_ms: int, pause_reason: str, reason: str, *, actor: str = CONTROLLER) -> Change:
    """Stay where it is until somebody, or traffic, resumes it."""
    return move(rollout, "paused", now_ms, reason=reason, actor=actor, pause_reason=pause_reason, notify="paused")


def promote(rollout: Rollout, now_ms: int, *, reason: str, actor: str) -> Change:
    """Make the candidate stable."""
    moved: list[Effect] = [MovePointer(to_release=rollout.candidate, actor=actor, reason=reason)]
    rollout, effects = move(rollout, "promoted", now_ms, reason=reason, actor=actor, notify="promoted")
    return rollout, moved + effects


def enter(
    rollout: Rollout, plan: RolloutPlan, stage: int, now_ms: int, *, reason: str, actor: str = CONTROLLER
) -> Change:
    """Enter a step; a weight takes effect at once and the step after it is entered with it."""
    effects: list[Effect] = []
    why = f"{reason.removesuffix('.')}; next: "
    while stage < len(plan.steps) and plan.steps[stage].set_weight is not None:
        rollout = msgspec.structs.replace(rollout, stage=stage, stage_entered_ms=now_ms)
        rollout, more = move(rollout, "progressing", now_ms, reason=why + plan.steps[stage].text, actor=actor)
        effects += more
        why = "next: "
        stage += 1
    if stage == len(plan.steps):
        rollout, more = promote(rollout, now_ms, reason=reason, actor=actor)
        return rollout, effects + more
    state, pause_reason = state_of(plan.steps[stage])
    rollout = msgspec.structs.replace(rollout, stage=stage, stage_entered_ms=now_ms)
    why += plan.steps[stage].text
    notify: NotifyEvent | None = "paused" if state == "paused" else None  # else nobody knows that it waits for them
    rollout, more = move(rollout, state, now_ms, reason=why, actor=actor, pause_reason=pause_reason, notify=notify)
    return rollout, effects + more


def state_of(current: Step) -> tuple[RolloutState, str]:
    """Return the state that a step is served in, and what it waits for where it is a pause."""
    if current.offline_eval is not None:
        return "evaluating", ""
    if current.shadow is not None:
        return "shadowing", ""
    if current.bake is not None:
        return "baking", ""
    if current.pause is not None and current.pause.waits_for_people:
        return "paused", "manual"
    return "progressing", ""


def weight_at(plan: RolloutPlan, stage: int) -> float:
    """Return the candidate's share of units in [0, 1] while a step is in force."""
    if stage >= 0 and (bake := plan.steps[stage].bake) is not None:
        return 1.0 - bake.control_weight / 100
    weights = [step.set_weight for step in plan.steps[: stage + 1] if step.set_weight is not None]
    return weights[-1] / 100 if weights else 0.0
