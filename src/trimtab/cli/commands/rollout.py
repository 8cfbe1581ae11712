"""trimtab rollout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from trimtab.cli.commands.rollout_plan import lint, schema
from trimtab.cli.explanation import told
from trimtab.cli.output import ago, emit_json, json_option, say, table
from trimtab.core.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.cli.context import AppContext
    from trimtab.rollout.effects import CommandKind

__all__ = ["command"]


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
    """Begin to replace the stable release of FEATURE by REFERENCE (`#42` or a digest).

    `trimtab rehearse` tells beforehand how long its plan takes, and what it would notice.
    """
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
@click.option("--attempt", type=click.IntRange(1), help="Which attempt of a feature, from 1; its newest by default.")
@json_option
@click.pass_obj
def explain(app: AppContext, which: str, attempt: int | None, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Tell what became of a rollout, why, on what evidence, and show examples of both sides.

    Exit status 1 where it was rolled back or expired.
    """
    report = app.control().explain(which, attempt=attempt)
    if as_json:
        emit_json(report)
    else:
        print(told(report, now_ms=SystemClock().now_ms()))
    if report.rollout.state in {"rolling_back", "rolled_back", "expired"}:
        sys.exit(1)


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
