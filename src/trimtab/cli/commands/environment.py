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


@command.command("holdout")
@click.argument("percent", required=False, type=click.FloatRange(0, 100, max_open=True))
@click.option("--feature", default="", help="Only out of rollouts of this feature; out of all without it.")
@click.option("--reason", default="", help="Why; kept in the audit log. Needed with PERCENT.")
@json_option
@click.pass_obj
def holdout(app: AppContext, percent: float | None, feature: str, reason: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Keep PERCENT of the units on stable, whatever is rolled out; without PERCENT, list the holdouts.

    The same units stay held out from one rollout to the next. Rollouts under way keep the holdout they started with.
    """
    if percent is not None:
        if not reason:
            raise click.UsageError("--reason is needed: it is kept in the audit log")
        made = app.control().set_holdout(percent, feature=feature, reason=reason)
        if as_json:
            emit_json(made)
        else:
            whose = made.feature or "every feature"
            print(f"{made.percent:g} % of {whose} in {made.environment}, from the next rollout on")
        return
    found = app.control().holdouts()
    if as_json:
        emit_json(found)
        return
    rows = [(one.feature or "(all)", f"{one.percent:g} %", when(one.set_at_ms), one.set_by) for one in found]
    print(table(("feature", "held out", "since (UTC)", "who"), rows, right=(1,)))


@command.command("layers")
@json_option
@click.pass_obj
def layers(app: AppContext, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """List the layers in use: which rollout holds which slot, and how much is free."""
    found = app.control().layers()
    if as_json:
        emit_json(found)
        return
    rows = [
        (layer.layer, slot.feature, slot.rollout, f"{slot.start:g} to {slot.end:g} %", f"{layer.free:g} %")
        for layer in found
        for slot in layer.slots
    ]
    print(table(("layer", "feature", "rollout", "slot", "free at most"), rows, right=(4,)))
