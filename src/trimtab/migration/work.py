"""What the work of a state is given, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab.artifacts.source import FeatureSource, NamedContent
from trimtab.migration.events import RolloutEnded

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.core.clock import Clock
    from trimtab.evals.datasets.files import ItemFiles
    from trimtab.migration.candidates import Parts
    from trimtab.migration.capabilities import CapabilityTable
    from trimtab.migration.inventory import Inventory
    from trimtab.migration.model import Fork, Migration
    from trimtab.migration.ports import Asker, PlanStore, RecordedCalls

__all__ = ["NO_PROGRESS", "MigrationPorts", "Result", "Work", "Worker"]


def NO_PROGRESS(_what: str, _done: int, _total: int) -> None:  # noqa: N802 - a constant that is called
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationPorts:
    """What migrations are wired to."""

    store: PlanStore
    clock: Clock
    calls: RecordedCalls
    asker: Asker | None
    """`None` where plans are only looked at and decided on."""
    items: ItemFiles
    capabilities: CapabilityTable
    context_tokens: Callable[[str, str], int | None]
    """Window of a provider's model, where the capability table does not tell it; `None` where nobody knows."""
    publish: Callable[[str], None]
    """Publish an environment's snapshot after users were sent back."""
    actor: str
    providers: frozenset[str] = frozenset()
    """That the settings name; empty where nobody says."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the work of a state made, and what its gate says."""

    gate: Literal["passed", "blocked", "waiting"]
    reasons: list[str] = []
    content: dict[str, Any] | None = None
    """The artefact; `None` while it only waits."""
    until_ms: int | None = None
    findings: list[str] = []
    push: FeatureSource | None = None
    """The candidate, where it is not stored yet."""
    candidate: str = ""
    """Digest of the candidate, where it is stored."""
    store: list[NamedContent] = []
    """Artifacts of the feature to store besides."""
    skipped_by: str = ""
    begins_rollout: bool = False
    ended: RolloutEnded | None = None
    """That the rollout it follows ended otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One state's work for one fork."""

    plan: Migration
    fork: Fork
    parts: Parts
    inventory: Inventory
    earlier: Callable[[str], dict[str, Any]]
    """Content of an artefact by its digest."""
    ports: MigrationPorts
    progress: Callable[[str, int, int], None]

    @property
    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return self.ports.clock.now_ms()


if TYPE_CHECKING:
    Worker = Callable[[Work], Result]
