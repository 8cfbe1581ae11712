"""Use cases of model migrations; command line, API and console call these and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.document import nearest
from trimtab.control.migration_models import called_models, model_name, uncalled, unknown_provider
from trimtab.core.errors import InputError, NotFoundError
from trimtab.migration.engine import MigrationEngine
from trimtab.migration.events import Abandoned, Acknowledged, Approved, RolledBack
from trimtab.migration.inventory import FeatureTraffic, Inventory
from trimtab.migration.lint import LintReport
from trimtab.migration.status import MigrationStatus, status_of
from trimtab.migration.work import NO_PROGRESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.migration.events import Event
    from trimtab.migration.inventory import ModelName
    from trimtab.migration.model import Fork, Migration, MigrationArtifact, MigrationOptions
    from trimtab.migration.states import StateName
    from trimtab.migration.work import MigrationPorts

__all__ = ["FindingStatus", "MigrationDesk", "MigrationStory"]

_DAY_MS = 86_400_000


class FindingStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of the parameter lint, and who acknowledged it."""

    id: str
    says: str
    does: str
    source: str
    acknowledged_by: str
    """Empty while nobody has."""


class MigrationStory(msgspec.Struct, frozen=True, kw_only=True):
    """A migration with what its states found, for a page."""

    status: MigrationStatus
    inventory: Inventory | None
    traffic: dict[str, FeatureTraffic]
    findings: dict[str, list[FindingStatus]]
    """Of the parameter lint, by fork."""
    words: dict[str, list[str]]
    """Of the behavioural diff, by fork."""
    adapted: dict[str, list[str]]
    """What is taken in place of the old release, and how it did on the held-out items, by fork."""
    judges: dict[str, list[str]]
    """How far judges agree with people, by fork."""


