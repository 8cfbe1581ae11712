"""The work of state `judges`: whether judges that gate agree with people on the new model as they did on the old."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.evals.judge_rule import Agreed, judge_refusal, judge_words, lost_interval
from trimtab.migration.work import Result
from trimtab.rollout.spec import decode_plan
from trimtab.stats import Interval, clopper_pearson, krippendorff_alpha

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.migration.work import Work

__all__ = ["Agreement", "JudgeReport", "agreement", "judge_work", "report_of"]

_DAY_MS = 86_400_000
_MIDDLE = 0.5


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How a judge and people agree on one model's answers."""

    labels: int
    agreed: int
    """Answers that both call good (0.5 or more) or both bad."""
    agree: float | None
    """Their share; `None` without labels."""
    interval: Interval
    """Of the share: Clopper-Pearson, 95 %."""
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
    change: Interval
    """What the agreement changes by, from the old model to the new one: Newcombe, 95 %."""
    agreement: str
    """The same in words."""
    complaint: str
    """Why it may not gate; empty where it may."""


def agreement(scores: Sequence[tuple[float, float]]) -> Agreement:
    """Return how a judge's scores agree with people's, given as (judge, person), each in [0, 1]."""
    same = sum((judge >= _MIDDLE) == (person >= _MIDDLE) for judge, person in scores)
    return Agreement(
        labels=len(scores),
        agreed=same,
        agree=same / len(scores) if scores else None,
        interval=clopper_pearson(same, len(scores)),
        alpha=krippendorff_alpha(list(scores), level="interval") if scores else None,
    )


def report_of(
    name: str, role: str, judges: Sequence[str], old: Agreement, new: Agreement, *, retiring: str
) -> JudgeReport:
    """Return a judge's report; `retiring` is how a judge on the old model would be named."""
    before, after = (
        Agreed(on=f"the {which} model", agreed=one.agreed, labels=one.labels, alpha=one.alpha)
        for which, one in (("old", old), ("new", new))
    )
    words = f"judge `{name}` {judge_words(before, after)}"
    complaint = ""
    if retiring in judges:
        complaint = f"judge `{name}` runs on the model that goes ({retiring.removeprefix('judge:')})"
    elif refusal := judge_refusal(before, after):
        complaint = f"judge `{name}` may not gate: {refusal} (`dryRun: true` in rollout.yaml takes it out)"
    change = lost_interval(before, after)
    return JudgeReport(
        name=name,
        role=role,
        judges=list(judges),
        old=old,
        new=new,
        change=change,
        agreement=words,
        complaint=complaint,
    )


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
    fine = [one.agreement for one in reports] or ["no metric of the rollout plan has a judge"]
    return Result(
        gate="blocked" if complaints else "passed",
        reasons=complaints or fine,
        content={"judges": [msgspec.to_builtins(one) for one in reports]},
    )
