"""trimtab audit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from trimtab.cli.output import emit_json, json_option, table, when
from trimtab.core.ids import short_digest

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext

__all__ = ["command"]


@click.group("audit")
def command() -> None:
    """Read and verify the audit log."""


@command.command("list")
@click.option("--last", type=click.IntRange(min=1), default=50, show_default=True, help="How many entries.")
@json_option
@click.pass_obj
def list_entries(app: AppContext, last: int, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """List the newest entries, oldest first."""
    entries, _ = app.control().audit()
    if as_json:
        emit_json(entries[-last:])
        return
    rows = [
        (
            entry.sequence,
            when(entry.at_ms),
            entry.actor,
            entry.action,
            entry.subject,
            short_digest(entry.digest),
        )
        for entry in entries[-last:]
    ]
    print(table(("#", "when (UTC)", "who", "what", "subject", "digest"), rows, right=(0,)))


@command.command("verify")
@json_option
@click.pass_obj
def verify(app: AppContext, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Walk the hash chain, and hold what is stored against it.

    Exit status 1 where an entry was changed, removed or slipped in, where stored content does not match its digest, or
    where an artifact, release, key or pointer move is stored that the log does not tell of. Keep the head it prints
    somewhere else, and compare: whoever can write the file could rewrite both.
    """
    entries, broken = app.control().audit()
    head = entries[-1].digest if entries else ""
    if as_json:
        emit_json({"entries": len(entries), "head": head, "broken": broken})
    else:
        print(broken or f"whole: {len(entries)} entries, head {head}")
    if broken:
        sys.exit(1)
