"""trimtab key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trimtab.cli.output import emit_json, json_option, say, table, when

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext

__all__ = ["command"]


@click.group("key")
def command() -> None:
    """Create, list and revoke gateway keys."""


@command.command("create")
@click.argument("team")
@json_option
@click.pass_obj
def create(app: AppContext, team: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Create a gateway key for TEAM. It is shown once; only its hash is kept."""
    key, secret = app.control().create_key(team)
    if as_json:
        emit_json({"id": key.id, "team": key.team, "secret": secret})
        return
    print(secret)
    say(f"{key.id} of {team}: keep it now, it is never shown again")


@command.command("list")
@json_option
@click.pass_obj
def list_keys(app: AppContext, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """List gateway keys, without their secrets."""
    keys = app.control().keys()
    if as_json:
        emit_json(
            [{"id": k.id, "team": k.team, "created_by": k.created_by, "revoked_at_ms": k.revoked_at_ms} for k in keys]
        )
        return
    rows = [
        (
            key.id,
            key.team,
            when(key.created_at_ms),
            key.created_by,
            "revoked" if key.revoked_at_ms else "valid",
        )
        for key in keys
    ]
    print(table(("key", "team", "created (UTC)", "by", "state"), rows))


@command.command("revoke")
@click.argument("key_id")
@click.pass_obj
def revoke(app: AppContext, key_id: str) -> None:
    """Refuse a key from now on, on every gateway within a second."""
    app.control().revoke_key(key_id)
    print(f"{key_id} revoked")
