"""A rollout, told: where it stands, why, on what evidence. Built from the store, for every surface."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.evidence import EvidenceState, decode_evidence
from trimtab.analysis.mirrors import MirrorTally
from trimtab.analysis.verdict import Verdict
from trimtab.artifacts.change import Change
from trimtab.artifacts.diff import diff_releases
from trimtab.control.examples import Examples
from trimtab.control.reports import MirrorReport
from trimtab.control.rollout_words import Cause, Story, blamed, cause_of, paragraph, segment_words
from trimtab.core.ids import short_digest
from trimtab.releases.eval_result import EvalResult
from trimtab.rollout.attempt import plan_limits
from trimtab.rollout.evaluating import awaited_result
from trimtab.rollout.machine import SKIPPED
from trimtab.rollout.model import LIVE_STATES, GateAnswer, Rollout, Transition
from trimtab.rollout.spec import decode_plan
from trimtab.stats import Interval, mean_difference_sequence

if TYPE_CHECKING:
    from trimtab.analysis.model import MetricEvidence
    from trimtab.analysis.segments import SegmentEvidence
    from trimtab.rollout.outbox import Message
    from trimtab.rollout.ports import ControlTransaction
    from trimtab.rollout.spec import RolloutPlan

__all__ = [
    "MessageReport",
    "MetricStatus",
    "RolloutReport",
    "RolloutSummary",
    "SegmentStatus",
    "StepStatus",
    "SuiteStatus",
    "attempts_of",
    "rollout_report",
    "rollout_summary",
]

_ALL = 1_000_000
_PASSED = {"promoted"}
_FAILED = {"rolling_back", "rolled_back", "expired", "superseded"}


class StepStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a rollout's plan, in words, and whether it is `done`, `now`, `failed` or `next`.

    `skipped`: a person promoted the candidate before the step was done.
    """

    text: str
    status: str


class MetricStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one metric: mean scores per user in [0, 1] (higher is better) and the evidence so far."""

    name: str
    role: str
    status: str
    """`failed` where it rolled the candidate back, else `ok`."""
    candidate: float | None
    control: float | None
    candidate_units: int
    control_units: int
    harm: float
    """Wealth of the bet on "worse than the margin allows"."""
    harm_progress: float
    """log(harm) / log(limit), in [0, 1]."""
    non_inferior: float
    """Wealth of the bet on "not worse than the margin allows"."""
    phase: str = "live"
    margin: float = 0.0
    """How much worse, in score, is tolerated."""
    difference: Interval | None = None
    """Where candidate minus control lies, in score, with 95 % confidence however often it is looked at."""
    dry_run: bool = False


class SuiteStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A suite that a plan waits for, and its last result for the candidate."""

    suite: str
    dataset: str = ""
    """Which dataset the plan pins; empty where results over any count."""
    result: EvalResult | None


class SegmentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What one metric says of the users of one segment."""

    segment: str
    value: str
    harmed: bool
    """Whether harm to these users is proven, among all segments that were looked at."""
    metric: MetricStatus
    words: str


class MessageReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of telling one target of one event."""

    event: str
    target: str
    """Name of the environment variable that holds its address."""
    status: str
    """`waiting`, `delivered` or `given_up`."""
    attempts: int
    error: str
    """Why the last attempt failed; empty where none did."""
    created_at_ms: int
    due_at_ms: int
    """When it is tried next, while it waits."""


class RolloutSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list of rollouts."""

    rollout: Rollout
    stable: str
    candidate: str


class RolloutReport(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout, told: where it stands, why, and on what evidence."""

    rollout: Rollout
    attempt: int
    """Counts the rollouts of the feature in the environment, from 1."""
    attempts: int
    """How many there are."""
    stable: str
    candidate: str
    paragraph: str
    """What became of it and why, with the numbers."""
    cause: Cause
    blamed: str | None
    """Name of the metric that the verdict is about; the weakest where none is proven worse."""
    steps: list[StepStatus]
    metrics: list[MetricStatus]
    segments: list[SegmentStatus]
    """Of the plan's segments those that are harmed, and the one that is hurt most, worst first."""
    rollback_at: float
    """Wealth of a guardrail's harm bet at which it rolls back: guardrails x phases / alpha."""
    decision: str
    """When the step in force may be expected to decide, in words; empty where it waits for no evidence."""
    words: list[str]
    changes: list[Change]
    transitions: list[Transition]
    evals: list[SuiteStatus] = []
    """Every suite that the plan waits for, and what it said last of the candidate."""
    gate: GateAnswer | None = None
    """What the gate said last at which it waits."""
    messages: list[MessageReport] = []
    """Who was told of it, oldest first; messages that wait no more are forgotten after 30 days."""
    mirrors: MirrorReport | None = None
    """What became of the requests that its shadow steps were to mirror; `null` where there were none."""
    examples: Examples | None = None
    """Generations that show it; `null` where they were not asked for."""


def rollout_summary(tx: ControlTransaction, rollout: Rollout) -> RolloutSummary:
    """Return one line of a list."""
    return RolloutSummary(rollout=rollout, stable=_label(tx, rollout.stable), candidate=_label(tx, rollout.candidate))


