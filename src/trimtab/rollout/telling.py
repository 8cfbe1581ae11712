"""What people are told of a rollout: what happened, why, and what to do next, in three lines. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.rollout.moves import CONTROLLER, weight_at

if TYPE_CHECKING:
    from trimtab.rollout.effects import Notify
    from trimtab.rollout.model import Rollout
    from trimtab.rollout.spec import RolloutPlan

__all__ = ["one_line", "told"]

_LONGEST_REASON = 1_000

_HAPPENED = {
    "paused": "{candidate} is paused in {environment}, {where}",
    "promoted": "{candidate} is now what {environment} serves, in place of {stable}",
    "rolled_back": "{candidate} was rolled back in {environment}: every {unit} gets {stable} again",
    "superseded": "The rollout of {candidate} in {environment} has ended unfinished: something else took its place",
    "expired": "The rollout of {candidate} in {environment} ran out of time: {stable} stays",
    "no_data": "The rollout of {candidate} in {environment} stands still, {where}",
    "segment": "{candidate} harms some {unit}s in {environment}, {where}; the rollout goes on",
}
_EITHER = "`trimtab rollout resume {id} --reason ...` goes on, `trimtab rollout abort {id} --reason ...` withdraws it"
_NEXT = {
    "paused": _EITHER,
    "promoted": "nothing; `trimtab environment rollback {feature} --reason ...` would bring {stable} back",
    "rolled_back": "`trimtab rollout explain {id}` shows the evidence; push what mends it, and start again",
    "superseded": "nothing, if that was meant; `trimtab environment history {feature}` tells who moved what",
    "expired": "`trimtab rollout explain {id}` shows the step it did not leave; start again with a later `deadline`",
    "no_data": "see that both releases are called in {environment}, with targeting keys: `trimtab running {feature}`",
    "segment": "a segment rolls nothing back, so this is for you to judge: `trimtab rollout pause {id} --reason ...` "
    "waits, `trimtab rollout abort {id} --reason ...` withdraws it",
}
_NEXT_WHILE_PAUSED = {
    "no_data": "nothing, if traffic comes back: then it goes on by itself; `trimtab running {feature}` shows who calls",
    "signal": "a signal rolls nothing back, so this is for you to judge: " + _EITHER,
    "srm": "find out why before believing any comparison of this attempt; " + _EITHER,
    "inconclusive": "`trimtab rollout explain {id}` shows what is known; " + _EITHER,
    "eval": "`trimtab eval list {feature}` shows all results; once a new run is recorded, " + _EITHER,
    "harm": "the plan leaves this to you, and users keep the candidate until you decide: " + _EITHER,
}


def told(notify: Notify, rollout: Rollout, plan: RolloutPlan, *, releases: dict[str, str]) -> str:
    """Return what a person is told; `releases` says what people call each digest."""
    words = {
        "id": rollout.id,
        "feature": rollout.feature,
        "environment": rollout.environment,
        "candidate": releases.get(rollout.candidate, rollout.feature),
        "stable": releases.get(rollout.stable, "the release before it"),
        "unit": plan.unit,
        "where": _where(rollout, plan),
    }
    happened = _HAPPENED[notify.event].format_map(words)
    next_step = _NEXT[notify.event]
    if notify.event == "paused":
        kind = f" ({rollout.pause_reason.replace('_', ' ')})" if rollout.pause_reason else ""
        happened += kind
        next_step = _NEXT_WHILE_PAUSED.get(rollout.pause_reason, next_step)
    who = "" if notify.actor == CONTROLLER or notify.actor in notify.text else f"{notify.actor}: "
    why = who + one_line(notify.text)
    return f"{happened}.\nWhy: {why}\nNext: {next_step.format_map(words)}"


def one_line(text: str) -> str:
    """Return what others said in one line that is not endless: it must not pass for lines of ours."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else line[: _LONGEST_REASON - 1] + "…"


def _where(rollout: Rollout, plan: RolloutPlan) -> str:
    if rollout.stage in plan.shadow_stages:
        return "while it only shadows"
    weight = weight_at(plan, rollout.stage) if rollout.stage >= 0 else 0.0
    slot = "" if plan.layer is None else f" in its slot of {plan.layer.share:g} %"
    return f"at {100 * weight:g} % of {plan.unit}s{slot}" if weight else f"before any {plan.unit} met it"
