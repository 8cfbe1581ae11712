"""trimtab eval run, compare, gate and runs."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trimtab.cli.eval_view import print_calibration, print_comparison, print_gate, print_run, warn_unawaited
from trimtab.cli.output import ago, always_json, emit_json, json_option, say, table
from trimtab.core.clock import SystemClock
from trimtab.core.durations import seconds
from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trimtab.cli.context import AppContext
    from trimtab.evals.comparison import Comparison
    from trimtab.evals.gate import GateReport
    from trimtab.evals.reports.html import Example
    from trimtab.evals.results import EvalRun
    from trimtab.evaluation.session import EvalSession, Wishes

__all__ = ["calibrate_command", "compare_command", "gate_command", "run_command", "runs_command", "schema_command"]

_EXIT_NO, _EXIT_CANNOT_SAY, _EXIT_COULD_NOT = 1, 2, 3


def _over(inner: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what releases are tried on."""
    for option in reversed(
        (
            click.option("--dataset", required=True, help="NAME or NAME@v3."),
            click.option("--suite", required=True, type=click.Path(path_type=Path), help="The suite's YAML file."),
            click.option("--split", type=click.Choice(["all", "train", "heldout"]), default="all", show_default=True),
        )
    ):
        inner = option(inner)
    return inner


def _making(inner: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how runs are made."""
    for option in reversed(
        (
            click.option(
                "--repeat",
                type=click.IntRange(1, 100),
                default=1,
                show_default=True,
                help="Answers per item; two or more tell how much a release differs from itself.",
            ),
            click.option(
                "--budget",
                type=click.FloatRange(min=0),
                help="US dollars: stops before it spends more; running again goes on.",
            ),
            click.option(
                "--concurrency", type=click.IntRange(1, 256), default=8, show_default=True, help="Calls at once."
            ),
            click.option("--max-age", help="Ask again what was answered longer ago: 7d, 12h (default: at any time)."),
            click.option(
                "--timeout",
                "timeout_seconds",
                type=click.FloatRange(min=1),
                default=600.0,
                show_default=True,
                help="Seconds per answer.",
            ),
        )
    ):
        inner = option(inner)
    return inner


@click.command("run")
@click.argument("feature")
@click.argument("reference")
@_over
@_making
@click.option("--baseline", help="Release whose answers judges of pairs compare with; it was run before.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit's XML: a case for each item and metric.")
@json_option
@click.pass_obj
def run_command(app: AppContext, /, *, as_json: bool, junit: Path | None, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Try release REFERENCE of FEATURE on a dataset, by a suite's scorers.

    REFERENCE is `#2` or a digest; `#2=provider/model` is that release with another model. Answers are kept as they come
    and never paid for twice: run again after a kill, a failure or an empty budget, and it goes on. Exit status 1 where
    it is not complete, 3 where not a single answer came back.
    """
    from trimtab.evals.reports.junit_out import junit_run

    with _session(app, given) as session:
        run = _made(session, given["reference"], given, baseline=given["baseline"])
    if junit is not None:
        _write(junit, junit_run(run))
    if as_json:
        emit_json(run)
    else:
        print_run(run)
    if run.no_answer:
        say(f"error: {run.tried.label} gave no answer: {run.no_answer}")
        sys.exit(_EXIT_COULD_NOT)
    if run.stopped or run.unanswered:
        sys.exit(_EXIT_NO)


@click.command("compare")
@click.argument("feature")
@click.argument("baseline")
@click.argument("candidate")
@_over
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the comparison for a pull request.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page with plots; it needs nothing else.")
@json_option
@click.pass_obj
def compare_command(app: AppContext, /, *, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Tell what changed from release BASELINE to CANDIDATE, both run before, item by item."""
    with _session(app, given) as session:
        runs = session.find(given["baseline"]), session.find(given["candidate"])
        found = session.compare(*runs)
        examples = session.examples(found, runs[1])
    _write_reports(given, found, None, examples)
    if as_json:
        emit_json(found)
    else:
        print_comparison(found)


@click.command("gate")
@click.argument("feature")
@click.argument("candidate")
@click.option("--baseline", help="Release to compare with; needed by rules that compare.")
@_over
@_making
@click.option("--no-record", is_flag=True, help="Keep the outcome off the release's record.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit's XML: a case for each rule.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the outcome for a pull request.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page with plots; it needs nothing else.")
@json_option
@click.pass_obj
def gate_command(app: AppContext, /, *, as_json: bool, no_record: bool, junit: Path | None, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Judge whether release CANDIDATE of FEATURE passes the gate of a suite; runs what is not run yet.

    The outcome is recorded under the suite's name, where a rollout's step `offlineEval` waits for it. Exit status 0
    where it passed, 1 where it failed or too little is known, 2 where it could not be judged.
    """
    from trimtab.evals.reports.junit_out import junit_report

    with _session(app, given) as session:
        before = given["baseline"]
        pairwise = before if session.needs_baseline else None
        baseline = None if before is None else _made(session, before, given, baseline=pairwise)
        candidate = _made(session, given["candidate"], given, baseline=pairwise)
        comparison = None if baseline is None else session.compare(baseline, candidate)
        report = session.gate(candidate, baseline, comparison)
        recorded = None if no_record else session.record(candidate, report, baseline)
        awaited = session.desk.awaited_suites(session.feature)
        examples = {} if comparison is None else session.examples(comparison, candidate)
    _write_reports(given, comparison, report, examples)
    if junit is not None:
        _write(junit, junit_report(report, suite=session.suite.name, release=candidate.tried.label))
    if as_json:
        emit_json({"gate": report, "comparison": comparison, "recorded": recorded is not None})
    else:
        print_gate(report)
        if comparison is not None and not (candidate.no_answer or (baseline is not None and baseline.no_answer)):
            print_comparison(comparison)
    if recorded is not None and awaited:  # where nothing is awaited, gates are for people and pull requests
        warn_unawaited(recorded, awaited)
    if not report.passed:
        sys.exit(_EXIT_CANNOT_SAY if report.verdict == "error" else _EXIT_NO)


@click.command("runs")
@click.argument("feature")
@json_option
@click.pass_obj
def runs_command(app: AppContext, feature: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """List the runs of FEATURE, newest first."""
    from trimtab.evals.results import RunFiles

    with contextlib.closing(app.evals()) as desk:
        desk.datasets(feature)  # raises where there is no such feature
    heads = list(RunFiles(app.settings().data_directory.evals / "runs").heads(feature))
    if as_json:
        emit_json(heads)
        return
    now_ms = SystemClock().now_ms()
    rows = [
        (
            head.tried.label,
            head.tried.dataset if head.tried.split == "all" else f"{head.tried.dataset} {head.tried.split}",
            head.tried.suite,
            head.tried.samples,
            f"${head.spent_usd:,.4f}",
            ago(head.at_ms, now_ms),
            head.stopped or "complete",
        )
        for head in heads
    ]
    if rows:
        print(table(("release", "dataset", "suite", "repeats", "spent", "when", "ended"), rows, right=(3, 4)))
    else:
        say(f"none yet; make one: trimtab eval run {feature} '#1' --dataset NAME --suite FILE")


@click.command("calibrate")
@click.argument("feature")
@click.argument("references", nargs=-1, required=True, metavar="REFERENCE...")
@_over
@click.option("--metric", required=True, help="The judge's metric in the suite.")
@click.option(
    "--labels", required=True, type=click.Path(path_type=Path), help="JSON Lines or CSV: item, release, label, who."
)
@json_option
@click.pass_obj
def calibrate_command(app: AppContext, /, *, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Hold a judge against what people said of the answers of some releases, which were run before.

    What comes of it is kept: a judge gates a change from one model to another only where it is known to agree with
    people on both, and on the new one by at most 5 points less.
    """
    from trimtab.artifacts.files import read_text
    from trimtab.evals.labels import read_labels

    labels = read_labels(read_text(given["labels"]), str(given["labels"]))
    with _session(app, given) as session:
        found = session.calibrate(given["metric"], given["references"], labels)
    if as_json:
        emit_json(found)
    else:
        print_calibration(found)


@click.command("schema")
@always_json
def schema_command() -> None:
    """Print the JSON Schema of a suite's file, for editors."""
    from trimtab.evals.suite import suite_json_schema

    emit_json(suite_json_schema())


# --- making and showing -------------------------------------------------------------------------------------------


def _session(app: AppContext, given: dict[str, Any]) -> EvalSession:
    from trimtab.evaluation.session import EvalSession

    return EvalSession(
        app.settings(), given["feature"], dataset=given["dataset"], suite=given["suite"], split=given["split"]
    )


def _made(session: EvalSession, reference: str, given: dict[str, Any], *, baseline: str | None = None) -> EvalRun:
    with _progress(session, reference, given) as wishes:
        run = session.run(reference, wishes, baseline=baseline)
    if run.stopped:
        say(f"{run.tried.label}: not complete: {run.stopped}")
    return run


@contextlib.contextmanager
def _progress(session: EvalSession, reference: str, given: dict[str, Any]) -> Iterator[Wishes]:
    """Show how far a run is, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from trimtab.evaluation.session import Wishes

    total = len(session.items) * given["repeat"]
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        answers = bar.add_task(f"{session.feature}{reference} answers", total=total)
        scores = bar.add_task(f"{session.feature}{reference} judged", total=total)
        yield Wishes(
            samples=given["repeat"],
            budget_usd=given["budget"],
            concurrency=given["concurrency"],
            timeout_seconds=given["timeout_seconds"],
            max_age_seconds=None if given["max_age"] is None else seconds(given["max_age"]),
            on_answer=lambda more: bar.advance(answers, more),
            on_score=lambda more: bar.advance(scores, more),
        )


def _write_reports(
    given: dict[str, Any], comparison: Comparison | None, gate: GateReport | None, examples: dict[str, Example]
) -> None:
    from trimtab.evals.reports.html import html_report
    from trimtab.evals.reports.markdown import markdown_report

    if given["markdown"] is not None:
        _write(given["markdown"], markdown_report(comparison, gate))
    if given["html"] is not None:
        _write(given["html"], html_report(comparison, gate, examples))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SourceError("unwritable_file", f"cannot write: {error.strerror}", path=str(path)) from error
