"""What a rehearsal takes for granted, and what it can tell of a plan without rehearsing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.releases.eval_result import EvalResult
from trimtab.rollout.model import GateAnswer
from trimtab.rollout.moves import weight_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.rollout.model import Rollout
    from trimtab.rollout.spec import RolloutPlan

__all__ = ["MOST_REQUESTS_PER_SECOND", "gate_approval", "suite_passed", "taken_for_granted", "taking_part"]

MOST_REQUESTS_PER_SECOND = 10_000_000 / 86_400
"""More traffic than this is rehearsed as this much."""


def taking_part(plan: RolloutPlan, users: int) -> int:
    """Return how many of the users a rollout may meet: not those outside its slot of a layer, nor those held out."""
    share = (1.0 - (plan.holdout or 0.0) / 100) * (1.0 if plan.layer is None else plan.layer.share / 100)
    return round(users * share)


def gate_approval(rollout: Rollout) -> GateAnswer:
    """Return what a gate says that approves at once."""
    return GateAnswer(
        rollout=rollout.id,
        stage=rollout.stage,
        entered_ms=rollout.stage_entered_ms,
        status="approved",
        asked_at_ms=rollout.stage_entered_ms,
    )


def suite_passed(rollout: Rollout, plan: RolloutPlan) -> EvalResult | None:
    """Return the result that the step at hand waits for, where it waits for one."""
    current = plan.steps[rollout.stage].offline_eval if rollout.stage >= 0 else None
    if current is None:
        return None
    return EvalResult(
        feature=rollout.feature,
        release=rollout.candidate,
        suite=current.suite,
        number=1,
        passed=True,
        source="simulation",
        dataset=current.dataset or "",
        at_ms=rollout.stage_entered_ms,
        actor="rehearsal",
    )


def taken_for_granted(plan: RolloutPlan, users: int, *, larger: float) -> list[str]:
    """Return, as sentences, what people or others are assumed to do, and which steps can never end.

    `larger`: how many times as much traffic there is as is rehearsed.
    """
    return [*_people(plan), *_bounds(larger), *_left_out(plan, users), *_too_few_users(plan, taking_part(plan, users))]


def _people(plan: RolloutPlan) -> Iterator[str]:
    for index, step in enumerate(plan.steps, start=1):
        if step.pause is not None and step.pause.waits_for_people:
            yield f"step {index} waits for a person, who is assumed to resume at once"
        if step.offline_eval is not None:
            yield f"step {index} waits for the suite `{step.offline_eval.awaited}`, which is assumed to have passed"
        if step.gate is not None:
            yield f"step {index} asks {step.gate.asked}, which is assumed to approve at once"
        if step.experiment is not None:
            end = step.experiment.on_inconclusive
            yield f"step {index} is an experiment: no arm is rehearsed to be better, so it ends undecided (`{end}`)"
            if step.experiment.arms:
                yield f"the challengers of step {index} are not rehearsed: their users count as plain stable"
    if plan.rollback.mode == "pause":
        yield "`rollback.mode` is `pause`: somebody is assumed to roll back as soon as harm is proven"


def _left_out(plan: RolloutPlan, users: int) -> Iterator[str]:
    if taking_part(plan, users) < users:
        yield f"{taking_part(plan, users):,} of {users:,} users take part, by the plan's layer and holdout"
    for metric in plan.metrics:
        if metric.compares_answers:
            yield f"`{metric.name}` is not rehearsed: simulated users get no texts, and nothing pauses for it"
        elif metric.judge is not None:
            yield f"`{metric.name}` is not rehearsed: nobody labels simulated users, so nothing waits for it either"


def _bounds(larger: float) -> Iterator[str]:
    if larger > 1.0:
        most = f"{MOST_REQUESTS_PER_SECOND * 86_400:,.0f} requests a day"
        yield f"rehearsed with {most}, users touched scaled up; more traffic ends hardly any step sooner"


def _too_few_users(plan: RolloutPlan, users: int) -> Iterator[str]:
    """Units count once: a step that asks for more than can come in its share never ends."""
    starved = list(_starved(plan, users))
    for index, needed, share in starved[:1]:
        more = f" (nor do steps {', '.join(str(one + 1) for one, _, _ in starved[1:])})" if len(starved) > 1 else ""
        yield (
            f"step {index + 1} (`{plan.steps[index].text}`) never ends by itself: it needs {needed:,} units of each "
            f"arm, and {100 * share:g} % of {users:,} users are {share * users:,.0f}{more}"
        )


def _starved(plan: RolloutPlan, users: int) -> Iterator[tuple[int, int, float]]:
    """Yield (step, units it needs, share of the users that may count in it) where those are too few."""
    control = 0.0
    for index, step in enumerate(plan.steps):
        weight = weight_at(plan, index)
        control = max(control, min(weight, 1.0 - weight))
        needed = plan.min_units if step.min_units is None else step.min_units
        if step.shadow is not None:
            share = step.shadow.traffic / 100
        elif (step.pause is None and step.analysis is None and step.bake is None) or not weight:
            continue
        else:
            share = weight if weight >= 1.0 else min(weight, control)
        if share * users < needed:
            yield index, needed, share
