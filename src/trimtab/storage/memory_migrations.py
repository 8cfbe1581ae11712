"""Migrations in memory (`migration.ports.MigrationTransaction`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.storage.memory_tables import MemoryTables
from trimtab.storage.refusals import migration_changed, migration_conflict

if TYPE_CHECKING:
    from trimtab.migration.model import Migration, MigrationArtifact

__all__ = ["MemoryMigrations"]


class MemoryMigrations(MemoryTables):
    """Migrations and their artefacts."""

    def migration(self, migration_id: str) -> Migration | None:
        return self.table("migration").get(migration_id)

    def migrations(self, environment: str) -> list[Migration]:
        found = [plan for plan in self.table("migration").values() if plan.environment == environment]
        return sorted(found, key=lambda plan: plan.id, reverse=True)

    def add_migration(self, plan: Migration) -> None:
        twins = [one for one in self.migrations(plan.environment) if one.status == plan.status == "live"]
        if plan.id in self.table("migration") or any(
            (one.source, one.target) == (plan.source, plan.target) for one in twins
        ):
            raise migration_conflict(plan)
        self.put("migration", plan.id, plan)

    def save_migration(self, plan: Migration, *, expected_version: int) -> None:
        stored = self.migration(plan.id)
        if stored is None or stored.version != expected_version:
            raise migration_changed(plan, expected_version)
        self.put("migration", plan.id, plan)

    def add_migration_artifact(self, artifact: MigrationArtifact) -> None:
        key = (artifact.migration, artifact.fork, artifact.state, artifact.digest)
        if key not in self.table("migration_artifact"):
            self.put("migration_artifact", key, artifact)

    def migration_artifact(self, migration_id: str, digest: str) -> MigrationArtifact | None:
        return next((one for one in self.migration_artifacts(migration_id) if one.digest == digest), None)

    def migration_artifacts(self, migration_id: str) -> list[MigrationArtifact]:
        table = self.table("migration_artifact")
        found: list[MigrationArtifact] = [one for key, one in table.items() if key[0] == migration_id]
        return sorted(found, key=lambda one: (one.created_at_ms, one.fork, one.state, one.digest))
