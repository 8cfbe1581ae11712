"""trimtab running. Reads the snapshot and the processes' status files: no SQL, works with the control plane dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trimtab.cli.explanation import mirrored
from trimtab.cli.output import ago, emit_json, json_option, table
from trimtab.core.clock import SystemClock
from trimtab.core.ids import short_digest

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext
    from trimtab.control.reports import FeatureRunning, RunningReport

__all__ = ["command"]


@click.command("running")
@click.argument("feature", required=False)
@click.option("--minutes", type=click.IntRange(1, 15), default=5, show_default=True, help="Window of observed traffic.")
@json_option
@click.pass_obj
def command(app: AppContext, feature: str | None, minutes: int, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Tell which version is running right now: as declared, and as traffic really saw it."""
    from trimtab.control.running import read_running

    settings = app.settings()
    report = read_running(
        settings.data_directory,
        environment=settings.environment,
        feature=feature,
        window_minutes=minutes,
        now_ms=SystemClock().now_ms(),
    )
    if as_json:
        emit_json(report)
        return
    _print(report)


def _print(report: RunningReport) -> None:
    when = f"published {ago(report.published_at_ms, report.at_ms)}" if report.revision else "nothing published yet"
    print(f"{report.environment}, snapshot {report.revision}, {when}")
    for feature in report.features:
        _print_feature(feature, report.window_minutes)
    print("\nprocesses")
    rows = [
        (
            f"  {process.id}",
            process.kind,
            process.machine or "here",
            process.pid,
            process.revision,
            process.requests,
            process.stale or "live",
        )
        for process in report.processes
    ]
    print(table(("  id", "kind", "machine", "pid", "snapshot", "requests", "heartbeat"), rows, right=(3, 4, 5)))
    for process in report.processes:
        if process.problem:
            print(f"  {process.id}: {process.problem}")
        if process.dropped or process.without_content:
            print(f"  {process.id}: {process.dropped:,} events dropped, {process.without_content:,} without content")


def _print_feature(feature: FeatureRunning, window_minutes: int) -> None:
    print(f"\n{feature.feature}\n  declared  stable {feature.stable} ({short_digest(feature.stable_digest)})")
    rollout = feature.rollout
    if rollout:
        split = (
            f"shadow {rollout.shadow:.0%} of users"
            if rollout.shadow
            else f"{rollout.weight:.1%} of users, matched control {rollout.control_weight:.1%}"
        )
        print(
            f"            candidate {rollout.candidate} ({short_digest(rollout.candidate_digest)})"
            f" {rollout.state}: {split}"
        )
        if rollout.mirrors:
            print(f"            mirrored {mirrored(rollout.mirrors)}")
        for label, share in rollout.challengers.items():
            print(f"            challenger {label}: {share:.1%} of users")
        for process in rollout.withdrawn_by:
            print(f"            withdrawn by {process}: its calls failed there, so stable serves")
    if not feature.seen:
        print(f"  observed  no traffic in the last {window_minutes} min")
        return
    rows = [
        (
            "  observed" if index == 0 else "",
            seen.release,
            seen.arm,
            seen.requests,
            "mirror" if seen.arm == "shadow" else f"{seen.share:.1%}",
            f"{len(seen.by_process)} process{'es' if len(seen.by_process) != 1 else ''}",
        )
        for index, seen in enumerate(feature.seen)
    ]
    lines = table(("", "release", "arm", "requests", "share", "on"), rows, right=(3, 4)).splitlines()
    print("\n".join(lines))
