"""The work of state `judges`: whether judges that gate agree with people on the new model as they did on the old."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.evals.calibration import MOST_LOST
from trimtab.migration.work import Result
from trimtab.rollout.spec import decode_plan
from trimtab.stats.agreement import krippendorff_alpha

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.migration.work import Work

__all__ = ["Agreement", "JudgeReport", "agreement", "judge_work", "report_of"]

_DAY_MS = 86_400_000
LEAST_LABELS = 20
"""Answers of each model that a judge and a person scored, for their agreement to say anything."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How a judge and people agree on one model's answers."""

    labels: int
    agree: float | None
    """Share of answers that both call good (0.5 or more) or both bad; `None` without labels."""
    alpha: float | None
    """Krippendorff's, over the scores as numbers."""


class JudgeReport(msgspec.Struct, frozen=True, kw_only=True):
    """One judge, before and after."""

    name: str
    """Of the metric it scores."""
    role: str
    judges: list[str]
    """Who judged: `judge:MODEL`."""
    old: Agreement
    new: Agreement
    complaint: str
    """Why it may not gate; empty where it may."""


def agreement(scores: Sequence[tuple[float, float]]) -> Agreement:
    """Return how a judge's scores agree with people's, given as (judge, person), each in [0, 1]."""
    if not scores:
        return Agreement(labels=0, agree=None, alpha=None)
    same = sum((judge >= 0.5) == (person >= 0.5) for judge, person in scores)  # noqa: PLR2004 - the middle
    return Agreement(
        labels=len(scores),
        agree=same / len(scores),
        alpha=krippendorff_alpha(list(scores), level="interval"),
    )


def report_of(
    name: str, role: str, judges: Sequence[str], old: Agreement, new: Agreement, *, retiring: str
) -> JudgeReport:
    """Return a judge's report; `retiring` is how a judge on the old model would be named."""
    complaint = ""
    if retiring in judges:
        complaint = f"judge `{name}` runs on the model that goes ({retiring.removeprefix('judge:')})"
    elif new.labels < LEAST_LABELS or old.labels < LEAST_LABELS:
        which, count = ("new", new.labels) if new.labels < LEAST_LABELS else ("old", old.labels)
        complaint = (
            f"judge `{name}`: people scored {count:,} answers of the {which} model that it scored too, and "
            f"{LEAST_LABELS} are needed"
        )
    elif old.agree is not None and new.agree is not None and old.agree - new.agree > MOST_LOST:
        complaint = (
            f"judge `{name}` agrees with people on {new.agree:.0%} of {new.labels:,} answers of the new model, and did "
            f"on {old.agree:.0%} of {old.labels:,} of the old one's: it may not gate (`dryRun: true` in rollout.yaml "
            "takes it out)"
        )
    return JudgeReport(name=name, role=role, judges=list(judges), old=old, new=new, complaint=complaint)


def judge_work(work: Work) -> Result:
    """Compare every judge of the feature's rollout plan with people, on the answers of both models."""
    with work.ports.store.read() as tx:
        stored = tx.plan(work.fork.name)
    metrics = [] if stored is None else decode_plan(stored.source).metrics
    plan, calls = work.plan, work.ports.calls
    span = (work.now_ms - round(plan.options.traffic_days * _DAY_MS), work.now_ms + 1)
    reports = []
    for metric in metrics:
        if metric.judge is None or metric.dry_run:
            continue
        names = (metric.judge.score, metric.judge.label)
        old = calls.judged(work.fork.name, plan.source.model, names, span)
        new = calls.judged(work.fork.name, plan.target.model, names, span)
        reports.append(
            report_of(
                metric.name,
                metric.role,
                sorted({one.judge for one in (*old, *new)}),
                agreement([(one.score, one.label) for one in old]),
                agreement([(one.score, one.label) for one in new]),
                retiring=f"judge:{plan.source.model}",
            )
        )
    complaints = [one.complaint for one in reports if one.complaint]
    nothing = ["no metric of the rollout plan has a judge"]
    return Result(
        gate="blocked" if complaints else "passed",
        reasons=complaints or (["every judge agrees with people as it did"] if reports else nothing),
        content={"judges": [msgspec.to_builtins(one) for one in reports]},
    )
