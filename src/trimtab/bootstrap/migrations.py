"""Model migrations, wired."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from trimtab.bootstrap.control import actor_of, open_control
from trimtab.bootstrap.prices import context_tokens
from trimtab.bootstrap.store import open_store
from trimtab.control.migrations import MigrationDesk
from trimtab.core.clock import SystemClock
from trimtab.evals.datasets.files import ItemFiles
from trimtab.migration.capabilities import load_capabilities
from trimtab.migration.model import MigrationOptions
from trimtab.migration.work import MigrationPorts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from trimtab.bootstrap.settings import Settings
    from trimtab.events import Generation
    from trimtab.evidence.reader import EvidenceReader
    from trimtab.migration.ports import Asker, RecordedCalls
    from trimtab.migration.traffic import JudgedAnswer, TrafficRow

__all__ = ["migration_options", "open_migrations"]


def open_migrations(
    settings: Settings, *, evidence: EvidenceReader | None = None, asker: Asker | None = None
) -> MigrationDesk:
    """Open the migrations of the settings' environment; without an asker they are looked at and decided on only.

    Raises `StorageError` where the store cannot be opened, `SourceError` for a capability file that is wrong.
    """
    ports = MigrationPorts(
        store=open_store(settings),
        clock=SystemClock(),
        calls=_LateCalls(settings, evidence),
        asker=asker,
        items=ItemFiles(settings.data_directory.datasets),
        capabilities=load_capabilities(settings.migration.capabilities),
        context_tokens=context_tokens,
        publish=partial(_publish, settings),
        actor=actor_of(settings),
        providers=frozenset(settings.providers),
    )
    return MigrationDesk(ports, environment=settings.environment)


class _LateCalls:
    """Recorded calls. What reads them is loaded when the first is asked for: looking at a plan needs none of it."""

    def __init__(self, settings: Settings, reader: EvidenceReader | None) -> None:
        self._settings = settings
        self._reader = reader

    @property
    def _calls(self) -> RecordedCalls:
        from trimtab.evidence.model_use import EvidenceCalls

        if self._reader is None:
            from trimtab.bootstrap.evidence_reader import open_reader

            self._reader = open_reader(self._settings)
        return EvidenceCalls(self._reader)

    def traffic(self, environment: str, provider: str, model: str, span: tuple[int, int]) -> list[TrafficRow]:
        """Calls that asked for a model."""
        return self._calls.traffic(environment, provider, model, span)

    def calls(self, environment: str, release: str, span: tuple[int, int], *, limit: int) -> Iterator[Generation]:
        """Complete answers of a release."""
        return self._calls.calls(environment, release, span, limit=limit)

    def judged(self, feature: str, model: str, names: tuple[str, str], span: tuple[int, int]) -> list[JudgedAnswer]:
        """Answers that a judge and a person scored."""
        return self._calls.judged(feature, model, names, span)


def migration_options(settings: Settings, **given: Any) -> MigrationOptions:  # noqa: ANN401 - fields of the options
    """Return what a new plan goes by: the settings, and what was given on the command line."""
    wanted = {name: value for name, value in given.items() if value is not None}
    own = settings.migration
    defaults = {name: getattr(own, name) for name in own.__struct_fields__ if name != "capabilities"}
    return MigrationOptions(**(defaults | wanted))


def _publish(settings: Settings, environment: str) -> None:
    control = open_control(settings)
    try:
        control.publish(environment)
    finally:
        control.close()