class MigrationDesk:
    """Migrations of one environment, on behalf of one actor."""

    def __init__(self, ports: MigrationPorts, *, environment: str) -> None:
        self._ports = ports
        self._engine = MigrationEngine(ports, environment=environment)
        self.environment = environment

    def close(self) -> None:
        """Close the store."""
        self._ports.store.close()

    def start(self, source: str, target: str, options: MigrationOptions) -> MigrationStatus:
        """Return the plan from one model (`provider/model`) to another, begun now or before.

        Raises `NotFoundError` where one is misspelt: `uncalled_model` where nothing calls the old one,
        `unknown_provider` where nobody could call the new one.
        """
        with self._ports.store.read() as tx:
            called = called_models(tx, self.environment)
            live = [(one.source, one.target) for one in tx.migrations(self.environment) if one.status == "live"]
        old, new = model_name(source, param="from", known=called), model_name(target, param="to")
        if (old, new) not in live:
            providers = self._ports.providers
            if providers and new.provider not in providers:
                raise unknown_provider(new, providers)
            if old.text not in called and not self._recorded(old, options):
                raise uncalled(old, self.environment, called)
        return self._status(self._engine.start(old, new, options))

    def _recorded(self, model: ModelName, options: MigrationOptions) -> bool:
        """Whether anybody called a model lately, also a feature whose release does not name it."""
        now_ms = self._ports.clock.now_ms()
        span = (now_ms - round(options.traffic_days * _DAY_MS), now_ms + 1)
        return bool(self._ports.calls.traffic(self.environment, model.provider, model.model, span))

    def look(self, which: str | None = None) -> MigrationStatus:
        """Take the inventory of a plan that has none; calls no model."""
        return self._status(self._engine.look(self._find(which).id))

    def migrations(self) -> list[MigrationStatus]:
        """Return every migration of the environment, newest first."""
        with self._ports.store.read() as tx:
            plans = tx.migrations(self.environment)
        return [self._status(plan) for plan in plans]

    def status(self, which: str | None = None) -> MigrationStatus:
        """Return where a migration stands. `which`: its id, or `None` for the only one that is live."""
        return self._status(self._find(which))

    def run(
        self, which: str | None = None, *, progress: Callable[[str, int, int], None] = NO_PROGRESS
    ) -> MigrationStatus:
        """Do the work that is due now; raises as :meth:`trimtab.migration.engine.MigrationEngine.run`."""
        return self._status(self._engine.run(self._find(which).id, progress=progress))

    def acknowledge(self, which: str | None, *, fork: str | None, findings: list[str], reason: str) -> MigrationStatus:
        """Acknowledge findings of the lint, all that are open where none is named."""
        return self._apply(
            which, fork, lambda name: Acknowledged(fork=name, findings=findings, actor=self.actor, reason=reason)
        )

    def approve(self, which: str | None, *, fork: str | None, reason: str) -> MigrationStatus:
        """Let a fork go on that is held, or past a gate that said no."""
        return self._apply(which, fork, lambda name: Approved(fork=name, actor=self.actor, reason=reason))

    def roll_back(self, which: str | None, *, fork: str | None, to: StateName | None, reason: str) -> MigrationStatus:
        """Send a fork back; users who meet the new model go back with it."""
        return self._apply(which, fork, lambda name: RolledBack(fork=name, actor=self.actor, reason=reason, to=to))

    def abandon(self, which: str | None, *, reason: str) -> MigrationStatus:
        """Give a plan up."""
        plan = self._find(which)
        return self._status(self._engine.apply(plan.id, Abandoned(actor=self.actor, reason=reason)))

    def findings(self, which: str | None, fork: str) -> list[FindingStatus]:
        """Return what the lint found for a fork, and who acknowledged what; empty before it ran."""
        plan = self._find(which)
        found = plan.fork(fork)
        if found is None:
            return []
        digest = found.passed["lint"].artifact if "lint" in found.passed else ""
        digest = digest or (found.pending if found.state == "lint" else "")
        if not digest:
            return []
        report = msgspec.convert(self._engine.artifact(plan.id, digest).content, LintReport)
        return _findings(report, found)

    def preview(self, which: str | None = None) -> dict[str, list[FindingStatus]]:
        """Return, by fork, what the lint would find now; calls no model."""
        plan = self._find(which)
        found = self._engine.preview(plan.id)
        return {fork.name: _findings(found[fork.name], fork) for fork in plan.forks}

    def story(self, which: str) -> MigrationStory:
        """Return a migration with what its states found."""
        plan = self._find(which)
        inventory = msgspec.convert(self.artifact(plan.id, "inventory"), Inventory) if plan.inventory else None
        return MigrationStory(
            status=self._status(plan),
            inventory=inventory,
            traffic={one.feature: one for one in inventory.traffic} if inventory else {},
            findings={fork.name: self.findings(plan.id, fork.name) for fork in plan.forks},
            words=self._told(plan, "diff", lambda content: content["words"]),
            adapted=self._told(plan, "adapt", lambda content: content.get("told", [])),
            judges=self._told(plan, "judges", _judged),
        )

    def _told(
        self, plan: Migration, state: StateName, words: Callable[[dict[str, Any]], list[str]]
    ) -> dict[str, list[str]]:
        """Return, by fork, what a state that it is through wrote, in words; what blocks it stands in its reasons."""
        return {
            fork.name: words(self._engine.artifact(plan.id, passed.artifact).content)
            for fork in plan.forks
            if (passed := fork.passed.get(state)) is not None and passed.artifact
        }

    def artifacts(self, which: str | None = None) -> list[MigrationArtifact]:
        """Return everything a migration wrote, oldest first."""
        plan = self._find(which)
        with self._ports.store.read() as tx:
            return tx.migration_artifacts(plan.id)

    def artifact(self, which: str | None, state: StateName, fork: str = "") -> dict[str, Any]:
        """Return what a state wrote that counts now, or wrote last; raises `NotFoundError` where it wrote nothing."""
        plan = self._find(which)
        digest = plan.inventory if state == "inventory" else self._counting(plan, state, fork)
        if not digest:
            raise NotFoundError(
                "unknown_artifact",
                f"`{state}` of {fork or plan.id} has not written anything yet",
                param="state",
                hint="trimtab migration status tells where it stands",
            )
        return self._engine.artifact(plan.id, digest).content

    @property
    def actor(self) -> str:
        """Whom commands are booked to."""
        return self._ports.actor

    def _counting(self, plan: Migration, state: StateName, fork: str) -> str:
        found = plan.fork(self._fork(plan, fork or None))
        if found is None:
            return ""
        if state in found.passed:
            return found.passed[state].artifact
        return found.pending if found.state == state else ""

    def _apply(self, which: str | None, fork: str | None, event: Callable[[str], Event]) -> MigrationStatus:
        plan = self._find(which)
        return self._status(self._engine.apply(plan.id, event(self._fork(plan, fork))))

    def _fork(self, plan: Migration, fork: str | None) -> str:
        names = [one.name for one in plan.forks]
        if fork is not None:
            if names and fork not in names:
                message = f"{plan.id} has no fork `{fork}`"
                raise NotFoundError("unknown_fork", message, param="fork", hint=nearest(fork, names))
            return fork
        if len(plan.forks) == 1:
            return plan.forks[0].name
        raise InputError(
            "which_fork",
            f"{plan.id} has {len(plan.forks)} forks: say which",
            param="fork",
            hint="--fork " + " | ".join(names) if names else "take the inventory first",
        )

    def _find(self, which: str | None) -> Migration:
        with self._ports.store.read() as tx:
            if which is not None:
                plan = tx.migration(which)
                if plan is not None:
                    return plan
                raise NotFoundError(
                    "unknown_migration",
                    f"there is no migration {which}",
                    param="migration",
                    hint="trimtab migration list shows them all",
                )
            plans = tx.migrations(self.environment)
        live = [plan for plan in plans if plan.status == "live"]
        if len(live) == 1:
            return live[0]
        if not live and plans:
            return plans[0]
        raise NotFoundError(
            "which_migration",
            f"{len(live) or 'no'} migration{'s are' if live else ' is'} under way in `{self.environment}`",
            param="migration",
            hint="name one: " + ", ".join(plan.id for plan in live)
            if live
            else "begin one: trimtab migration plan --from MODEL --to MODEL",
        )

    def _status(self, plan: Migration) -> MigrationStatus:
        with self._ports.store.read() as tx:
            found = [release for fork in plan.forks if (release := tx.release(fork.candidate)) is not None]
            lifecycle = None
            if plan.inventory and (taken := tx.migration_artifact(plan.id, plan.inventory)) is not None:
                lifecycle = msgspec.convert(taken.content, Inventory).lifecycle
        return status_of(
            plan,
            lifecycle=lifecycle or self._ports.capabilities.named(plan.source.provider, plan.source.model).lifecycle,
            candidates={release.digest: f"{release.feature}#{release.number}" for release in found},
            now_ms=self._ports.clock.now_ms(),
        )


def _judged(content: dict[str, Any]) -> list[str]:
    told = (one["complaint"] or one.get("agreement", "") for one in content["judges"])
    return [one for one in told if one]


def _findings(report: LintReport, fork: Fork) -> list[FindingStatus]:
    return [
        FindingStatus(
            id=one.id,
            says=one.says,
            does=one.does,
            source=one.source,
            acknowledged_by=ack.actor if (ack := fork.acknowledged.get(one.id)) else "",
        )
        for one in report.findings
    ]
