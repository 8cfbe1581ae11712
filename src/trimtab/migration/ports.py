"""What migrations need of the world: what was recorded, models to call, and rollouts to follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trimtab.rollout.ports import ControlTransaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from trimtab.evals.answers import Answer, Ask
    from trimtab.events import Generation
    from trimtab.migration.model import Migration, MigrationArtifact
    from trimtab.migration.traffic import JudgedAnswer, TrafficRow
    from trimtab.releases.model import CompiledRelease

__all__ = ["Asker", "MigrationTransaction", "PlanStore", "PlanTransaction", "RecordedCalls"]


class RecordedCalls(Protocol):
    """The evidence of an environment."""

    def traffic(self, environment: str, provider: str, model: str, span: tuple[int, int]) -> list[TrafficRow]:
        """Calls that asked for a model, in [since, until) milliseconds."""
        ...

    def calls(self, environment: str, release: str, span: tuple[int, int], *, limit: int) -> Iterator[Generation]:
        """Complete answers of a release that users met, with their text, spread over the span."""
        ...

    def judged(self, feature: str, model: str, names: tuple[str, str], span: tuple[int, int]) -> list[JudgedAnswer]:
        """Answers of a model, in any environment, that have a judge's score and a person's label of these names."""
        ...


class Asker(Protocol):
    """Releases that can be asked."""

    def ask(
        self, release: CompiledRelease, asks: Sequence[Ask], *, progress: Callable[[int, int], None]
    ) -> dict[tuple[str, int], Answer]:
        """Return the answers by key and sample, failures among them. What was answered before is not asked again."""
        ...


class MigrationTransaction(Protocol):
    """Migrations and their artefacts inside one transaction."""

    def migration(self, migration_id: str) -> Migration | None: ...
    def migrations(self, environment: str) -> list[Migration]:
        """All of an environment, newest first."""
        ...

    def add_migration(self, plan: Migration) -> None:
        """Raises `ConflictError` where a live one between the same models is stored for the environment."""
        ...

    def save_migration(self, plan: Migration, *, expected_version: int) -> None:
        """Replace; raises `FencedError` unless the stored `version` is `expected_version`."""
        ...

    def add_migration_artifact(self, artifact: MigrationArtifact) -> None:
        """Store what is not stored yet: the same content of the same state twice is one."""
        ...

    def migration_artifact(self, migration_id: str, digest: str) -> MigrationArtifact | None:
        """What a state of a migration wrote; raises `IntegrityError` where its content does not match the digest."""
        ...

    def migration_artifacts(self, migration_id: str) -> list[MigrationArtifact]:
        """Everything a migration wrote, oldest first."""
        ...


class PlanTransaction(ControlTransaction, MigrationTransaction, Protocol):
    """All control state inside one transaction."""


class PlanStore(Protocol):
    """Where control state lives, migrations among it."""

    def read(self) -> AbstractContextManager[PlanTransaction]: ...
    def write(self) -> AbstractContextManager[PlanTransaction]: ...
    def close(self) -> None: ...
