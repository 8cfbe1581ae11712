"""A rollout, told: where it stands, why, on what evidence. Built from the store, for every surface."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.verdict import Verdict
from trimtab.artifacts.change import Change
from trimtab.artifacts.diff import diff_releases
from trimtab.core.ids import short_digest
from trimtab.rollout.attempt import plan_limits
from trimtab.rollout.model import GateAnswer, Rollout, Transition
from trimtab.rollout.spec import decode_plan

if TYPE_CHECKING:
    from trimtab.analysis.model import MetricEvidence
    from trimtab.rollout.outbox import Message
    from trimtab.rollout.ports import ControlTransaction
    from trimtab.rollout.spec import RolloutPlan

__all__ = [
    "MessageReport",
    "MetricStatus",
    "RolloutReport",
    "RolloutSummary",
    "StepStatus",
    "rollout_report",
    "rollout_summary",
]

_PASSED = {"promoted"}
_FAILED = {"rolling_back", "rolled_back", "expired", "superseded"}


class StepStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a rollout's plan, in words, and whether it is `done`, `now`, `failed` or `next`."""

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
    stable: str
    candidate: str
    steps: list[StepStatus]
    metrics: list[MetricStatus]
    rollback_at: float
    """Wealth of a guardrail's harm bet at which it rolls back: guardrails x phases / alpha."""
    words: list[str]
    changes: list[Change]
    transitions: list[Transition]
    gate: GateAnswer | None = None
    """What the gate said last at which it waits."""
    messages: list[MessageReport] = []
    """Who was told of it, oldest first; messages that wait no more are forgotten after 30 days."""


def rollout_summary(tx: ControlTransaction, rollout: Rollout) -> RolloutSummary:
    """Return one line of a list."""
    return RolloutSummary(rollout=rollout, stable=_label(tx, rollout.stable), candidate=_label(tx, rollout.candidate))


def rollout_report(tx: ControlTransaction, rollout: Rollout) -> RolloutReport:
    """Return the whole story."""
    plan = decode_plan(rollout.plan)
    verdict = msgspec.convert(rollout.verdict, Verdict) if rollout.verdict else None
    before, after = tx.release(rollout.stable), tx.release(rollout.candidate)
    return RolloutReport(
        rollout=rollout,
        stable=_label(tx, rollout.stable),
        candidate=_label(tx, rollout.candidate),
        steps=_steps(rollout, plan),
        metrics=[_metric(evidence) for evidence in verdict.metrics] if verdict else [],
        rollback_at=plan_limits(plan).rollback,
        words=_words(rollout, verdict) if verdict else [],
        changes=diff_releases(before.compiled, after.compiled) if before and after else [],
        transitions=tx.transitions(rollout.id),
        gate=_gate(tx, rollout),
        messages=[_message(message) for message in tx.messages(rollout.id)],
    )


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
    return [words for words in said if words not in rollout.reason]


def _label(tx: ControlTransaction, digest: str) -> str:
    release = tx.release(digest)
    return f"{release.feature}#{release.number}" if release else short_digest(digest)


def _steps(rollout: Rollout, plan: RolloutPlan) -> list[StepStatus]:
    found = []
    for index, step in enumerate(plan.steps):
        if rollout.state in _PASSED or index < rollout.stage:
            status = "done"
        elif index > rollout.stage:
            status = "next"
        else:
            status = "failed" if rollout.state in _FAILED else "now"
        found.append(StepStatus(text=step.text, status=status))
    return found


def _metric(evidence: MetricEvidence) -> MetricStatus:
    progress = math.log(max(evidence.harm_peak, 1.0)) / math.log(evidence.limit) if evidence.limit > 1 else 0.0
    return MetricStatus(
        name=evidence.name if evidence.phase == "live" else f"{evidence.name} ({evidence.phase})",
        role=evidence.role,
        status="failed" if evidence.failed else "ok",
        candidate=evidence.candidate_mean,
        control=evidence.control_mean,
        candidate_units=evidence.candidate_units,
        control_units=evidence.control_units,
        harm=evidence.harm_peak,
        harm_progress=min(1.0, progress),
        non_inferior=evidence.non_inferior,
    )
