"""From evidence to a verdict: four values, never a bool, and always with the reason in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from trimtab.analysis.answers import comparison_evidence
from trimtab.analysis.experiment import ExperimentVerdict
from trimtab.analysis.forecast import Forecast
from trimtab.analysis.metric_evidence import metric_evidence
from trimtab.analysis.model import MetricEvidence
from trimtab.analysis.sample_ratio import RatioEvidence
from trimtab.analysis.segments import SegmentEvidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.analysis.evidence import EvidenceState, Phase
    from trimtab.analysis.model import MetricSpec

__all__ = ["Limits", "Verdict", "VerdictStatus", "challenger_harm", "judge"]

VerdictStatus = Literal["successful", "failed", "inconclusive", "error"]
_SCORER_ERRORS_MIN = 10
_SCORER_ERROR_SHARE = 0.2


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much evidence a decision takes.

    `rollback`: guardrails x phases / alpha. Any of them may raise a false alarm, so each gets its share of alpha
    (Bonferroni); shadow and live bet apart, so each phase gets its share too. `alarm`: the same for signal metrics.
    `promotion`: 1 / alpha, with no correction, since *every* metric must pass.
    """

    rollback: float
    alarm: float
    promotion: float

    @classmethod
    def of(cls, metrics: Sequence[MetricSpec], *, alpha: float, phases: int) -> Limits:
        """Return the limits of a plan with these metrics that observes in `phases` phases (1 or 2).

        Metrics in dry run raise no alarm, so they take no share of alpha from the others.
        """
        guardrails = sum(metric.role == "guardrail" and not metric.dry_run for metric in metrics)
        signals = sum(metric.role == "signal" and not metric.dry_run for metric in metrics)
        return cls(
            rollback=max(1, guardrails) * phases / alpha, alarm=max(1, signals) * phases / alpha, promotion=1 / alpha
        )


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the evidence says so far about a candidate."""

    status: VerdictStatus
    phase: str
    reason: str
    """One paragraph for people."""
    metrics: list[MetricEvidence]
    """Of the phase at hand, and those of the other phase that failed."""
    alarms: list[str] = []
    """Signal metrics whose harm is proven."""
    candidate_units: int = 0
    control_units: int = 0
    segments: list[SegmentEvidence] = []
    """Segments flagged as harmed, and at any rate the one that hurt most; most evidence first."""
    ratios: list[RatioEvidence] = []
    """How the sizes of the arms fit, at each weight so far; decides nothing about the candidate."""
    experiment: ExperimentVerdict | None = None
    """Which arms are proven better than control, in an experiment."""
    forecast: Forecast | None = None
    """When the step in force may be expected to decide, where it waits for evidence."""


def judge(
    state: EvidenceState, metrics: Sequence[MetricSpec], *, limits: Limits, phase: Phase, unit: str = "user"
) -> Verdict:
    """Return the verdict on the evidence so far.

    failed: a guardrail's harm is proven, in either phase. error: a registered scorer of a guardrail or goal fails too
    often to be believed. successful: every guardrail and goal is proven no worse in the live phase. Else inconclusive.
    """
    found = [
        metric_evidence(
            state,
            spec,
            state.phases[of].metrics[spec.name],
            phase=of,
            limit=limits.alarm if spec.role == "signal" else limits.rollback,
            promotion_limit=limits.promotion,
            unit=unit,
        )
        for of in state.phases
        for spec in metrics
        if not spec.compares_answers
    ]
    found += [
        comparison_evidence(state, spec, limit=limits.alarm, promotion_limit=limits.promotion, unit=unit)
        for spec in metrics
        if spec.compares_answers
    ]
    here = [evidence for evidence in found if evidence.phase == phase or evidence.failed]
    heard = [evidence for evidence in here if not evidence.dry_run]
    failed = [evidence for evidence in heard if evidence.failed and evidence.role == "guardrail"]
    alarms = sorted({evidence.name for evidence in heard if evidence.failed and evidence.role == "signal"})
    broken = _broken_scorers(state, [spec for spec in metrics if not spec.dry_run])
    needed = [one for one in found if one.phase == "live" and one.role != "signal" and not one.dry_run]
    status: VerdictStatus = "inconclusive"
    if failed:
        status, reason = "failed", " ".join(evidence.words for evidence in failed)
    elif broken:
        status, reason = "error", broken
    elif phase == "live" and needed and all(evidence.passed for evidence in needed):
        status, reason = "successful", _success(needed, limits)
    else:
        reason = _so_far([evidence for evidence in heard if evidence.role != "signal"], phase, limits)
    units = state.phases[phase].units
    return Verdict(
        status=status,
        phase=phase,
        reason=reason,
        metrics=here,
        alarms=alarms,
        candidate_units=units.candidate,
        control_units=units.control,
    )


def challenger_harm(
    state: EvidenceState, challenger: str, metrics: Sequence[MetricSpec], *, limits: Limits, unit: str = "user"
) -> str:
    """Return what is proven against a challenger of an experiment, in words; empty while nothing is.

    Each challenger is held to the limit that the candidate is held to.
    """
    seen = state.challengers.get(challenger)
    guardrails = [spec for spec in metrics if spec.role == "guardrail" and not spec.dry_run]
    if seen is None:
        return ""
    found = [
        metric_evidence(
            state,
            spec,
            seen.metrics[spec.name],
            phase="live",
            limit=limits.rollback,
            promotion_limit=limits.promotion,
            unit=unit,
            arm="challenger",
        )
        for spec in guardrails
    ]
    return " ".join(evidence.words for evidence in found if evidence.failed)


def _broken_scorers(state: EvidenceState, metrics: Sequence[MetricSpec]) -> str:
    for spec in metrics:
        errors, asked = state.scorer_errors.get(spec.name, 0), state.scored.get(spec.name, 0)
        if spec.role != "signal" and errors >= _SCORER_ERRORS_MIN and errors >= _SCORER_ERROR_SHARE * asked:
            last = state.last_scorer_error.get(spec.name, "")
            return f"the scorer of `{spec.name}` failed on {errors:,} of {asked:,} generations; last: {last}"
    return ""


def _success(needed: Sequence[MetricEvidence], limits: Limits) -> str:
    weakest = min(needed, key=lambda evidence: evidence.non_inferior)
    return (
        f"every metric is proven no worse than its margin allows; the weakest is {weakest.words} "
        f"Limit {limits.promotion:,.0f} : 1 each."
    )


def _so_far(here: Sequence[MetricEvidence], phase: str, limits: Limits) -> str:
    seen = [evidence for evidence in here if evidence.pairs]
    if not seen:
        return f"nothing to compare yet in the {phase} phase"
    worst = max(seen, key=lambda evidence: evidence.harm_peak / evidence.limit)
    open_ = [evidence.name for evidence in seen if not evidence.passed]
    undecided = f" Not yet proven no worse: {', '.join(open_)}." if open_ and phase == "live" else ""
    return f"nothing is proven against the candidate (limit {limits.rollback:,.0f} : 1). {worst.words}{undecided}"
