"""A judge's scores of live units, corrected by the few that people labelled.

A unit that has a label when its time is over is one observation; those with the judge's score alone make it sharper.
So a judge alone can prove nothing, neither harm nor its absence, and until `LEAST_LABELS` units of each arm have one
the metric says nothing at all. Units are followed as those of feedback are (:mod:`trimtab.analysis.cohorts`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.analysis.judged_units import JudgedUnits

if TYPE_CHECKING:
    from trimtab.analysis.evidence import EvidenceState, MetricState, Side
    from trimtab.analysis.model import MetricSpec

__all__ = ["LEAST_LABELS", "count_judged", "forget_judged", "is_judged", "judging_words", "not_yet_judged"]

LEAST_LABELS = 20
"""Labelled units of each arm before the metric decides anything."""
_MOST_UNLEARNED = 200
"""What is learned of a judge may wait for its pairs; more than this is not learned from."""


def count_judged(
    state: EvidenceState, spec: MetricSpec, *, side: Side, stage: int, judge: float | None, human: float | None
) -> None:
    """Take in a unit of the candidate or its control whose time is over; either word of it may be missing."""
    judged = state.judged.setdefault(spec.name, JudgedUnits())
    sums = judged.since_label.setdefault(stage, {})
    total, count = sums.get(side, (0.0, 0))
    if judge is not None:
        judged.units.add(side)
        total, count = total + judge, count + 1
        sums[side] = (total, count) if human is None else (0.0, 0)
    if human is None:
        return
    estimate = human
    if judge is not None:
        estimate = judged.scores.estimate(human, judge, mean=total / count)
        unlearned = judged.unlearned.setdefault(stage, [])
        if len(unlearned) < _MOST_UNLEARNED:
            unlearned.append((judge, human))
    metric = state.phases["live"].metrics[spec.name]
    metric.moments(side).add(estimate)
    metric.bet(side, judged.scores.score(estimate), stage)
    pending = metric.pending[stage]
    if not pending.waiting and not pending.control_count:  # every score of the step is bet on: none can leak
        for known in judged.unlearned.pop(stage, []):
            judged.scores.learn(*known)


def forget_judged(state: EvidenceState) -> None:
    """Begin anew with another release in the candidate's place, whose units nobody counted."""
    state.judged.clear()


def is_judged(metric: MetricState) -> bool:
    """Whether people labelled enough units of each arm for the metric to decide."""
    return min(metric.control.count, metric.candidate.count) >= LEAST_LABELS


def judging_words(state: EvidenceState, spec: MetricSpec, unit: str) -> str:
    """Return of how many units the judge's scores went into what the labelled ones say."""
    scored = state.judged.get(spec.name, JudgedUnits()).units
    return (
        f" Those are the {unit}s whom people labelled; the judge scored {scored.candidate:,} and {scored.control:,}, "
        "and is corrected by the labels."
    )


def not_yet_judged(state: EvidenceState, spec: MetricSpec, metric: MetricState, unit: str) -> str:
    """Return what a metric says before that."""
    scored = state.judged.get(spec.name, JudgedUnits()).units
    return (
        f"`{spec.name}`: not yet judged; people labelled {metric.candidate.count:,} candidate and "
        f"{metric.control.count:,} control {unit}s so far, and {LEAST_LABELS} of each are needed. The judge scored "
        f"{scored.candidate:,} and {scored.control:,}, and decides nothing alone."
    )
