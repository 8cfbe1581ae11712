"""A rollout's explanation as text: the paragraph, the steps, the evidence, examples of both sides."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from trimtab.analysis.words import odds
from trimtab.cli.output import ago, table, when

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.control.examples import Examples
    from trimtab.control.reports import MirrorReport
    from trimtab.control.rollout_reports import MetricStatus, RolloutReport
    from trimtab.control.shortlist import Example

__all__ = ["mirrored", "told"]

_MARKS = {"done": "x", "now": ">", "failed": "!", "next": " ", "skipped": "-"}
_WIDTH = 100


def told(report: RolloutReport, *, now_ms: int) -> str:
    """Return the whole explanation."""
    return "\n".join(_lines(report, now_ms))


def mirrored(mirrors: MirrorReport) -> str:
    """Return what became of mirrored requests, in one line."""
    spent = f"${mirrors.cost_usd:,.2f}"
    return f"{mirrors.words} {spent}" if mirrors.words else f"all {mirrors.answered:,} answered, {spent}"


def _lines(report: RolloutReport, now_ms: int) -> Iterator[str]:
    rollout = report.rollout
    attempt = f"attempt {report.attempt} of {report.attempts}, {rollout.id}"
    yield f"{report.stable} -> {report.candidate} in {rollout.environment}: {rollout.state} ({attempt})"
    yield ""
    yield from textwrap.wrap(report.paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)
    yield ""
    for step in report.steps:
        yield f"  [{_MARKS[step.status]}] {step.text}"
    if report.metrics:
        header = ("metric", "role", "candidate", "control", "difference", "users", "harm", "no harm")
        yield ""
        yield table(header, [_row(metric) for metric in report.metrics], right=(2, 3, 4, 5, 6, 7))
        yield ""
        yield (
            f"harm, no harm: what a bettor on it who began with 1 owns; harm at {odds(report.rollback_at)} rolls back\n"
            "difference: candidate minus control in points, with 95 % confidence whenever it is looked at"
        )
    if report.decision:
        yield f"\ntime to a decision: {report.decision}"
    for words in report.words:
        if words not in report.paragraph:
            yield ""
            yield from textwrap.wrap(words, _WIDTH, break_long_words=False, break_on_hyphens=False)
    if report.mirrors is not None:
        yield ""
        yield from textwrap.wrap(f"mirrored: {mirrored(report.mirrors)}", _WIDTH)
    for change in report.changes:
        yield f"\nchanged: {change.path}: {change.summary}"
    yield from _correspondence(report, now_ms)
    if report.examples is not None:
        yield from _examples(report.examples)


def _correspondence(report: RolloutReport, now_ms: int) -> Iterator[str]:
    """Tell what suites and the gate at hand said, and who could not be told."""
    for suite in report.evals:
        if suite.result is None:
            on = f" on {suite.dataset}" if suite.dataset else ""
            yield f"\neval `{suite.suite}`{on}: no result for {report.candidate} is on record (trimtab eval record)"
        else:
            yield f"\neval {suite.result.text}, recorded by {suite.result.actor} {ago(suite.result.at_ms, now_ms)}"
    if report.gate is not None:
        said = f": {report.gate.reason}" if report.gate.reason else ""
        yield f"\ngate: {report.gate.status} when asked {ago(report.gate.asked_at_ms, now_ms)}{said}"
    for message in report.messages:
        if message.error:
            seconds = (message.due_at_ms - now_ms) // 1000
            ends = "given up" if message.status == "given_up" else f"next try in {seconds} s"
            told = f"{message.target}: {message.error} ({message.attempts} tries, {ends})"
            yield f"\nnot told of `{message.event}`: {told}"


def _row(metric: MetricStatus) -> tuple[str, ...]:
    between = metric.difference
    return (
        metric.name,
        f"{metric.role}, dry run" if metric.dry_run else metric.role,
        "-" if metric.candidate is None else f"{metric.candidate:.1%}",
        "-" if metric.control is None else f"{metric.control:.1%}",
        "-" if between is None else f"{100 * between.low:+.1f}..{100 * between.high:+.1f}",
        f"{metric.candidate_units:,}/{metric.control_units:,}",
        odds(metric.harm),
        odds(metric.non_inferior),
    )


def _examples(found: Examples) -> Iterator[str]:
    where = ", in shadow" if found.phase == "shadow" else ""
    yield f"\nexamples, the candidate's worst by `{found.metric}` first{where}, each with a control"
    shown = []
    for place, pair in enumerate(found.pairs, start=1):
        yield ""
        for label, example in ((f"{place:>2}. candidate", pair.candidate), ("    control  ", pair.control)):
            if example is not None:
                shown.append(example.id)
                yield from _example(label, example)
    if found.note:
        yield f"\n{found.note}"
    if shown:
        yield f"\nthe whole of one: trimtab trace {shown[0]}"


def _example(label: str, example: Example) -> Iterator[str]:
    facts = [example.measured, example.error_code, f"user {example.unit}" if example.unit else "", example.match]
    yield f"{label}  {example.id}  {when(example.at_ms)}  {', '.join(fact for fact in facts if fact)}"
    for name, text in (("asked", example.input), ("said", example.output)):
        if text:
            yield textwrap.fill(
                " ".join(text.split()), _WIDTH, initial_indent=f"      {name:<6}", subsequent_indent=" " * 12
            )
