"""What nodes and machines share, in SQL (`rollout.ports.RolloutTransaction`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from trimtab.rollout.ports import Published
from trimtab.storage import schema as t
from trimtab.storage.sql_tables import SqlTables

if TYPE_CHECKING:
    from typing import Any

__all__ = ["SNAPSHOT_CHANNEL", "SqlNodes"]

SNAPSHOT_CHANNEL = "snapshots_of_trimtab"
"""On which Postgres tells its listeners that a snapshot was published."""


class SqlNodes(SqlTables):
    """Snapshots in force, and what machines say of themselves."""

    def next_snapshot_revision(self, environment: str, *, above: int = 0) -> int:
        revision = max(self.snapshot_revision(environment), above) + 1
        table = t.snapshot_revision
        if not self.run(sa.update(table).filter_by(environment=environment).values(revision=revision)):
            self.run(sa.insert(table).values(environment=environment, revision=revision))
        return revision

    def snapshot_revision(self, environment: str) -> int:
        table = t.snapshot_revision
        rows = self.rows(sa.select(table.c.revision).where(table.c.environment == environment))
        return int(rows[0][0]) if rows else 0

    def put_snapshot(self, snapshot: Published) -> None:
        key = {"environment": snapshot.environment}
        self._replace(t.snapshot, key, {"revision": snapshot.revision, "body": snapshot.body})
        if self.dialect == "postgresql":  # delivered when, and only when, this transaction commits
            self.run(sa.select(sa.func.pg_notify(SNAPSHOT_CHANNEL, snapshot.environment)))

    def published(self, environment: str) -> Published | None:
        rows = self.rows(sa.select(t.snapshot).where(t.snapshot.c.environment == environment))
        return Published(**rows[0]._mapping) if rows else None  # noqa: SLF001 - SQLAlchemy's public name

    def published_revisions(self) -> dict[str, int]:
        columns = t.snapshot.c
        return {row.environment: row.revision for row in self.rows(sa.select(columns.environment, columns.revision))}

    def put_machine(self, name: str, *, seen_ms: int, body: bytes) -> None:
        self._replace(t.machine, {"name": name}, {"seen_ms": seen_ms, "body": body})

    def machines(self, *, seen_since_ms: int) -> list[bytes]:
        columns = t.machine.c
        query = sa.select(columns.body).where(columns.seen_ms >= seen_since_ms)
        return self.bodies(query.order_by(*self.in_order(columns.name)))

    def forget_machines(self, *, seen_before_ms: int) -> None:
        self.run(sa.delete(t.machine).where(t.machine.c.seen_ms < seen_before_ms))

    def _replace(self, table: sa.Table, key: dict[str, Any], values: dict[str, Any]) -> None:
        if not self.run(sa.update(table).filter_by(**key).values(**values)):
            self.run(sa.insert(table).values(**key, **values))
