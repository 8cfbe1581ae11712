"""Runs a release over a dataset: asks what is not answered yet, judges every answer, and returns what was found."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.core.ids import new_id
from trimtab.evals.answers import Answer, AnswerBook, Ask
from trimtab.evals.asking import all_of, ask_all
from trimtab.evals.judging import OUT_OF_BUDGET, Panel, PanelPorts
from trimtab.evals.results import EvalRun, MetricInfo, Row, Tried
from trimtab.evals.scoring import Case, Judge, Scored, read_scorer
from trimtab.evals.suite import CHECKS_METRIC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from trimtab.evals.budget import Budget
    from trimtab.evals.datasets.item import Item
    from trimtab.evals.ports import Models, Subject
    from trimtab.evals.suite import Suite

__all__ = ["RunPorts", "RunRequest", "run_eval"]

_LONGEST_DETAIL = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPorts:
    """What a run needs of the world."""

    models: Models
    answers: Path
    """Folder of answers, by release."""
    code_folders: Sequence[Path] = ()
    """Where functions of `code` and `parser` scorers may be loaded from."""
    budget: Budget
    concurrency: int = 8
    not_before_ms: int = 0
    """Answers from before are asked again."""
    on_answer: Callable[[int], None] | None = None
    """Told how many more answers are there."""
    on_score: Callable[[int], None] | None = None
    """Told how many more answers are judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What is to be tried."""

    tried: Tried
    items: Sequence[Item]
    suite: Suite
    scorers: Mapping[str, str]
    """Digests of the suite's scorers, by metric."""
    baseline: str = ""
    """Digest of the release whose answers judges of pairs compare with."""
    now_ms: int


async def run_eval(subject: Subject, request: RunRequest, ports: RunPorts) -> EvalRun:
    """Return what a release does on items, by every scorer.

    Answers are kept by (release, question, sample) as they come: a run that was killed, or stopped at its budget, goes
    on where it was, and another suite over the same items asks nothing twice. Raises `ConflictError`
    (`answers_locked`) where another process asks this release just now.
    """
    asks = [
        Ask(item.key, sample, item.variables, item.messages)
        for sample in range(request.tried.samples)
        for item in request.items
    ]
    with AnswerBook.open(ports.answers, subject.release.digest) as book:
        asked = await ask_all(
            subject,
            asks,
            book,
            budget=ports.budget,
            concurrency=ports.concurrency,
            progress=ports.on_answer,
            not_before_ms=ports.not_before_ms,
        )
    rows = await _rows(subject, request, ports, asked.answers)
    stopped = asked.stopped
    if not stopped and any(OUT_OF_BUDGET in row.failures.values() for row in rows):
        stopped = OUT_OF_BUDGET
    return EvalRun(
        id=new_id("run", request.now_ms),
        at_ms=request.now_ms,
        tried=request.tried,
        metrics=_metrics(request),
        spent_usd=ports.budget.spent_usd,
        cached=asked.cached,
        stopped=stopped,
        rows=rows,
    )


def _metrics(request: RunRequest) -> dict[str, MetricInfo]:
    found = {
        metric: MetricInfo(
            scorer=request.scorers.get(metric, ""),
            kind=scorer.kind,
            lower_is_better=scorer.lower_is_better and scorer.threshold is None,
            neutral=scorer.neutral and scorer.threshold is None,
            judge=scorer.model if isinstance(scorer, Judge) else "",
        )
        for metric, scorer in request.suite.metrics.items()
    }
    if any(item.checks for item in request.items):
        found[CHECKS_METRIC] = MetricInfo(scorer="", kind="binary")
    return found


async def _rows(
    subject: Subject, request: RunRequest, ports: RunPorts, answers: Mapping[tuple[str, int], Answer]
) -> list[Row]:
    known = AnswerBook.read(ports.answers, request.baseline) if request.baseline else None
    panel_ports = PanelPorts(
        models=ports.models,
        books=ports.answers,
        code_folders=ports.code_folders,
        budget=ports.budget,
        baseline=None if known is None else known.get,
    )
    todo = [
        (item, sample, answer)
        for sample in range(request.tried.samples)
        for item in request.items
        if (answer := answers.get((item.key, sample))) is not None
    ]
    gate = asyncio.Semaphore(ports.concurrency)
    with Panel(panel_ports) as panel:

        async def judge(item: Item, sample: int, answer: Answer) -> Row:
            async with gate:
                row = await _row(panel, request, Case(item, answer, subject.release), sample)
            if ports.on_score is not None:
                ports.on_score(1)
            return row

        return await all_of(judge(*one) for one in todo)


async def _row(panel: Panel, request: RunRequest, case: Case, sample: int) -> Row:
    item, answer = case.item, case.answer
    said: dict[str, Scored] = {}
    if not answer.error_code:
        for metric, scorer in request.suite.metrics.items():
            said[metric] = await panel.score(scorer, case, sample=sample)
        if item.checks:
            checks = [await panel.score(read_scorer(check), case, sample=sample) for check in item.checks]
            said[CHECKS_METRIC] = _together(checks)
    return Row(
        item=item.id,
        sample=sample,
        group=item.group,
        slices=item.slices,
        scores={metric: one.value for metric, one in said.items() if one.value is not None},
        details={metric: one.detail[:_LONGEST_DETAIL] for metric, one in said.items() if one.detail},
        failures={metric: one.error for metric, one in said.items() if one.error},
        flips={metric: one.order_flip for metric, one in said.items() if one.order_flip is not None},
        error=f"{answer.error_code}: {answer.error}".removesuffix(": ") if answer.error_code else "",
        latency_ms=answer.latency_ms,
        cost_usd=answer.cost_usd,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
    )


def _together(checks: Sequence[Scored]) -> Scored:
    """Return the judgement that all checks of an item hold; those that do not apply do not count."""
    error = next((one.error for one in checks if one.error), "")
    if error:
        return Scored(error=error)
    said = [one for one in checks if one.value is not None]
    if not said:
        return Scored()
    wrong = [one.detail for one in said if one.value != 1.0]
    return Scored(float(not wrong), "; ".join(detail for detail in wrong if detail))
