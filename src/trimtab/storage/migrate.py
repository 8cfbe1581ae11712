"""Bring a database to the schema this code needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from trimtab.core.errors import StorageError
from trimtab.storage.schema import HEAD

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["MIGRATIONS", "current_revision", "migrate"]

MIGRATIONS = Path(__file__).parent / "migrations"


def current_revision(connection: Connection) -> str | None:
    """Return the revision of a database; `None` for an empty one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def migrate(connection: Connection, *, place: str, target: str = HEAD, scripts: Path = MIGRATIONS) -> None:
    """Run what is missing, in the caller's transaction; raises `StorageError` for a database from a newer Trimtab."""
    revision = current_revision(connection)
    if revision == target:
        return
    import alembic.command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    if revision is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(revision)
        except CommandError as error:
            raise StorageError(
                "newer_database",
                f"the database has schema {revision}, this Trimtab knows up to {target}",
                param=place,
                hint="upgrade Trimtab, or restore a backup from before the upgrade",
            ) from error
    alembic.command.upgrade(config, target)
