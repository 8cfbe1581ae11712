"""trimtab push."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trimtab.cli.output import emit_json, json_option, say

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext

__all__ = ["command"]


@click.command("push")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-m", "--message", default="", help="Why, for the audit log.")
@json_option
@click.pass_obj
def command(app: AppContext, folder: Path, message: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Store a feature FOLDER: new artifacts, a new release, or nothing if nothing changed."""
    report = app.control().push(folder, message=message)
    if as_json:
        emit_json(report)
        return
    for artifact in report.artifacts:
        print(f"{'new' if artifact.created else 'same':<6}{artifact.kind:<9}{artifact.name}@v{artifact.number}")
    if report.plan_number is not None:
        print(f"{'new' if report.plan_created else 'same':<6}{'plan':<9}rollout@v{report.plan_number}")
    print(f"{'new' if report.created else 'same':<6}{'release':<9}{report.release}  {report.digest}")
    for change in report.changes:
        print(f"      {change.path}: {change.summary}")
    for warning in report.warnings:
        say(f"warning: {warning}")
    if report.created:
        number = report.release.partition("#")[2]
        verb = "rollout start" if report.changes else "environment set"
        say(f"next: trimtab {verb} {report.feature} '#{number}'")
