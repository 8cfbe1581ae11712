"""The control plane's use cases, each one transaction; command line, API and console call these and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.artifacts.diff import diff_releases
from trimtab.artifacts.folder import load_feature
from trimtab.control.audit_check import audit_fault
from trimtab.control.datasets import find_dataset
from trimtab.control.eval_reports import eval_reports
from trimtab.control.evals import awaited_suites, check_pins, record_eval
from trimtab.control.examples import ExampleFinder, example_question
from trimtab.control.rollout_reports import attempts_of, rollout_report, rollout_summary
from trimtab.control.running import read_running
from trimtab.control.shipping import push_source
from trimtab.control.tracing import read_trace
from trimtab.control.vitals import read_vitals
from trimtab.core.errors import ConflictError, NotFoundError
from trimtab.policy.keys import create_key, revoke_key
from trimtab.releases.pointers import PointerRequest, rollback_pointer, set_pointer
from trimtab.releases.reference import find_release, require_feature
from trimtab.rollout.commands import RolloutRequest, command_rollout, start_rollout
from trimtab.rollout.effects import Command
from trimtab.rollout.participation import HoldoutRequest, layer_statuses, set_holdout
from trimtab.rollout.publishing import no_prices, publish_into

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trimtab.artifacts.change import Change
    from trimtab.control.eval_reports import EvalReport
    from trimtab.control.evals import EvalOutcome
    from trimtab.control.examples import PastEvents
    from trimtab.control.reports import RunningReport, TraceReport
    from trimtab.control.rollout_reports import RolloutReport, RolloutSummary
    from trimtab.control.shipping import PushReport
    from trimtab.control.tracing import ColdEvents
    from trimtab.control.vitals import Vitals
    from trimtab.core.clock import Clock
    from trimtab.policy.model import ApiKey, KeyRole
    from trimtab.releases.eval_result import EvalResult
    from trimtab.releases.model import AuditEntry, CompiledRelease, Pointer, PointerMove, Release
    from trimtab.rollout.effects import CommandKind
    from trimtab.rollout.model import Holdout, Rollout
    from trimtab.rollout.participation import LayerStatus
    from trimtab.rollout.ports import ControlStore, ControlTransaction, SnapshotPublisher
    from trimtab.serving.directory import DataDirectory
    from trimtab.serving.snapshot import Price

__all__ = ["ControlPlane"]

_AUDIT_PAGE = 10_000


class ControlPlane:
    """One environment of one data directory, on behalf of one actor. Thread-safe as its store is."""

    def __init__(  # noqa: PLR0913 - what it is wired to
        self,
        *,
        store: ControlStore,
        publisher: SnapshotPublisher,
        directory: DataDirectory,
        clock: Clock,
        environment: str,
        actor: str,
        prices: Callable[[CompiledRelease], Price | None] = no_prices,
        cold: ColdEvents | None = None,
        past: PastEvents | None = None,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._directory = directory
        self._clock = clock
        self.environment = environment
        self.actor = actor
        self._prices = prices
        self._cold = cold
        self._examples = ExampleFinder(directory.journals, past)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def vitals(self) -> Vitals:
        """Return who drives rollouts and where those that live stand; raises `StorageError`."""
        with self._store.read() as tx:
            return read_vitals(tx)

    def push(self, folder: Path, *, message: str = "") -> PushReport:
        """Store a feature folder; raises `SourceError` with file and line for what is wrong in it."""
        source = load_feature(folder)
        with self._store.write() as tx:
            return push_source(tx, source, actor=self.actor, now_ms=self._clock.now_ms(), message=message)

    def releases(self, feature: str) -> list[Release]:
        """Return the releases of a feature, newest first."""
        with self._store.read() as tx:
            require_feature(tx, feature)
            return tx.releases(feature)

    def release(self, feature: str, reference: str) -> Release:
        """Return one release."""
        with self._store.read() as tx:
            return find_release(tx, feature, reference)

    def diff(self, feature: str, old: str, new: str) -> list[Change]:
        """Return what changed in meaning between two releases."""
        with self._store.read() as tx:
            return diff_releases(find_release(tx, feature, old).compiled, find_release(tx, feature, new).compiled)

    def pointer(self, feature: str, environment: str | None = None) -> Pointer | None:
        """Return where a feature's stable release is, `None` where the environment does not serve it."""
        with self._store.read() as tx:
            return tx.pointer(feature, environment or self.environment)

    def pointer_history(self, feature: str, environment: str | None = None) -> list[PointerMove]:
        """Return every move of a feature's pointer, oldest first."""
        with self._store.read() as tx:
            require_feature(tx, feature)
            return tx.pointer_moves(feature, environment or self.environment)

    def set_pointer(self, feature: str, reference: str, *, reason: str) -> PointerMove:
        """Point the environment at a release at once, and publish it. Refused while a rollout is under way."""
        with self._store.write() as tx:
            release = find_release(tx, feature, reference)
            self._require_idle(tx, feature)
            request = PointerRequest(release=release, environment=self.environment, actor=self.actor, reason=reason)
            move = set_pointer(tx, request, now_ms=self._clock.now_ms())
        self.publish()
        return move

    def rollback_pointer(self, feature: str, *, reason: str) -> PointerMove:
        """Point the environment back at the release it served before, and publish that."""
        with self._store.write() as tx:
            require_feature(tx, feature)
            self._require_idle(tx, feature)
            move = rollback_pointer(
                tx, feature, self.environment, actor=self.actor, reason=reason, now_ms=self._clock.now_ms()
            )
        self.publish()
        return move

    def publish(self, environment: str | None = None) -> None:
        """Compile and publish the snapshot of an environment, so that no controller need be running."""
        name = environment or self.environment
        with self._store.write() as tx:
            above = self._publisher.published_revision(name)
            snapshot = publish_into(tx, name, now_ms=self._clock.now_ms(), prices=self._prices, above=above)
        self._publisher.publish(snapshot)

    def _publish_everywhere(self) -> None:
        """Publish every environment that serves something, for keys are of no environment."""
        with self._store.read() as tx:
            serving = {pointer.environment for pointer in tx.pointers()}
        for environment in sorted(serving | {self.environment}):
            self.publish(environment)

    def start_rollout(
        self, feature: str, reference: str, *, environment: str | None = None, reason: str = "", supersede: bool = False
    ) -> Rollout:
        """Begin to replace stable by a release; the controller takes it from there."""
        with self._store.write() as tx:
            request = RolloutRequest(
                feature=feature,
                environment=environment or self.environment,
                candidate=find_release(tx, feature, reference).digest,
                actor=self.actor,
                reason=reason,
                supersede=supersede,
            )
            check_pins(tx, feature)
            return start_rollout(tx, request, now_ms=self._clock.now_ms())

    def command_rollout(self, which: str, kind: CommandKind, *, reason: str = "") -> Rollout:
        """Steer a rollout (an id, or a feature's newest) and publish what follows."""
        with self._store.write() as tx:
            rollout = self._find_rollout(tx, which)
            command = Command(kind=kind, actor=self.actor, reason=reason)
            changed = command_rollout(tx, rollout.id, command, now_ms=self._clock.now_ms())
        self.publish(changed.environment)
        return changed

    def rollouts(self, feature: str | None = None) -> list[RolloutSummary]:
        """Return the rollouts of a feature, or of all, newest first."""
        with self._store.read() as tx:
            if feature is not None:
                require_feature(tx, feature)
            names = [known.name for known in tx.features()] if feature is None else [feature]
            found = [rollout for name in names for rollout in tx.rollouts(name)]
            return [rollout_summary(tx, one) for one in sorted(found, key=lambda one: one.id, reverse=True)]

    def rollout_report(self, which: str, *, attempt: int | None = None) -> RolloutReport:
        """Return where a rollout stands, and why. `which`: an id, or a feature for its newest or its `attempt`."""
        with self._store.read() as tx:
            return rollout_report(tx, self._find_rollout(tx, which, attempt))

    def explain(self, which: str, *, attempt: int | None = None) -> RolloutReport:
        """Return the report with examples from the journals of this machine, which are read for it."""
        now_ms = self._clock.now_ms()
        with self._store.read() as tx:
            rollout = self._find_rollout(tx, which, attempt)
            report = rollout_report(tx, rollout)
            question = example_question(tx, rollout, now_ms=now_ms)
        return msgspec.structs.replace(report, examples=self._examples.find(question, now_ms=now_ms))

    def set_holdout(self, percent: float, *, feature: str = "", reason: str) -> Holdout:
        """Keep a share of units on stable in rollouts that start from now on; of all features without a `feature`."""
        with self._store.write() as tx:
            wish = HoldoutRequest(
                environment=self.environment, feature=feature, percent=percent, actor=self.actor, reason=reason
            )
            return set_holdout(tx, wish, now_ms=self._clock.now_ms())

    def holdouts(self) -> list[Holdout]:
        """Return the environment's holdouts."""
        with self._store.read() as tx:
            return tx.holdouts(self.environment)

    def layers(self) -> list[LayerStatus]:
        """Return who holds which slot of the environment's layers."""
        with self._store.read() as tx:
            return layer_statuses(tx.active_rollouts(self.environment))

    def record_eval(
        self, feature: str, reference: str, suite: str, outcome: EvalOutcome, *, dataset: str = ""
    ) -> EvalResult:
        """Record how a test suite ended for a release; rollouts that wait for it see it at their next look.

        `dataset` (`NAME@v3`) says what it was tried on, for plans that pin it; `NotFoundError` where there is none.
        """
        with self._store.write() as tx:
            release = find_release(tx, feature, reference)
            if dataset:
                found, _ = find_dataset(tx, feature, dataset)
                named = {"dataset": f"{found.name}@v{found.number}", "dataset_digest": found.digest}
                outcome = msgspec.structs.replace(outcome, **named)
            return record_eval(tx, release, suite, outcome, actor=self.actor, now_ms=self._clock.now_ms())

    def awaited_suites(self, feature: str) -> dict[str, list[str]]:
        """Return the suites that the feature's plan and its rollouts under way wait for, with the datasets they pin."""
        with self._store.read() as tx:
            return awaited_suites(tx, feature)

    def eval_results(self, feature: str, reference: str | None = None) -> list[EvalReport]:
        """Return what suites said of a feature's releases, or of one of them, newest first."""
        with self._store.read() as tx:
            require_feature(tx, feature)
            releases = tx.releases(feature) if reference is None else [find_release(tx, feature, reference)]
            return eval_reports(tx, releases)

    def running(self, feature: str | None = None, *, window_minutes: int = 5) -> RunningReport:
        """Return what is declared and what traffic saw."""
        return read_running(
            self._directory,
            environment=self.environment,
            feature=feature,
            window_minutes=window_minutes,
            now_ms=self._clock.now_ms(),
        )

    def trace(self, generation: str) -> TraceReport:
        """Return everything recorded about one request."""
        return read_trace(self._directory, generation, cold=self._cold)

    def audit(self) -> tuple[list[AuditEntry], str]:
        """Return the whole audit log, and what is wrong with it or with what it tells of (empty where nothing is)."""
        entries: list[AuditEntry] = []
        with self._store.read() as tx:
            while page := tx.audit(after=entries[-1].sequence if entries else 0, limit=_AUDIT_PAGE):
                entries += page
            return entries, audit_fault(tx, entries)

    def create_key(self, team: str, role: KeyRole = "gateway") -> tuple[ApiKey, str]:
        """Create a key; returns it and the secret, once."""
        with self._store.write() as tx:
            created = create_key(tx, team, actor=self.actor, now_ms=self._clock.now_ms(), role=role)
        self._publish_everywhere()
        return created

    def keys(self) -> list[ApiKey]:
        """Return all keys."""
        with self._store.read() as tx:
            return tx.keys()

    def revoke_key(self, key_id: str) -> None:
        """Revoke a key in every environment."""
        with self._store.write() as tx:
            revoke_key(tx, key_id, actor=self.actor, now_ms=self._clock.now_ms())
        self._publish_everywhere()

    def _require_idle(self, tx: ControlTransaction, feature: str) -> None:
        active = tx.active_rollout(feature, self.environment)
        if active is not None:
            raise ConflictError(
                "rollout_active",
                f"rollout {active.id} of `{feature}` is `{active.state}`",
                param="feature",
                hint=f"end it first: trimtab rollout abort {feature} --reason ...",
            )

    def _find_rollout(self, tx: ControlTransaction, which: str, attempt: int | None = None) -> Rollout:
        rollout = tx.rollout(which) if attempt is None else None
        if rollout is not None:
            return rollout
        ids = attempts_of(tx, which, self.environment)
        place = len(ids) if attempt is None else attempt
        found = tx.rollout(ids[place - 1]) if 1 <= place <= len(ids) else None
        if found is not None:
            return found
        if attempt is not None and ids:
            raise NotFoundError(
                "unknown_attempt",
                f"`{which}` has {len(ids)} attempts in `{self.environment}`, and {attempt} is none of them",
                param="attempt",
                hint=f"give a number from 1 to {len(ids)}, or a rollout's id",
            )
        raise NotFoundError(
            "unknown_rollout",
            f"there is no rollout `{which}`, nor one of a feature of that name in `{self.environment}`",
            param="rollout",
            hint="trimtab rollout list shows them all",
        )
