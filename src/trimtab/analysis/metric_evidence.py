"""What one metric says, of all units or of a segment's, in numbers and words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.judging import is_judged, judging_words, not_yet_judged
from trimtab.analysis.model import MetricEvidence
from trimtab.analysis.scoring import LEARNING_UNITS, learned_units
from trimtab.analysis.words import describe, still_learning

if TYPE_CHECKING:
    from trimtab.analysis.evidence import EvidenceState, MetricState, Phase
    from trimtab.analysis.model import MetricSpec
    from trimtab.stats import Moments

__all__ = ["metric_evidence"]


def metric_evidence(  # noqa: PLR0913 - a state, and what it is held against
    state: EvidenceState,
    spec: MetricSpec,
    metric: MetricState,
    *,
    phase: Phase,
    limit: float,
    promotion_limit: float,
    unit: str,
    arm: str = "candidate",
) -> MetricEvidence:
    """Return what a metric says; `state` knows what was learned of stable, and how its scorer fares."""
    edge = state.caps[spec.name].value if spec.name in state.caps else spec.limit or spec.cap
    scale = state.scales[spec.name].scale if spec.name in state.scales else None
    decides = spec.judge is None or is_judged(metric)
    evidence = MetricEvidence(
        name=spec.name,
        role=spec.role,
        phase=phase,
        margin=spec.tolerance if spec.judge is None else spec.allowance,
        candidate_mean=_mean(metric.candidate),
        control_mean=_mean(metric.control),
        candidate_units=metric.candidate.count,
        control_units=metric.control.count,
        pairs=metric.harm.pairs,
        harm=metric.harm.value,
        harm_peak=metric.harm.peak,
        limit=limit,
        non_inferior=metric.non_inferior.peak,
        promotion_limit=promotion_limit,
        failed=decides and metric.harm.log_peak >= math.log(limit) and spec.role != "goal",
        passed=decides and metric.non_inferior.log_peak >= math.log(promotion_limit),
        type=spec.kind,
        cap=edge if spec.kind == "mean" else None,
        threshold=edge if spec.kind == "quantile" else None,
        ratio=None if scale is None else scale.ratio,
        dry_run=spec.dry_run,
    )
    learned = learned_units(state, spec)
    words = describe(evidence, spec, unit, arm=arm)
    if learned is not None:
        words = still_learning(spec, learned, LEARNING_UNITS, unit)
    if spec.judge is not None:
        told = words + judging_words(state, spec, unit)
        words = told if decides else not_yet_judged(state, spec, metric, unit)
    if spec.within is not None and phase == "live":
        words += _still_waiting(state, spec.name, spec.within, unit)
    if spec.dry_run:
        words += " Dry run: it decides nothing." + _scorer_trouble(state, spec.name)
    return msgspec.structs.replace(evidence, words=words)


def _mean(moments: Moments) -> float | None:
    """Return the mean of unit scores; of a judge's that labels correct, it may lie beyond what a label can be."""
    return min(max(moments.mean, 0.0), 1.0) if moments.count else None


def _scorer_trouble(state: EvidenceState, name: str) -> str:
    error = state.last_scorer_error.get(name)
    return f" Its scorer failed on {state.scorer_errors.get(name, 0):,} generations; last: {error}" if error else ""


def _still_waiting(state: EvidenceState, name: str, within: str, unit: str) -> str:
    following = state.following
    waiting = sum(name in cohort.waiting for cohort in following.cohorts.values())
    words = f" {waiting:,} more {unit}s have their {within} still, and count nowhere until then." if waiting else ""
    if following.turned_away:
        words += f" {following.turned_away:,} {unit}s were not followed, for as many were as can be at a time."
    return words
