"""The state machine of a rollout: (rollout, plan, what happened) -> (rollout, effects). Pure; every rule stands here.

```
validating -> shadowing -> progressing(i) <-> paused -> baking -> promoted
any live state -> rolling_back -> rolled_back         also: superseded, expired
```

Order of precedence, strongest first: a proven harm, or a process that saw the
candidate's calls plainly fail, rolls back; a pointer moved by hand supersedes; the deadline
expires; a signal or a broken scorer pauses; only then may a step end. A step ends when its time is up, its units were
measured, and traffic of both arms flowed *in that step*: without traffic nothing ever advances.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import ConflictError
from trimtab.rollout.effects import (
    AppendTransition,
    Command,
    Effect,
    MovePointer,
    Notify,
    Observation,
    Publish,
    Withdrawn,
)
from trimtab.rollout.model import Transition
from trimtab.rollout.spec import seconds

if TYPE_CHECKING:
    from trimtab.rollout.model import Rollout, RolloutState
    from trimtab.rollout.spec import RolloutPlan, Step

__all__ = ["TERMINAL_STATES", "Change", "step", "weight_at"]

TERMINAL_STATES: frozenset[str] = frozenset({"promoted", "rolled_back", "superseded", "expired"})
CONTROLLER = "controller"
_STEPPING = frozenset({"shadowing", "progressing", "baking"})

Change = tuple["Rollout", list[Effect]]


def step(rollout: Rollout, plan: RolloutPlan, event: Observation | Command | Withdrawn, *, now_ms: int) -> Change:
    """Return the rollout after an event, and what must be done about it, in order.

    Nothing leaves a terminal state. Raises `ConflictError` for a command that the state does not allow.
    """
    match event:
        case Command():
            return _command(rollout, plan, event, now_ms)
        case Withdrawn():
            if rollout.state != "rolling_back":
                return rollout, []
            return _move(rollout, "rolled_back", now_ms, reason=rollout.reason, notify=True)
        case Observation():
            return _observe(rollout, plan, event, now_ms)


def _observe(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int) -> Change:
    if rollout.state in TERMINAL_STATES or rollout.state == "rolling_back":
        return rollout, []
    if seen.verdict is not None:
        rollout = msgspec.structs.replace(rollout, verdict=msgspec.to_builtins(seen.verdict))
    ended = _end(rollout, plan, seen, now_ms)
    if ended is not None:
        return ended
    if rollout.state == "validating":
        return _enter(rollout, plan, 0, now_ms, reason="the plan and both releases are valid")
    if rollout.state == "paused":
        return _wake(rollout, plan, seen, now_ms)
    return _advance(rollout, plan, seen, now_ms) if rollout.state in _STEPPING else (rollout, [])


def _end(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int) -> Change | None:
    """What ends an attempt in any live state, strongest first."""
    if seen.verdict is not None and seen.verdict.status == "failed":
        return _move(rollout, "rolling_back", now_ms, reason=seen.verdict.reason)
    if seen.withdrawn:
        return _move(rollout, "rolling_back", now_ms, reason=seen.withdrawn)
    if seen.stable != rollout.stable:
        reason = "the environment was pointed at another release while this rollout ran"
        return _move(rollout, "superseded", now_ms, reason=reason, notify=True)
    if now_ms - rollout.created_at_ms >= 1000 * seconds(plan.deadline):
        return _move(rollout, "expired", now_ms, reason=f"not finished after {plan.deadline}", notify=True)
    if rollout.state == "validating" and seen.problem:
        return _move(rollout, "rolling_back", now_ms, reason=seen.problem)
    return None


def _wake(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int) -> Change:
    """Only a lack of data ends by itself: all other pauses wait for a person."""
    if rollout.pause_reason == "no_data" and _has_traffic(plan, rollout.stage, seen):
        return _resume(rollout, plan, now_ms, actor=CONTROLLER, reason="traffic is back")
    return rollout, []


def _advance(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int) -> Change:
    held = _hold(rollout, seen, now_ms)
    if held is not None:
        return held
    current = plan.steps[rollout.stage]
    elapsed = (now_ms - rollout.stage_entered_ms) / 1000
    minimum, maximum = _times(current)
    if elapsed < minimum:
        return rollout, []
    if not _has_traffic(plan, rollout.stage, seen):
        return _without_data(rollout, plan, now_ms, overdue=maximum is None or elapsed >= maximum)
    if _has_units(plan, rollout.stage, seen) and _is_proven(current, seen):
        return _enter(rollout, plan, rollout.stage + 1, now_ms, reason=_why_done(current, seen))
    if maximum is not None and elapsed >= maximum:
        why = "" if seen.verdict is None else f": {seen.verdict.reason}"
        return _pause(rollout, now_ms, "inconclusive", f"the analysis did not decide in {maximum:g} s{why}")
    return rollout, []


def _hold(rollout: Rollout, seen: Observation, now_ms: int) -> Change | None:
    """What pauses a step in force: a scorer that cannot be believed, a signal that nobody has seen yet."""
    verdict = seen.verdict
    if seen.problem:
        return _pause(rollout, now_ms, "inconclusive", seen.problem)
    if verdict is None:
        return None
    if verdict.status == "error":
        return _pause(rollout, now_ms, "inconclusive", verdict.reason)
    alarms = [name for name in verdict.alarms if name not in rollout.acknowledged]
    if not alarms:
        return None
    words = " ".join(metric.words for metric in verdict.metrics if metric.name in alarms and metric.failed)
    return _pause(rollout, now_ms, "signal", words)


def _times(current: Step) -> tuple[float, float | None]:
    """Return (seconds at least, seconds at most) of a step; `None`: it waits as long as it takes."""
    if current.analysis is not None:
        return 0.0, seconds(current.analysis.max_duration)
    timed = current.shadow or current.pause or current.bake
    duration = None if timed is None else timed.duration
    return (0.0 if duration is None else seconds(duration)), None


def _has_traffic(plan: RolloutPlan, stage: int, seen: Observation) -> bool:
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
    return done


def _without_data(rollout: Rollout, plan: RolloutPlan, now_ms: int, *, overdue: bool) -> Change:
    timed = plan.steps[rollout.stage].pause
    if not overdue or (timed is not None and timed.duration is None):
        return rollout, []
    reason = f"nobody met both arms during `{plan.steps[rollout.stage].text}`"
    if plan.on_no_data == "rollback":
        return _move(rollout, "rolling_back", now_ms, reason=reason)
    return _pause(rollout, now_ms, "no_data", reason)


def _enter(
    rollout: Rollout, plan: RolloutPlan, stage: int, now_ms: int, *, reason: str, actor: str = CONTROLLER
) -> Change:
    """Enter a step; a weight takes effect at once and the step after it is entered with it."""
    effects: list[Effect] = []
    why = f"{reason}; next: "
    while stage < len(plan.steps) and plan.steps[stage].set_weight is not None:
        rollout = msgspec.structs.replace(rollout, stage=stage, stage_entered_ms=now_ms)
        rollout, more = _move(rollout, "progressing", now_ms, reason=why + plan.steps[stage].text, actor=actor)
        effects += more
        why = "next: "
        stage += 1
    if stage == len(plan.steps):
        rollout, more = _promote(rollout, now_ms, reason=reason, actor=actor)
        return rollout, effects + more
    state, pause_reason = _state_of(plan.steps[stage])
    rollout = msgspec.structs.replace(rollout, stage=stage, stage_entered_ms=now_ms)
    why += plan.steps[stage].text
    rollout, more = _move(rollout, state, now_ms, reason=why, actor=actor, pause_reason=pause_reason)
    return rollout, effects + more


def _state_of(current: Step) -> tuple[RolloutState, str]:
    if current.shadow is not None:
        return "shadowing", ""
    if current.bake is not None:
        return "baking", ""
    if current.pause is not None and current.pause.waits_for_people:
        return "paused", "manual"
    return "progressing", ""


def _promote(rollout: Rollout, now_ms: int, *, reason: str, actor: str) -> Change:
    moved: list[Effect] = [MovePointer(to_release=rollout.candidate, actor=actor, reason=reason)]
    rollout, effects = _move(rollout, "promoted", now_ms, reason=reason, actor=actor, notify=True)
    return rollout, moved + effects


def _pause(rollout: Rollout, now_ms: int, pause_reason: str, reason: str, *, actor: str = CONTROLLER) -> Change:
    return _move(rollout, "paused", now_ms, reason=reason, actor=actor, pause_reason=pause_reason, notify=True)


def _resume(rollout: Rollout, plan: RolloutPlan, now_ms: int, *, actor: str, reason: str) -> Change:
    current = plan.steps[rollout.stage]
    if rollout.pause_reason == "manual" and current.pause is not None and current.pause.waits_for_people:
        return _enter(rollout, plan, rollout.stage + 1, now_ms, reason=reason, actor=actor)
    state, _ = _state_of(current)
    known = rollout.acknowledged
    if rollout.pause_reason == "signal":  # the person who resumes has seen it: it may not pause the same rollout again
        known = sorted({*known, *rollout.verdict.get("alarms", [])})
    rollout = msgspec.structs.replace(rollout, stage_entered_ms=now_ms, acknowledged=known)
    return _move(rollout, state, now_ms, reason=reason, actor=actor)


def _command(rollout: Rollout, plan: RolloutPlan, command: Command, now_ms: int) -> Change:
    state, actor = rollout.state, command.actor
    reason = command.reason or f"{command.kind} by {actor}"
    if command.kind == "abort" and state not in TERMINAL_STATES | {"rolling_back"}:
        return _move(rollout, "rolling_back", now_ms, reason=reason, actor=actor)
    if command.kind == "pause" and state in _STEPPING:
        return _pause(rollout, now_ms, "manual", reason, actor=actor)
    if command.kind == "resume" and state == "paused":
        return _resume(rollout, plan, now_ms, actor=actor, reason=reason)
    if command.kind == "promote" and state in _STEPPING | {"paused"}:
        return _promote(rollout, now_ms, reason=f"skipped to full: {reason}", actor=actor)
    if command.kind == "supersede" and state not in TERMINAL_STATES | {"rolling_back"}:
        return _move(rollout, "superseded", now_ms, reason=reason, actor=actor, notify=True)
    raise ConflictError(
        "command_not_allowed",
        f"cannot {command.kind} a rollout that is `{state}`",
        param=rollout.id,
        hint="it has ended: start a new one" if state in TERMINAL_STATES else f"allowed: {_allowed(state)}",
    )


def _allowed(state: str) -> str:
    if state == "rolling_back":
        return "nothing, it is being withdrawn"
    if state in _STEPPING:
        return "pause, promote, abort"
    return "resume, promote, abort" if state == "paused" else "abort"


def _move(  # noqa: PLR0913 - one constructor for every transition
    rollout: Rollout,
    state: RolloutState,
    now_ms: int,
    *,
    reason: str,
    actor: str = CONTROLLER,
    pause_reason: str = "",
    notify: bool = False,
) -> Change:
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
    if notify:
        effects.append(Notify(rollout=rollout.id, feature=rollout.feature, state=state, text=reason))
    return moved, effects


def weight_at(plan: RolloutPlan, stage: int) -> float:
    """Return the candidate's share of units in [0, 1] while a step is in force."""
    if stage >= 0 and (bake := plan.steps[stage].bake) is not None:
        return 1.0 - bake.control_weight / 100
    weights = [step.set_weight for step in plan.steps[: stage + 1] if step.set_weight is not None]
    return weights[-1] / 100 if weights else 0.0
