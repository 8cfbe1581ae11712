"""trimtab environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trimtab.cli.output import emit_json, json_option, say, table, when
from trimtab.core.ids import short_digest

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext

__all__ = ["command"]


@click.group("environment")
def command() -> None:
    """Which release an environment points at, and its history."""


@command.command("set")
@click.argument("feature")
@click.argument("reference")
@click.option("--reason", required=True, help="Why; kept in the history.")
@json_option
@click.pass_obj
def set_pointer(app: AppContext, feature: str, reference: str, reason: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Point the environment at a release of FEATURE at once, without a rollout.

    REFERENCE is `#42`, a digest or an unambiguous beginning of one. Refused while a rollout is under way.
    """
    move = app.control().set_pointer(feature, reference, reason=reason)
    if as_json:
        emit_json(move)
        return
    print(f"{move.feature} in {move.environment} now serves {short_digest(move.to_release)}")


@command.command("rollback")
@click.argument("feature")
@click.option("--reason", required=True, help="Why; kept in the history.")
@json_option
@click.pass_obj
def rollback(app: AppContext, feature: str, reason: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Point the environment back at the release it served before, at once.

    For a rollout under way use `trimtab rollout abort`.
    """
    move = app.control().rollback_pointer(feature, reason=reason)
    if as_json:
        emit_json(move)
        return
    print(f"{move.feature} in {move.environment} serves {short_digest(move.to_release)} again")


@command.command("history")
@click.argument("feature")
@json_option
@click.pass_obj
def history(app: AppContext, feature: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """List every move of FEATURE's pointer: who, when, why, from, to."""
    control = app.control()
    moves = control.pointer_history(feature)
    if as_json:
        emit_json(moves)
        return
    names = {release.digest: f"#{release.number}" for release in control.releases(feature)}
    rows = [
        (
            move.revision,
            when(move.at_ms),
            move.actor,
            names.get(move.from_release or "", "-"),
            names.get(move.to_release, short_digest(move.to_release)),
            move.reason,
        )
        for move in moves
    ]
    print(table(("move", "when (UTC)", "who", "from", "to", "why"), rows, right=(0,)))
    if not moves:
        say(f"{feature} was never pointed at a release in {control.environment}")