def rollout_report(tx: ControlTransaction, rollout: Rollout) -> RolloutReport:
    """Return the whole story, without examples."""
    plan = decode_plan(rollout.plan)
    verdict = msgspec.convert(rollout.verdict, Verdict) if rollout.verdict else None
    before, after = tx.release(rollout.stable), tx.release(rollout.candidate)
    transitions = tx.transitions(rollout.id)
    story = Story(rollout, plan, verdict, transitions, _label(tx, rollout.stable), _label(tx, rollout.candidate))
    about, cause = blamed(verdict), cause_of(rollout, verdict, transitions)
    evidence = _evidence(tx, rollout)
    number, attempts = _attempt(tx, rollout)
    return RolloutReport(
        rollout=rollout,
        attempt=number,
        attempts=attempts,
        stable=story.stable,
        candidate=story.candidate,
        paragraph=paragraph(story),
        cause=cause,
        blamed="error" if cause == "withdrawn" else None if about is None else about.name,
        steps=_steps(rollout, plan),
        metrics=[_metric(metric, evidence) for metric in verdict.metrics] if verdict else [],
        segments=[_segment(segment) for segment in verdict.segments] if verdict else [],
        rollback_at=plan_limits(plan).rollback,
        words=_words(rollout, verdict) if verdict else [],
        decision=_decision(rollout, verdict),
        changes=diff_releases(before.compiled, after.compiled) if before and after else [],
        transitions=transitions,
        evals=_suites(tx, rollout, plan),
        mirrors=MirrorReport.of(MirrorTally.of(evidence.mirrors.values())) if evidence is not None else None,
        gate=_gate(tx, rollout),
        messages=[_message(message) for message in tx.messages(rollout.id)],
    )


def _suites(tx: ControlTransaction, rollout: Rollout, plan: RolloutPlan) -> list[SuiteStatus]:
    awaited = {step.offline_eval.awaited: step.offline_eval for step in plan.steps if step.offline_eval is not None}
    return [
        SuiteStatus(suite=one.suite, dataset=one.dataset or "", result=awaited_result(tx, rollout.candidate, one))
        for one in awaited.values()
    ]


def _gate(tx: ControlTransaction, rollout: Rollout) -> GateAnswer | None:
    answer = tx.gate_answer(rollout.id)
    here = (rollout.stage, rollout.stage_entered_ms)
    return answer if answer is not None and (answer.stage, answer.entered_ms) == here else None


def _message(message: Message) -> MessageReport:
    return MessageReport(
        event=message.event,
        target=message.url_env,
        status=message.status,
        attempts=message.attempts,
        error=message.error,
        created_at_ms=message.created_at_ms,
        due_at_ms=message.due_at_ms,
    )


def _words(rollout: Rollout, verdict: Verdict) -> list[str]:
    said = [verdict.reason, *(ratio.words for ratio in verdict.ratios)]
    if verdict.experiment is not None:
        said.append(verdict.experiment.words)
    told = [words for words in said if words not in rollout.reason]
    segments = [one for one in verdict.segments if one.words not in rollout.reason]
    return told + [segment_words(one) for one in segments]


def _segment(evidence: SegmentEvidence) -> SegmentStatus:
    return SegmentStatus(
        segment=evidence.segment,
        value=evidence.value,
        harmed=evidence.harmed,
        metric=_metric(evidence.metric, None),
        words=evidence.words,
    )


def _attempt(tx: ControlTransaction, rollout: Rollout) -> tuple[int, int]:
    """Return which of how many attempts of its feature and environment this is."""
    ids = attempts_of(tx, rollout.feature, rollout.environment)
    return ids.index(rollout.id) + 1 if rollout.id in ids else len(ids), len(ids)


def attempts_of(tx: ControlTransaction, feature: str, environment: str) -> list[str]:
    """Return the ids of all rollouts of a feature in an environment, the first attempt first."""
    found = tx.rollouts(feature, limit=_ALL)
    return sorted(rollout.id for rollout in found if rollout.environment == environment)


def _evidence(tx: ControlTransaction, rollout: Rollout) -> EvidenceState | None:
    """Return what was measured; `None` where nothing was, or only another version of Trimtab can read it."""
    stored = tx.evidence(rollout.id)
    try:
        return None if stored is None else decode_evidence(stored)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def _decision(rollout: Rollout, verdict: Verdict | None) -> str:
    if rollout.state not in LIVE_STATES or verdict is None or verdict.forecast is None:
        return ""
    return verdict.forecast.words


def _label(tx: ControlTransaction, digest: str) -> str:
    release = tx.release(digest)
    return f"{release.feature}#{release.number}" if release else short_digest(digest)


def _steps(rollout: Rollout, plan: RolloutPlan) -> list[StepStatus]:
    found = []
    skipped = rollout.reason.startswith(SKIPPED)
    for index, step in enumerate(plan.steps):
        if index < rollout.stage or (rollout.state in _PASSED and index == rollout.stage and not skipped):
            status = "done"
        elif rollout.state in _PASSED:
            status = "skipped"
        elif index > rollout.stage:
            status = "next"
        else:
            status = "failed" if rollout.state in _FAILED else "now"
        found.append(StepStatus(text=step.text, status=status))
    return found


def _metric(metric: MetricEvidence, evidence: EvidenceState | None) -> MetricStatus:
    progress = math.log(max(metric.harm_peak, 1.0)) / math.log(metric.limit) if metric.limit > 1 else 0.0
    return MetricStatus(
        name=metric.name if metric.phase == "live" else f"{metric.name} ({metric.phase})",
        role=metric.role,
        status="failed" if metric.failed else "ok",
        candidate=metric.candidate_mean,
        control=metric.control_mean,
        candidate_units=metric.candidate_units,
        control_units=metric.control_units,
        harm=metric.harm_peak,
        harm_progress=min(1.0, progress),
        non_inferior=metric.non_inferior,
        phase=metric.phase,
        margin=metric.margin,
        difference=_difference(metric, evidence),
        dry_run=metric.dry_run,
    )


def _difference(metric: MetricEvidence, evidence: EvidenceState | None) -> Interval | None:
    phase = next((found for name, found in evidence.phases.items() if name == metric.phase), None) if evidence else None
    state = None if phase is None else phase.metrics.get(metric.name)
    return None if state is None else mean_difference_sequence(state.control, state.candidate)
