"""trimtab key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trimtab.cli.output import emit_json, json_option, say, table, when

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext
    from trimtab.policy.model import KeyRole

__all__ = ["command"]


@click.group("key")
def command() -> None:
    """Create, list and revoke keys of gateways and of data-plane machines."""


@command.command("create")
@click.argument("team")
@click.option(
    "--role",
    type=click.Choice(["gateway", "data-plane"]),
    default="gateway",
    show_default=True,
    help="What it opens: a gateway, or the control plane for `trimtab relay` on another machine.",
)
@json_option
@click.pass_obj
def create(app: AppContext, team: str, role: KeyRole, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Create a key for TEAM. It is shown once; only its hash is kept."""
    key, secret = app.control().create_key(team, role)
    if as_json:
        emit_json({"id": key.id, "team": key.team, "role": key.role, "secret": secret})
        return
    print(secret)
    say(f"{key.id} of {team}: keep it now, it is never shown again")


@command.command("list")
@json_option
@click.pass_obj
def list_keys(app: AppContext, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """List keys, without their secrets."""
    keys = app.control().keys()
    if as_json:
        emit_json(
            [
                {
                    "id": key.id,
                    "team": key.team,
                    "role": key.role,
                    "created_by": key.created_by,
                    "revoked_at_ms": key.revoked_at_ms,
                }
                for key in keys
            ]
        )
        return
    rows = [
        (
            key.id,
            key.team,
            key.role,
            when(key.created_at_ms),
            key.created_by,
            "revoked" if key.revoked_at_ms else "valid",
        )
        for key in keys
    ]
    print(table(("key", "team", "role", "created (UTC)", "by", "state"), rows))


@command.command("revoke")
@click.argument("key_id")
@click.pass_obj
def revoke(app: AppContext, key_id: str) -> None:
    """Refuse a key from now on, everywhere within a second."""
    app.control().revoke_key(key_id)
    print(f"{key_id} revoked")
