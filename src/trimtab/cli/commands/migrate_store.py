"""trimtab migrate-store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trimtab.cli.output import emit_json, json_option, say, table
from trimtab.core.errors import ConflictError

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext

__all__ = ["command"]


@click.command("migrate-store")
@click.option("--to", "url", required=True, metavar="URL", help="postgresql://user@host/name; an empty database.")
@json_option
@click.pass_obj
def command(app: AppContext, url: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Move control state from SQLite to Postgres.

    Stop every `trimtab server` first; gateways and SDKs serve on. Everything is copied in one transaction and compared,
    and the SQLite file stays as it was: until `database` is set, it is the one that counts. The password comes from
    PGPASSWORD or ~/.pgpass.
    """
    from trimtab.bootstrap.store import open_database
    from trimtab.core.clock import SystemClock
    from trimtab.storage.copying import copy_control_state
    from trimtab.storage.sqlite import open_sqlite

    settings = app.settings()
    if settings.database:
        raise ConflictError(
            "already_moved",
            "the settings name a Postgres database already",
            param="database",
            hint="leave `database` and TRIMTAB_DATABASE out while you move from SQLite",
        )
    source, target = open_sqlite(settings.data_directory.database), open_database(url)
    try:
        copied = copy_control_state(source, target, now_ms=SystemClock().now_ms())
    finally:
        source.close()
        target.close()
    if as_json:
        emit_json(copied)
    else:
        print(table(("table", "rows"), [(name, f"{rows:,}") for name, rows in copied.items()], right=(1,)))
    say("next: set `database` in trimtab.toml (or TRIMTAB_DATABASE), then start `trimtab server`")
