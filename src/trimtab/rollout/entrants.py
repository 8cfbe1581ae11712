"""Challengers of a plan's experiments: their releases found, their units laid out, and what the evidence compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.analysis.experiment_evidence import ExperimentDesign
from trimtab.core.errors import ConflictError
from trimtab.releases.reference import find_release
from trimtab.rollout.model import Entrant
from trimtab.rollout.moves import weight_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.releases.ports import RegistryTransaction
    from trimtab.rollout.spec import RolloutPlan
    from trimtab.rollout.steps import ExperimentStep

__all__ = ["designs_of", "find_entrants", "goals_of", "settled_weight"]


def find_entrants(
    tx: RegistryTransaction, plan: RolloutPlan, *, feature: str, stable: str, candidate: str
) -> list[Entrant]:
    """Return the challengers of every experiment of a plan. Their units follow the candidate's, in the plan's order.

    Raises what `find_release` raises, and `ConflictError` (`repeated_arm`) for one that is another arm already.
    """
    found: list[Entrant] = []
    for stage, step in enumerate(plan.steps):
        if step.experiment is None:
            continue
        taken = {stable: "stable", candidate: "the candidate"}
        start = weight = weight_at(plan, stage)
        for arm in step.experiment.arms:
            release = find_release(tx, feature, arm.release)
            label = f"{feature}#{release.number}"
            if release.digest in taken:
                raise ConflictError(
                    "repeated_arm",
                    f"`{arm.release}` is {taken[release.digest]} already",
                    param=f"steps[{stage}].experiment.arms",
                    hint="name releases that are neither stable nor the candidate, each once",
                )
            taken[release.digest] = f"the arm {label}"
            end = start + (weight if arm.weight is None else arm.weight / 100)
            found.append(Entrant(stage=stage, release=release.digest, label=label, start=start, end=end))
            start = end
    return found


def goals_of(plan: RolloutPlan, experiment: ExperimentStep) -> tuple[str, ...]:
    """Return the metrics by which an arm must be better."""
    return tuple(experiment.goals) or tuple(goals_named(plan))


def goals_named(plan: RolloutPlan) -> list[str]:
    """Return the metrics that an experiment may have as goals: not those of a judge, whose few labels no arm shares."""
    return [
        metric.name for metric in plan.metrics if metric.role == "goal" and not metric.dry_run and metric.judge is None
    ]


def designs_of(plan: RolloutPlan, entrants: Sequence[Entrant]) -> dict[int, ExperimentDesign]:
    """Return what each experiment of a plan compares, by step."""
    return {
        stage: ExperimentDesign(
            goals=goals_of(plan, step.experiment),
            challengers=tuple(one.release for one in entrants if one.stage == stage),
            fresh_from=settled_weight(plan, stage) if step.experiment.arms else 0.0,
            cuped=step.experiment.cuped,
        )
        for stage, step in enumerate(plan.steps)
        if step.experiment is not None
    }


def settled_weight(plan: RolloutPlan, stage: int) -> float:
    """Return the largest share of units on the candidate in any step before in which time passed.

    Who came then was counted then, and the experiment meets the rest: of the units that candidate and control had then
    only those who are new, of those they got since everybody, and a challenger's are all of the latter kind. So that
    all arms are alike, an experiment with challengers counts only units that no arm had before.
    """
    settled = [weight_at(plan, before) for before in range(stage) if plan.steps[before].set_weight is None]
    return max(settled, default=0.0)
