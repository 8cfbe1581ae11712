"""trimtab restore."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trimtab.cli.output import emit_json, json_option, say, when

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext

__all__ = ["command"]


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--without-evidence", is_flag=True, help="Leave files of evidence as they are at their place.")
@json_option
@click.pass_obj
def command(app: AppContext, file: Path, without_evidence: bool, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Restore a backup into a data directory where nothing is yet, and verify the audit log.

    Stop nothing and start nothing meanwhile; name the new place with --directory. Exit status 1 where the audit log is
    not whole.
    """
    from trimtab.backup.restore import restore_backup

    settings = app.settings()
    bucket = settings.evidence_location.startswith("s3://")
    root = settings.data_directory.root
    evidence = root / "evidence" if bucket else Path(settings.evidence_location).resolve()
    made = restore_backup(file, root, evidence=None if without_evidence else evidence)
    entries, broken = app.control().audit()
    head = entries[-1].digest if entries else ""
    if as_json:
        told = {"began_ms": made.began_ms, "trimtab": made.trimtab, "files": len(made.members)}
        emit_json({"directory": str(root), **told, "audit_entries": len(entries), "head": head, "broken": broken})
    else:
        print(f"{root}: as of {when(made.began_ms)} UTC, {len(made.members) - len(made.left_out):,} files")
        print(broken or f"audit log whole: {len(entries)} entries, head {head}")
    if made.database == "postgres" and not as_json:
        say("control state was in Postgres: the audit log above is that of the database that the settings name")
    if broken:
        sys.exit(1)
