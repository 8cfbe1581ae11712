"""What an experiment's evidence says: which arms are proven better than control, and when the rest may be.

An arm wins when it is better by *every* goal, so its p-value is the largest of its goals' (nothing is shared among
goals). A p-value is 1 / the bet's largest wealth so far: the chance, at most, that an arm no better than control ever
looks so good (Ville). Among arms they are taken in turn, smallest first, against alpha / m, alpha / (m - 1), ... (Holm
1979), so the chance that *any* arm is called better that is not is at most alpha, whenever one looks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.experiment_evidence import CANDIDATE, ExperimentDesign
from trimtab.analysis.forecast import Forecast, forecast, last_of, seconds_to_limit
from trimtab.analysis.model import MetricSpec
from trimtab.analysis.words import odds, value_in_words

if TYPE_CHECKING:
    from trimtab.analysis.evidence import EvidenceState
    from trimtab.analysis.experiment_evidence import ExperimentState, GoalState

__all__ = ["ArmEvidence", "ExperimentQuestion", "ExperimentVerdict", "GoalEvidence", "judge_experiment"]


class GoalEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """One goal of one arm. Means are per unit in [0, 1], higher is better."""

    name: str
    arm_mean: float | None
    control_mean: float | None
    arm_units: int
    control_units: int
    pairs: int
    superior: float
    """Largest E so far of the bet that the arm is better."""
    variance_left: float | None = None
    """Share of the variance that CUPED leaves, in [0, 1] or a little above; `None` without it."""
    words: str


class ArmEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """One arm against the concurrent control."""

    arm: str
    """`candidate`, or the digest of a challenger."""
    label: str
    units: int
    goals: list[GoalEvidence]
    limit: float
    """E that every goal must reach for the arm to win: the number of arms not yet proven better, over alpha."""
    superior: bool
    """Proven better than control by every goal."""
    harmed: str
    """A challenger whose guardrails prove harm: why, in words. The candidate's harm is the verdict's own."""
    forecast: Forecast


class ExperimentVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What an experiment says so far."""

    arms: list[ArmEvidence]
    control_units: int
    best: str
    """Of the arms that are proven better, the one with the highest mean of the first goal; empty where none is."""
    words: str

    def arm(self, name: str) -> ArmEvidence | None:
        """Return what is known about an arm."""
        return next((one for one in self.arms if one.arm == name), None)


class ExperimentQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the evidence."""

    stage: int
    design: ExperimentDesign
    metrics: Sequence[MetricSpec]
    alpha: float
    harmed: Mapping[str, str] = {}
    """Challengers against which harm is proven, and why. They win no more, but keep their share of alpha."""
    labels: Mapping[str, str] = {}
    """What people call the arms."""
    unit: str = "user"


def judge_experiment(state: EvidenceState, asked: ExperimentQuestion) -> ExperimentVerdict | None:
    """Return what the experiment of a step says so far; `None` before it has seen anybody."""
    seen = state.experiments.get(asked.stage)
    if seen is None:
        return None
    winners, limit = _holm(seen, asked)
    pace = state.paces.get(asked.stage)
    speed = 0.0 if pace is None else pace.pairs_per_second
    arms = [
        ArmEvidence(
            arm=name,
            label=asked.labels.get(name, name),
            units=arm.units,
            goals=[_goal(state, arm.goals[goal], goal, asked, winners.get(name, limit)) for goal in asked.design.goals],
            limit=winners.get(name, limit),
            superior=name in winners,
            harmed=asked.harmed.get(name, ""),
            forecast=forecast(
                None
                if name in asked.harmed
                else last_of(
                    seconds_to_limit(goal.superior, winners.get(name, limit), pairs_per_second=speed)
                    for goal in arm.goals.values()
                )
            ),
        )
        for name, arm in seen.arms.items()
    ]
    first = asked.design.goals[0]
    best = max(winners, key=lambda name: (seen.arms[name].goals[first].arm.mean, name == CANDIDATE), default="")
    return ExperimentVerdict(arms=arms, control_units=seen.control_units, best=best, words=_words(arms))


def _holm(seen: ExperimentState, asked: ExperimentQuestion) -> tuple[dict[str, float], float]:
    """Return the arms that are proven better, each with the limit it passed, and the limit that the next one faces."""
    evidence = {name: min(goal.superior.log_peak for goal in arm.goals.values()) for name, arm in seen.arms.items()}
    remaining = len(evidence)
    winners: dict[str, float] = {}
    for name in sorted(evidence.keys() - asked.harmed.keys(), key=lambda name: -evidence[name]):
        limit = remaining / asked.alpha
        if evidence[name] < math.log(limit):
            break
        winners[name] = limit
        remaining -= 1
    return winners, max(1, remaining) / asked.alpha


def _goal(state: EvidenceState, goal: GoalState, name: str, asked: ExperimentQuestion, limit: float) -> GoalEvidence:
    spec = next(spec for spec in asked.metrics if spec.name == name)
    edge = state.caps[name].value if name in state.caps else spec.cap
    cap = edge if spec.kind == "mean" else None
    scale = state.scales[name].scale if name in state.scales else None
    arm, control = goal.arm, goal.control
    words = f"`{name}`: nothing to compare yet"
    if arm.count and control.count:
        after, before = (
            value_in_words(moments.mean, spec, cap=cap, ratio=None if scale is None else scale.ratio)
            for moments in (arm, control)
        )
        words = (
            f"`{name}` {after} against {before} ({arm.count:,} {asked.unit}s against {control.count:,} concurrent "
            f"control {asked.unit}s); evidence {odds(goal.superior.peak)} that it is better, limit {odds(limit)}"
        )
    adjustment = state.experiments[asked.stage].adjustments.get(name)
    left = None if adjustment is None else goal.variance_left(adjustment)
    if adjustment is not None and left is not None:
        words += f"; CUPED takes {max(0.0, 1.0 - left):.0%} of the variance away (θ {adjustment.theta:.2f})"
    return GoalEvidence(
        name=name,
        arm_mean=arm.mean if arm.count else None,
        control_mean=control.mean if control.count else None,
        arm_units=arm.count,
        control_units=control.count,
        pairs=goal.superior.pairs,
        superior=goal.superior.peak,
        variance_left=left,
        words=words,
    )


def _words(arms: Sequence[ArmEvidence]) -> str:
    return " ".join(f"{_standing(arm)}: {'; '.join(goal.words for goal in arm.goals)}." for arm in arms)


def _standing(arm: ArmEvidence) -> str:
    if arm.harmed:
        return f"{arm.label} was dropped for proven harm"
    return f"{arm.label} is better" if arm.superior else f"{arm.label} is not proven better ({arm.forecast.words})"
