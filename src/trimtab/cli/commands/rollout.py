"""trimtab rollout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from trimtab.cli.commands.rollout_plan import lint, schema
from trimtab.cli.output import ago, emit_json, json_option, say, table
from trimtab.core.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.cli.context import AppContext
    from trimtab.control.rollout_reports import RolloutReport
    from trimtab.rollout.effects import CommandKind

__all__ = ["command"]

_MARKS = {"done": "x", "now": ">", "failed": "!", "next": " "}


@click.group("rollout")
def command() -> None:
    """Start, watch and steer rollouts.

    WHICH is a rollout id, or a feature's name for its newest rollout.
    """


@command.command("start")
@click.argument("feature")
@click.argument("reference")
@click.option("--reason", default="", help="Why; kept in the audit log.")
@click.option("--supersede", is_flag=True, help="End a rollout that is under way instead of refusing.")
@json_option
@click.pass_obj
def start(
    app: AppContext,
    feature: str,
    reference: str,
    reason: str,
    supersede: bool,  # noqa: FBT001 - click's signature
    as_json: bool,  # noqa: FBT001 - click's signature
) -> None:
    """Begin to replace the stable release of FEATURE by REFERENCE (`#42` or a digest)."""
    rollout = app.control().start_rollout(feature, reference, reason=reason, supersede=supersede)
    if as_json:
        emit_json(rollout)
        return
    print(rollout.id)
    say(f"next: trimtab rollout explain {feature}; the server (`trimtab server`) drives it")


@command.command("list")
@click.argument("feature", required=False)
@json_option
@click.pass_obj
def list_rollouts(app: AppContext, feature: str | None, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """List rollouts, newest first."""
    summaries = app.control().rollouts(feature)
    if as_json:
        emit_json(summaries)
        return
    now_ms = SystemClock().now_ms()
    rows = [
        (
            s.rollout.id,
            f"{s.stable} -> {s.candidate}",
            s.rollout.state,
            ago(s.rollout.updated_at_ms, now_ms),
            s.rollout.reason,
        )
        for s in summaries
    ]
    print(table(("rollout", "change", "state", "since", "why"), rows))


@command.command("explain")
@click.argument("which")
@json_option
@click.pass_obj
def explain(app: AppContext, which: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Tell where a rollout stands, why, and on what evidence.

    Exit status 1 where it was rolled back or expired.
    """
    report = app.control().rollout_report(which)
    if as_json:
        emit_json(report)
    else:
        _print_report(report)
    if report.rollout.state in {"rolling_back", "rolled_back", "expired"}:
        sys.exit(1)


def _print_report(report: RolloutReport) -> None:
    rollout = report.rollout
    print(f"{report.stable} -> {report.candidate} in {rollout.environment}: {rollout.state}")
    if rollout.reason:
        print(f"  {rollout.reason}")
    print()
    for step in report.steps:
        print(f"  [{_MARKS[step.status]}] {step.text}")
    if report.metrics:
        rows = [
            (
                metric.name,
                metric.role,
                "-" if metric.candidate is None else f"{metric.candidate:.1%}",
                "-" if metric.control is None else f"{metric.control:.1%}",
                f"{metric.candidate_units}/{metric.control_units}",
                f"{metric.harm:.3g}",
                f"{metric.non_inferior:.3g}",
            )
            for metric in report.metrics
        ]
        header = ("metric", "role", "candidate", "control", "users", "harm", "no harm")
        print("\n" + table(header, rows, right=(2, 3, 4, 5, 6)))
        print(f"\nevidence is a bettor's wealth, starting at 1; harm at {report.rollback_at:.3g} rolls back")
    for sentence in report.words:
        print(f"\n{sentence}")
    for change in report.changes:
        print(f"\nchanged: {change.path}: {change.summary}")
    _print_correspondence(report)


def _print_correspondence(report: RolloutReport) -> None:
    """Print what the gate at hand said, and who could not be told."""
    now_ms = SystemClock().now_ms()
    if report.gate is not None:
        said = f": {report.gate.reason}" if report.gate.reason else ""
        print(f"\ngate: {report.gate.status} when asked {ago(report.gate.asked_at_ms, now_ms)}{said}")
    for message in report.messages:
        if message.error:
            seconds = (message.due_at_ms - now_ms) // 1000
            ends = "given up" if message.status == "given_up" else f"next try in {seconds} s"
            told = f"{message.target}: {message.error} ({message.attempts} tries, {ends})"
            print(f"\nnot told of `{message.event}`: {told}")


def _steering(name: CommandKind, help_text: str) -> Callable[..., None]:
    @command.command(name, help=help_text)
    @click.argument("which")
    @click.option("--reason", required=True, help="Why; kept in the audit log.")
    @json_option
    @click.pass_obj
    def steer(app: AppContext, which: str, reason: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
        rollout = app.control().command_rollout(which, name, reason=reason)
        if as_json:
            emit_json(rollout)
        else:
            print(f"{rollout.id} {rollout.state}")

    return steer


pause = _steering("pause", "Hold a rollout where it is; guardrails keep watching.")
resume = _steering("resume", "Go on with a paused rollout.")
promote = _steering("promote", "Make the candidate stable now, skipping what is left of the plan.")
abort = _steering("abort", "Roll back now.")

command.add_command(lint)
command.add_command(schema)
