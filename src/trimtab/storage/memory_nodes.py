"""What nodes and machines share, in memory (`rollout.ports.RolloutTransaction`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.storage.memory_tables import MemoryTables

if TYPE_CHECKING:
    from trimtab.rollout.ports import Published

__all__ = ["MemoryNodes"]


class MemoryNodes(MemoryTables):
    """Snapshots in force, and what machines say of themselves."""

    def next_snapshot_revision(self, environment: str, *, above: int = 0) -> int:
        revision = max(self.snapshot_revision(environment), above) + 1
        self.put("snapshot_revision", environment, revision)
        return revision

    def snapshot_revision(self, environment: str) -> int:
        revision: int = self.table("snapshot_revision").get(environment, 0)
        return revision

    def put_snapshot(self, snapshot: Published) -> None:
        self.put("snapshot", snapshot.environment, snapshot)

    def published(self, environment: str) -> Published | None:
        return self.table("snapshot").get(environment)

    def published_revisions(self) -> dict[str, int]:
        return {environment: one.revision for environment, one in sorted(self.table("snapshot").items())}

    def put_machine(self, name: str, *, seen_ms: int, body: bytes) -> None:
        self.put("machine", name, (seen_ms, body))

    def machines(self, *, seen_since_ms: int) -> list[bytes]:
        return [body for _, (seen_ms, body) in sorted(self.table("machine").items()) if seen_ms >= seen_since_ms]

    def forget_machines(self, *, seen_before_ms: int) -> None:
        for name, (seen_ms, _) in list(self.table("machine").items()):
            if seen_ms < seen_before_ms:
                self.drop("machine", name)
