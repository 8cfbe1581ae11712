"""Migrations in SQL (`migration.ports.MigrationTransaction`)."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from trimtab.core.canonical import canonical_digest
from trimtab.migration.model import Migration, MigrationArtifact
from trimtab.storage import schema as t
from trimtab.storage.refusals import migration_changed, migration_conflict
from trimtab.storage.sql_errors import damaged
from trimtab.storage.sql_tables import SqlTables

__all__ = ["SqlMigrations"]


class SqlMigrations(SqlTables):
    """Migrations and their artefacts."""

    def migration(self, migration_id: str) -> Migration | None:
        return self.one(Migration, sa.select(t.migration.c.body).where(t.migration.c.id == migration_id))

    def migrations(self, environment: str) -> list[Migration]:
        columns = t.migration.c
        query = sa.select(columns.body).where(columns.environment == environment)
        return self.many(Migration, query.order_by(*(one.desc() for one in self.in_order(columns.id))))

    def add_migration(self, plan: Migration) -> None:
        self.insert(t.migration, migration_conflict(plan), id=plan.id, **_columns(plan))

    def save_migration(self, plan: Migration, *, expected_version: int) -> None:
        columns = t.migration.c
        statement = sa.update(t.migration).where(columns.id == plan.id, columns.version == expected_version)
        if not self.run(statement.values(**_columns(plan))):
            raise migration_changed(plan, expected_version)

    def add_migration_artifact(self, artifact: MigrationArtifact) -> None:
        row = {
            "migration": artifact.migration,
            "fork": artifact.fork,
            "state": artifact.state,
            "digest": artifact.digest,
            "body": msgspec.json.encode(artifact),
        }
        self.insert_new(t.migration_artifact, [row])

    def migration_artifact(self, migration_id: str, digest: str) -> MigrationArtifact | None:
        columns = t.migration_artifact.c
        query = sa.select(columns.body).where(columns.migration == migration_id, columns.digest == digest)
        return self._whole(self.one(MigrationArtifact, query.limit(1)), digest)

    def migration_artifacts(self, migration_id: str) -> list[MigrationArtifact]:
        columns = t.migration_artifact.c
        found = self.many(MigrationArtifact, sa.select(columns.body).where(columns.migration == migration_id))
        return sorted(found, key=lambda one: (one.created_at_ms, one.fork, one.state, one.digest))

    def _whole(self, artifact: MigrationArtifact | None, digest: str) -> MigrationArtifact | None:
        if artifact is not None and not digest == artifact.digest == canonical_digest(artifact.content):
            raise damaged(f"what state {artifact.state} of {artifact.migration} wrote", param=digest)
        return artifact


def _columns(plan: Migration) -> dict[str, Any]:
    return {
        "environment": plan.environment,
        "source": plan.source.text,
        "target": plan.target.text,
        "live": plan.status == "live",
        "version": plan.version,
        "body": msgspec.json.encode(plan),
    }
