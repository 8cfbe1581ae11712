"""trimtab eval."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trimtab.cli.commands.eval_run import (
    calibrate_command,
    compare_command,
    gate_command,
    run_command,
    runs_command,
    schema_command,
)
from trimtab.cli.eval_view import warn_unawaited
from trimtab.cli.output import ago, emit_json, json_option, say, table
from trimtab.core.clock import SystemClock
from trimtab.core.errors import InputError, SourceError

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext
    from trimtab.control.evals import EvalOutcome

__all__ = ["command"]


@click.group("eval")
def command() -> None:
    """Try releases on datasets, compare and gate them; record what test suites said.

    Rollouts wait for the outcome of a suite with a step `offlineEval`.
    """


for _each in (run_command, compare_command, gate_command, runs_command, calibrate_command, schema_command):
    command.add_command(_each)


@command.command("record")
@click.argument("feature")
@click.argument("reference")
@click.option("--suite", required=True, help="Name of the suite, as the plan's `offlineEval` has it.")
@click.option("--results", type=click.Path(path_type=Path), help="Report: JUnit's XML, or promptfoo's JSON.")
@click.option("--threshold", type=float, help="Share of the cases that must pass (default 1, all of them).")
@click.option("--passed", is_flag=True, help="It passed, on your word; needs --reason.")
@click.option("--failed", is_flag=True, help="It failed, on your word.")
@click.option("--reason", default="", help="What you base your word on; kept with the result and in the audit log.")
@click.option("--dataset", default="", help="What it was tried on, NAME@v3, for plans whose `offlineEval` pins it.")
@json_option
@click.pass_obj
def record(  # noqa: PLR0913, PLR0917 - click's signature
    app: AppContext,
    feature: str,
    reference: str,
    suite: str,
    results: Path | None,
    threshold: float | None,
    passed: bool,  # noqa: FBT001 - click's signature
    failed: bool,  # noqa: FBT001 - click's signature
    reason: str,
    dataset: str,
    as_json: bool,  # noqa: FBT001 - click's signature
) -> None:
    """Record a result for release REFERENCE (`#42` or a digest) of FEATURE.

    The latest result of a suite counts. Exit status 1 where it failed. A pass on your word after a failure is told as
    such wherever the result is.
    """
    if passed and failed:
        raise InputError("two_outcomes", "it either passed or failed: give one of --passed and --failed")
    word = "passed" if passed else "failed" if failed else None
    plane = app.control()
    result = plane.record_eval(feature, reference, suite, _outcome(results, threshold, word, reason), dataset=dataset)
    if as_json:
        emit_json(result)
    else:
        print(f"{feature} {reference}: {result.text}")
    warn_unawaited(result, plane.awaited_suites(feature))
    if not result.passed:
        sys.exit(1)


def _outcome(results: Path | None, threshold: float | None, outcome: str | None, reason: str) -> EvalOutcome:
    from trimtab.control.evals import reported, stated

    if (results is None) == (outcome is None):
        raise InputError("no_outcome", "say how it ended: one of --results FILE, --passed and --failed")
    if results is None:
        if threshold is not None:
            raise InputError("threshold_without_cases", "--threshold needs --results: there is nothing to count")
        return stated(passed=outcome == "passed", reason=reason)
    if reason:
        raise InputError("reason_with_report", "--reason goes with --passed or --failed: a report speaks for itself")
    try:
        return reported(_read(results), threshold=1.0 if threshold is None else threshold)
    except SourceError:
        raise
    except InputError as error:
        if error.param is not None:
            raise
        raise SourceError(error.code, error.message, path=str(results), hint=error.hint) from error


def _read(file: Path) -> bytes:
    from trimtab.evals.report import LARGEST_REPORT_BYTES

    try:
        if file.stat().st_size > LARGEST_REPORT_BYTES:
            raise SourceError("report_too_large", f"more than {LARGEST_REPORT_BYTES:,} bytes", path=str(file))
        return file.read_bytes()
    except OSError as error:
        raise SourceError("unreadable_file", f"cannot read the report: {error.strerror}", path=str(file)) from error


@command.command("list")
@click.argument("feature")
@click.argument("reference", required=False)
@json_option
@click.pass_obj
def list_results(app: AppContext, feature: str, reference: str | None, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """List results of FEATURE, or of one release of it, newest first."""
    results = app.control().eval_results(feature, reference)
    if as_json:
        emit_json(results)
        return
    now_ms = SystemClock().now_ms()
    rows = [
        (
            one.release_name,
            one.result.suite,
            "passed" if one.result.passed else "FAILED",
            ago(one.result.at_ms, now_ms),
            one.result.actor,
            one.result.detail + (f" (overrides {one.result.overrides})" if one.result.overrides else ""),
        )
        for one in results
    ]
    if rows:
        print(table(("release", "suite", "outcome", "when", "by", "what"), rows))
    else:
        say(f"none yet; record one: trimtab eval record {feature} '#1' --suite NAME --results FILE")
