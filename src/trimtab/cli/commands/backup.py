"""trimtab backup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trimtab.cli.output import emit_json, json_option, say

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext

__all__ = ["command"]


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--without-evidence", is_flag=True, help="Leave files of evidence out.")
@json_option
@click.pass_obj
def command(
    app: AppContext,
    file: Path,
    without_evidence: bool,  # noqa: FBT001 - click's signature
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """Back up the data directory into FILE (.tar.zst), while everything runs.

    Everything that was acknowledged before is in it: control state (SQLite), journals, snapshots, files of evidence
    in a folder. Not in it: control state in Postgres (run pg_dump first), evidence in a bucket, settings and secrets.
    """
    from trimtab.backup.take import take_backup
    from trimtab.core.clock import SystemClock

    settings = app.settings()
    bucket = settings.evidence_location.startswith("s3://")
    folder = None if without_evidence or bucket else Path(settings.evidence_location).resolve()
    made = take_backup(
        settings.data_directory, file.resolve(), clock=SystemClock(), sqlite=not settings.database, evidence=folder
    )
    size = sum(member.size for member in made.members.values())
    if as_json:
        told = {"began_ms": made.began_ms, "ended_ms": made.ended_ms, "files": len(made.members), "bytes": size}
        emit_json({"file": str(file), **told, "database": made.database, "evidence": made.evidence})
        return
    print(f"{file}: {len(made.members):,} files, {size:,} bytes before compression")
    if settings.database:
        say("control state is in Postgres and not in it: pg_dump backs it up (run it before this)")
    if bucket:
        say(f"evidence is in {settings.evidence_location.partition('?')[0]} and not in it")
