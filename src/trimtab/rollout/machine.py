"""The state machine of a rollout: (rollout, plan, what happened) -> (rollout, effects). Pure; every rule stands here.

```
validating -> evaluating -> shadowing -> progressing(i) <-> paused -> baking -> promoted
any live state -> rolling_back -> rolled_back         also: superseded, expired
```

Order of precedence, strongest first: a proven harm, or a process that saw the candidate's calls plainly fail, rolls
back; a pointer moved by hand supersedes; the deadline expires; proven harm that the plan leaves to people, a scorer or
an assignment that cannot be believed, and a signal pause; only then may a step end. A step ends when its time is up,
its units were measured, and traffic of both arms flowed *in that step*: without traffic nothing ever advances.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import ConflictError
from trimtab.rollout.advance import advance, has_traffic
from trimtab.rollout.effects import Command, Observation, Withdrawn
from trimtab.rollout.experimenting import drop_harmed
from trimtab.rollout.model import TERMINAL_STATES
from trimtab.rollout.moves import CONTROLLER, enter, move, pause, promote, state_of
from trimtab.rollout.spec import seconds

if TYPE_CHECKING:
    from trimtab.analysis.verdict import Verdict
    from trimtab.rollout.model import Rollout
    from trimtab.rollout.moves import Change
    from trimtab.rollout.spec import RolloutPlan

__all__ = ["SKIPPED", "step"]

SKIPPED = "skipped to full"
"""How the reason of a promotion begins that a person brought about."""

_STEPPING = frozenset({"evaluating", "shadowing", "progressing", "baking"})


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
            return move(rollout, "rolled_back", now_ms, reason=rollout.reason, notify="rolled_back")
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
        return enter(rollout, plan, 0, now_ms, reason="the plan and both releases are valid")
    return _halt(rollout, seen, now_ms) or _go_on(rollout, plan, seen, now_ms)


def _halt(rollout: Rollout, seen: Observation, now_ms: int) -> Change | None:
    """Pause for proven harm where the plan leaves the rollback to people; everywhere else it has ended already."""
    verdict = seen.verdict
    if verdict is None or verdict.status != "failed" or rollout.pause_reason == "harm":
        return None
    harmed = _harmed(msgspec.to_builtins(verdict))
    if harmed and all(name in rollout.acknowledged for name in harmed):
        return None
    return pause(rollout, now_ms, "harm", verdict.reason)


def _harmed(verdict: dict[str, Any]) -> list[str]:
    """Return the guardrails against which harm is proven, of a verdict as it is stored."""
    metrics = verdict.get("metrics", [])
    return [one["name"] for one in metrics if one["failed"] and one["role"] == "guardrail" and not one.get("dry_run")]


def _go_on(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int) -> Change:
    """Nothing ends the attempt: drop a harmful challenger, wake up, hold still, or advance."""
    dropped = drop_harmed(rollout, seen, now_ms)
    if dropped is not None:
        return dropped
    if rollout.state == "paused":
        return _wake(rollout, plan, seen, now_ms)
    if rollout.state not in _STEPPING:
        return rollout, []
    return _hold(rollout, plan, seen, now_ms) or advance(rollout, plan, seen, now_ms)


def _end(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int) -> Change | None:
    """What ends an attempt in any live state, strongest first."""
    if plan.rollback.mode == "auto" and seen.verdict is not None and seen.verdict.status == "failed":
        return move(rollout, "rolling_back", now_ms, reason=seen.verdict.reason)
    if seen.withdrawn:
        return move(rollout, "rolling_back", now_ms, reason=seen.withdrawn)
    if seen.stable != rollout.stable:
        reason = "the environment was pointed at another release while this rollout ran"
        return move(rollout, "superseded", now_ms, reason=reason, notify="superseded")
    if now_ms - rollout.created_at_ms >= 1000 * seconds(plan.deadline):
        return move(rollout, "expired", now_ms, reason=f"not finished after {plan.deadline}", notify="expired")
    if rollout.state == "validating" and seen.problem:
        return move(rollout, "rolling_back", now_ms, reason=seen.problem)
    return None


def _wake(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int) -> Change:
    """Only a lack of data ends by itself: all other pauses wait for a person."""
    if rollout.pause_reason == "no_data" and has_traffic(plan, rollout.stage, seen):
        return _resume(rollout, plan, now_ms, actor=CONTROLLER, reason="traffic is back")
    return rollout, []


def _hold(rollout: Rollout, plan: RolloutPlan, seen: Observation, now_ms: int) -> Change | None:
    """What pauses a step in force: a scorer or an assignment that cannot be believed, a signal unseen."""
    verdict = seen.verdict
    if seen.problem:
        return pause(rollout, now_ms, "inconclusive", seen.problem)
    if verdict is not None and verdict.status == "error":
        return pause(rollout, now_ms, "inconclusive", verdict.reason)
    if seen.srm and not rollout.srm_acknowledged:
        return pause(rollout, now_ms, "srm", seen.srm)
    return None if verdict is None else _heed(rollout, plan, verdict, now_ms)


def _heed(rollout: Rollout, plan: RolloutPlan, verdict: Verdict, now_ms: int) -> Change | None:
    """What signals and segments lead to: a pause, or for segments a word to people; each once."""
    alarms = [name for name in verdict.alarms if name not in rollout.acknowledged]
    words = [metric.words for metric in verdict.metrics if metric.name in alarms and metric.failed]
    harmed = [one for one in verdict.segments if one.harmed and one.key not in rollout.acknowledged]
    if alarms or (harmed and plan.segment_action == "pause"):
        return pause(rollout, now_ms, "signal", " ".join([*words, *(one.words for one in harmed)]))
    if not harmed:
        return None
    rollout = _seen(rollout, [one.key for one in harmed])
    reason = " ".join(one.words for one in harmed)
    return move(rollout, rollout.state, now_ms, reason=reason, notify="segment")


def _resume(rollout: Rollout, plan: RolloutPlan, now_ms: int, *, actor: str, reason: str) -> Change:
    current = plan.steps[rollout.stage]
    if rollout.pause_reason == "manual" and current.pause is not None and current.pause.waits_for_people:
        return enter(rollout, plan, rollout.stage + 1, now_ms, reason=reason, actor=actor)
    state, waits_for = state_of(current)
    rollout = msgspec.structs.replace(_acknowledged(rollout), stage_entered_ms=now_ms)
    return move(rollout, state, now_ms, reason=reason, actor=actor, pause_reason=waits_for)


def _acknowledged(rollout: Rollout) -> Rollout:
    """Whoever resumes has seen why it paused: the same may not pause the same attempt again."""
    if rollout.pause_reason == "srm":
        return msgspec.structs.replace(rollout, srm_acknowledged=True)
    seen: list[str] = []
    if rollout.pause_reason == "signal":
        segments = [one for one in rollout.verdict.get("segments", []) if one["harmed"]]
        keys = [f"{one['segment']}={one['value']}/{one['metric']['name']}" for one in segments]
        seen = [*rollout.verdict.get("alarms", []), *keys]
    elif rollout.pause_reason == "harm":
        seen = _harmed(rollout.verdict)
    return _seen(rollout, seen)


def _seen(rollout: Rollout, names: list[str]) -> Rollout:
    return msgspec.structs.replace(rollout, acknowledged=sorted({*rollout.acknowledged, *names}))


def _command(rollout: Rollout, plan: RolloutPlan, command: Command, now_ms: int) -> Change:
    state, actor = rollout.state, command.actor
    reason = command.reason or f"{command.kind} by {actor}"
    if command.kind == "abort" and state not in TERMINAL_STATES | {"rolling_back"}:
        return move(rollout, "rolling_back", now_ms, reason=reason, actor=actor)
    if command.kind == "pause" and state in _STEPPING:
        return pause(rollout, now_ms, "manual", reason, actor=actor)
    if command.kind == "resume" and state == "paused":
        return _resume(rollout, plan, now_ms, actor=actor, reason=reason)
    if command.kind == "promote" and state in _STEPPING | {"paused"}:
        return promote(rollout, now_ms, reason=f"{SKIPPED}: {reason}", actor=actor)
    if command.kind == "supersede" and state not in TERMINAL_STATES | {"rolling_back"}:
        return move(rollout, "superseded", now_ms, reason=reason, actor=actor, notify="superseded")
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
