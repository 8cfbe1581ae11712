"""Contradictions between the parts of a plan whose fields are each right, and what is allowed but cannot go well."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from trimtab.analysis.scorers import scorer_problem
from trimtab.rollout.entrants import goals_named, settled_weight
from trimtab.rollout.spec import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.rollout.spec import ExperimentStep, RolloutPlan, Step

__all__ = ["PlanProblem", "plan_problems", "plan_warnings"]


class PlanProblem(msgspec.Struct, frozen=True):
    """What is wrong with a plan whose fields are each right."""

    path: tuple[str | int, ...]
    message: str
    hint: str


def plan_problems(plan: RolloutPlan) -> Iterator[PlanProblem]:
    """Yield every contradiction between the parts of a plan."""
    yield from _metric_problems(plan)
    for index, segment in enumerate(plan.segments):
        if segment.name in {other.name for other in plan.segments[:index]}:
            yield PlanProblem(("segments", index), f"segment `{segment.name}` is named twice", "give each its own name")
    weight = 0.0
    begun = False
    for index, step in enumerate(plan.steps):
        for message, hint in _step_problems(step, weight, begun=begun, is_last=index == len(plan.steps) - 1):
            yield PlanProblem(("steps", index), message, hint)
        if step.experiment is not None:
            for message, hint in _experiment_problems(plan, step.experiment, weight, settled_weight(plan, index)):
                yield PlanProblem(("steps", index), message, hint)
        weight = max(weight, step.set_weight or 0.0)
        begun = begun or step.shadow is not None or weight > 0


def _metric_problems(plan: RolloutPlan) -> Iterator[PlanProblem]:
    names: set[str] = set()
    for index, metric in enumerate(plan.metrics):
        if metric.name in names:
            yield PlanProblem(("metrics", index), f"metric `{metric.name}` is named twice", "give each its own name")
        names.add(metric.name)
        if problem := scorer_problem(metric):
            yield PlanProblem(("metrics", index), problem, "no answer could be judged: the rollout would not start")
    if not any(metric.role == "guardrail" and not metric.dry_run for metric in plan.metrics):
        yield PlanProblem(
            ("metrics",),
            "no metric is a guardrail, so nothing could roll back",
            "give at least one `role: guardrail`, without `dryRun`",
        )


def _experiment_problems(
    plan: RolloutPlan, step: ExperimentStep, weight: float, settled: float
) -> Iterator[tuple[str, str]]:
    """Yield (message, hint) for an experiment that begins at this weight, in per cent, after others at `settled`."""
    if not weight:
        yield "`experiment` before any `setWeight`", "put `setWeight` before it: nobody is served"
    goals = goals_named(plan)
    if not goals:
        yield (
            "an experiment without a goal",
            "give a metric `role: goal`, without `judge`: the experiment asks which arm is better by it",
        )
    for name in step.goals:
        if name not in goals and goals:
            yield (
                f"`{name}` is no goal",
                f"goals are metrics of `role: goal`, without `dryRun` or `judge`: {', '.join(goals)}",
            )
    room = 100 - 2 * weight
    taken = sum(weight if arm.weight is None else arm.weight for arm in step.arms)
    if room < 0 or taken > room:
        yield (
            f"the arms take {2 * weight + taken:g} per cent of the units",
            "candidate and control take `setWeight` each, and every arm its own: lower them to 100 altogether",
        )
    if step.arms and weight and weight / 100 <= settled:
        yield (
            f"challengers join at a weight of {weight:g} at which users met the candidate before",
            "put a larger `setWeight` right before the experiment: it counts users whom no arm had before",
        )
    names = [arm.release for arm in step.arms]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"the arm `{name}` is named twice", "name each release once"


def _step_problems(step: Step, weight: float, *, begun: bool, is_last: bool) -> Iterator[tuple[str, str]]:
    """Yield (message, hint) for a step that begins at this weight; `begun`: requests met the candidate before it."""
    if step.shadow is not None and weight:
        yield "`shadow` after `setWeight`", "shadow first: users meet the candidate already"
    if step.offline_eval is not None and begun:
        yield (
            "`offlineEval` after requests met the candidate",
            "put it first: it keeps from users what tests can find",
        )
    if step.analysis is not None and not weight:
        yield "`analysis` before any `setWeight`", "put `setWeight` before it: nobody is served"
    if step.set_weight is not None and step.set_weight < weight:
        yield (
            f"the weight falls from {weight:g} to {step.set_weight:g}",
            "weights only grow: users who met the candidate stay with it until it is rolled back",
        )
    if step.gate is not None and step.gate.url is not None and "@" in urlsplit(step.gate.url).netloc:
        yield "the gate's URL holds a password", "put the URL into an environment variable of the server: `urlEnv`"
    if step.bake is not None and not is_last:
        yield "`bake` is not the last step", "move it to the end: after it comes promotion"
    if step.bake is not None and 100 - step.bake.control_weight < weight:
        room = 100 - weight
        hint = f"use at most {room:g}" if room else "drop `setWeight: 100`: `bake` serves all but control"
        yield "`controlWeight` would take users away from the candidate", hint


def plan_warnings(plan: RolloutPlan) -> Iterator[PlanProblem]:
    """Yield what is allowed but hardly meant: a plan that cannot end, cannot decide, or decides on nothing."""
    needed = sum(_least_seconds(step) for step in plan.steps)
    if needed >= seconds(plan.deadline):
        yield PlanProblem(
            ("deadline",),
            f"the steps take {needed:g} s at least, and the rollout expires after {plan.deadline}",
            "set a later `deadline`, or shorten the steps",
        )
    weight = 0.0
    for index, step in enumerate(plan.steps):
        if step.experiment is not None and step.experiment.cuped and _is_first(plan, index):
            yield PlanProblem(
                ("steps", index),
                "`cuped` has nothing to go by: no user is seen before the experiment",
                "let a `shadow`, or a `pause` at a small weight, go before",
            )
        for message, hint in (*_step_warnings(plan, step, weight), *_feedback_warnings(plan, step)):
            yield PlanProblem(("steps", index), message, hint)
        weight = max(weight, step.set_weight or 0.0)
    if not any(step.set_weight is not None for step in plan.steps):
        yield PlanProblem(
            ("steps", len(plan.steps) - 1),
            "no `setWeight`: nobody meets the candidate before all but everybody does",
            "let a few per cent of users meet it first, and an `analysis` look at them",
        )
    if plan.steps[-1].set_weight is not None:
        yield PlanProblem(
            ("steps", len(plan.steps) - 1),
            "the last step is a weight: the candidate is promoted in the moment in which it takes effect",
            "let an `analysis` or a `bake` follow",
        )
    if plan.on_no_data == "rollback" and plan.rollback.mode == "pause":
        yield PlanProblem(
            ("onNoData",),
            "want of traffic rolls back, proven harm only pauses",
            "use `onNoData: hold`, or `mode: auto`",
        )


def _step_warnings(plan: RolloutPlan, step: Step, weight: float) -> Iterator[tuple[str, str]]:
    window = seconds(plan.window)
    pause, analysis = step.pause, step.analysis
    if pause is not None and not weight and not pause.waits_for_people:
        yield (
            "nobody meets the candidate in this pause, and without traffic no step ends",
            "put `setWeight` before it, or make it `pause: {}` for a person to resume",
        )
    if analysis is not None and seconds(analysis.max_duration) <= window:
        yield (
            f"the analysis ends after {analysis.max_duration}, before the first unit's window ({plan.window}) is over",
            "set a longer `maxDuration`, or a shorter `window`",
        )
    experiment = step.experiment
    if experiment is not None and seconds(experiment.max_duration) <= window:
        yield (
            f"the experiment ends after {experiment.max_duration}, before a unit's window ({plan.window}) is over",
            "set a longer `maxDuration`, or a shorter `window`",
        )
    if experiment is not None and seconds(experiment.max_duration) >= seconds(plan.deadline):
        yield (
            f"the rollout expires after {plan.deadline}, and the experiment may take {experiment.max_duration}",
            "set a later `deadline`, or a shorter `maxDuration`",
        )
    if experiment is not None and experiment.promote == "winner" and not experiment.arms:
        yield "the candidate is the only arm that could win", "name challengers under `arms`, or drop `promote`"
    timed = step.shadow or pause or step.bake
    if timed is not None and timed.duration is not None and seconds(timed.duration) <= window and weight:
        yield (
            f"no unit's window ({plan.window}) that opens in this step is over within its {timed.duration}",
            "harm that begins in it is seen later: lengthen the step, or shorten `window`",
        )
    if step.gate is not None and seconds(step.gate.interval) >= seconds(step.gate.timeout):
        yield "the gate is asked once only: `interval` is not shorter than `timeout`", "shorten `interval`"


def _feedback_warnings(plan: RolloutPlan, step: Step) -> Iterator[tuple[str, str]]:
    needed = [metric for metric in plan.metrics if metric.role != "signal" and not metric.dry_run]
    slowest = max((seconds(metric.within) for metric in needed if metric.within is not None), default=None)
    analysis = step.analysis
    if slowest is None or analysis is None or analysis.mode == "noHarm":
        return
    if seconds(analysis.max_duration) <= slowest + seconds(plan.window):
        yield (
            f"the analysis ends after {analysis.max_duration}, before the first unit's feedback has had its time",
            "set a longer `maxDuration`, a shorter `within`, or make the metric a signal",
        )


def _least_seconds(step: Step) -> float:
    timed = step.shadow or step.pause or step.bake
    return 0.0 if timed is None or timed.duration is None else seconds(timed.duration)


def _is_first(plan: RolloutPlan, index: int) -> bool:
    return all(step.set_weight is not None for step in plan.steps[:index])
