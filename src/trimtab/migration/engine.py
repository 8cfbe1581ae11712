"""Drives migrations: does the work that is due, writes down what came of it, and asks the state machine.

A state's artefact, the candidate it stores, the rollout it begins and the step to the next state commit together; what
takes long (asking models) is done before, and kept by whoever does it. So a run that is killed anywhere is run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.canonical import canonical_digest
from trimtab.core.errors import ConflictError, FencedError, IntegrityError, NotFoundError
from trimtab.core.ids import new_id
from trimtab.migration.adapting import adapt_work
from trimtab.migration.candidates import calling, parts_of
from trimtab.migration.diffing import diff_work
from trimtab.migration.events import Audit, ForkSeed, Inventoried, Rebased, RolloutStarted, TakeBack, Worked
from trimtab.migration.following import canary_work, cutover_work, retire_work, shadow_work
from trimtab.migration.golden import golden_work
from trimtab.migration.inventory import Inventory, Registry, take_inventory
from trimtab.migration.judging import judge_work
from trimtab.migration.linting import lint_fork, lint_work
from trimtab.migration.machine import transition
from trimtab.migration.model import Migration, MigrationArtifact
from trimtab.migration.rollouts import migration_rollout
from trimtab.migration.states import FIRST, STATES, place
from trimtab.migration.work import NO_PROGRESS, Result, Work
from trimtab.releases.pointers import PointerRequest, set_pointer
from trimtab.releases.push import push, put_artifact
from trimtab.rollout.commands import RolloutRequest, command_rollout, start_rollout
from trimtab.rollout.effects import Command
from trimtab.rollout.model import TERMINAL_STATES
from trimtab.rollout.spec import decode_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trimtab.migration.events import Event
    from trimtab.migration.inventory import ModelName
    from trimtab.migration.lint import LintReport
    from trimtab.migration.model import Fork, MigrationOptions
    from trimtab.migration.ports import PlanTransaction
    from trimtab.migration.states import StateName
    from trimtab.migration.work import MigrationPorts, Worker

__all__ = ["WORKERS", "MigrationEngine"]

_DAY_MS = 86_400_000

WORKERS: Mapping[StateName, Worker] = {
    "golden": golden_work,
    "lint": lint_work,
    "diff": diff_work,
    "adapt": adapt_work,
    "judges": judge_work,
    "shadow": shadow_work,
    "canary": canary_work,
    "cutover": cutover_work,
    "retire": retire_work,
}


class MigrationEngine:
    """Migrations of one environment."""

    def __init__(self, ports: MigrationPorts, *, environment: str) -> None:
        self._ports = ports
        self._environment = environment

    def start(self, source: ModelName, target: ModelName, options: MigrationOptions) -> Migration:
        """Return the live plan from one model to another: the one there is, or a new one."""
        ports, now_ms = self._ports, self._ports.clock.now_ms()
        if source == target:
            raise ConflictError("same_model", f"{source.text} is where it would come from already", param="to")
        with ports.store.write() as tx:
            for plan in tx.migrations(self._environment):
                if plan.status == "live" and (plan.source, plan.target) == (source, target):
                    return plan
            plan = Migration(
                id=new_id("mig", now_ms),
                environment=self._environment,
                source=source,
                target=target,
                options=options,
                created_at_ms=now_ms,
                created_by=ports.actor,
                updated_at_ms=now_ms,
            )
            tx.add_migration(plan)
            tx.append_audit(
                at_ms=now_ms,
                actor=ports.actor,
                action="migration.start",
                subject=plan.id,
                detail={
                    "environment": plan.environment,
                    "from": source.text,
                    "to": target.text,
                    "options": msgspec.to_builtins(options),
                },
            )
        return plan

    def apply(self, migration_id: str, event: Event) -> Migration:
        """Apply a person's command; raises as :func:`trimtab.migration.machine.transition`."""
        with self._ports.store.write() as tx:
            plan = self._plan(tx, migration_id)
            changed, sent_back = self._commit(tx, plan, event)
        if sent_back:
            self._ports.publish(plan.environment)
        return changed

    def look(self, migration_id: str) -> Migration:
        """Take the inventory, unless it was taken; reads evidence, and calls no model."""
        plan = self._read(migration_id)
        return self._inventory(plan) if plan.status == "live" and not plan.forks else plan

    def preview(self, migration_id: str) -> dict[str, LintReport]:
        """Return, by fork, what the lint would find now; nothing is written, and no model is called."""
        plan = self._read(migration_id)
        return {fork.name: lint_fork(self._work(plan, fork, NO_PROGRESS)) for fork in plan.forks}

    def run(self, migration_id: str, *, progress: Callable[[str, int, int], None] = NO_PROGRESS) -> Migration:
        """Do all the work that is due now, of every fork; returns where that led.

        Raises what asking models or reading evidence raises: what was done before it is kept, and a new run goes on
        from there. `FencedError` where another run of the same plan is faster.
        """
        plan = self.look(migration_id)
        asked: set[tuple[str, str]] = set()
        while (fork := self._next(plan, asked)) is not None:
            asked.add((fork.name, fork.state))
            plan = self._step(plan, fork, progress)
            after = plan.fork(fork.name)
            if after is not None and place(after.state) < place(fork.state):  # it went back: why is read first
                asked.update((fork.name, state.name) for state in STATES)
        return plan

    def _next(self, plan: Migration, asked: set[tuple[str, str]]) -> Fork | None:
        """Return a fork whose state was not worked at in this run. Those that wait for all others come last."""
        if plan.status != "live":
            return None
        able = [
            one for one in plan.forks if one.standing not in {"held", "done"} and (one.name, one.state) not in asked
        ]
        return min(able, key=lambda one: one.state == "retire", default=None)

    def _step(self, plan: Migration, fork: Fork, progress: Callable[[str, int, int], None]) -> Migration:
        plan = self._rebase(plan, fork)
        fork = plan.fork(fork.name) or fork
        result = WORKERS[fork.state](self._work(plan, fork, progress))
        try:
            return self._conclude(plan, fork, result)
        except ConflictError as error:
            if not result.begins_rollout:
                raise
            return self._conclude(plan, fork, Result(gate="waiting", reasons=[error.message]))

    def _rebase(self, plan: Migration, fork: Fork) -> Migration:
        """Begin with the release in force, where that is another one since the inventory and calls the model too."""
        if fork.state != FIRST:
            return plan
        with self._ports.store.write() as tx:
            pointer = tx.pointer(fork.name, plan.environment)
            release = None if pointer is None else tx.release(pointer.release)
            if release is None or release.digest == fork.release or calling(release.compiled, plan.source) is None:
                return plan
            event = Rebased(
                fork=fork.name,
                release=release.digest,
                release_number=release.number,
                prompt=release.manifest.prompt,
            )
            return self._commit(tx, plan, event)[0]

    def _conclude(self, plan: Migration, fork: Fork, result: Result) -> Migration:
        now_ms = self._ports.clock.now_ms()
        with self._ports.store.write() as tx:
            if self._plan(tx, plan.id).version != plan.version:
                raise FencedError(
                    "migration_changed",
                    f"migration {plan.id} was changed while `{fork.name}` was worked at",
                    param=plan.id,
                    hint="another run or a person was faster; run it again",
                )
            return self._commit(tx, plan, self._event(tx, plan, fork, result, now_ms))[0]

    def _event(self, tx: PlanTransaction, plan: Migration, fork: Fork, result: Result, now_ms: int) -> Event:
        """Write down what a worker made, and return what happened."""
        if result.ended is not None:
            return result.ended
        if result.begins_rollout:
            return RolloutStarted(fork=fork.name, rollout=self._begin_rollout(tx, plan, fork, now_ms))
        for named in result.store:
            put_artifact(tx, fork.name, named, self._ports.actor, now_ms)
        candidate = result.candidate
        if result.push is not None:
            message = f"{plan.id}: {plan.source.text} to {plan.target.text}"
            pushed = push(tx, result.push, actor=self._ports.actor, now_ms=now_ms, message=message)
            candidate = pushed.release.digest
        return Worked(
            fork=fork.name,
            state=fork.state,
            artifact=self._write(tx, plan, fork.name, fork.state, result.content, now_ms),
            gate=result.gate,
            reasons=result.reasons,
            until_ms=result.until_ms,
            findings=result.findings,
            candidate=candidate,
            skipped_by=result.skipped_by,
        )

    def _write(
        self,
        tx: PlanTransaction,
        plan: Migration,
        fork: str,
        state: StateName,
        content: dict[str, Any] | None,
        now_ms: int,
    ) -> str:
        if content is None:
            return ""
        artifact = MigrationArtifact(
            digest=canonical_digest(content),
            migration=plan.id,
            fork=fork,
            state=state,
            content=content,
            created_at_ms=now_ms,
        )
        tx.add_migration_artifact(artifact)
        return artifact.digest

    def _inventory(self, plan: Migration) -> Migration:
        ports, now_ms = self._ports, self._ports.clock.now_ms()
        with ports.store.read() as tx:
            pointers = tx.pointers(plan.environment)
            registry = Registry(
                features={one.name: one for one in tx.features()},
                pointers=pointers,
                releases={one.feature: tx.releases(one.feature) for one in pointers},
            )
        span = (now_ms - round(plan.options.traffic_days * _DAY_MS), now_ms + 1)
        source = ports.capabilities.named(plan.source.provider, plan.source.model)
        found = take_inventory(
            registry,
            ports.calls.traffic(plan.environment, plan.source.provider, plan.source.model, span),
            target=plan.target,
            source=source,
            environment=plan.environment,
            span=span,
        )
        seeds = [
            ForkSeed(name=use.feature, release=use.release, release_number=use.number, prompt=use.prompt, role=use.role)
            for use in found.uses
        ]
        with ports.store.write() as tx:
            current = self._plan(tx, plan.id)
            if current.forks:
                return current  # another run was faster
            digest = self._write(tx, plan, "", "inventory", msgspec.to_builtins(found), now_ms)
            return self._commit(tx, current, Inventoried(artifact=digest, forks=seeds))[0]

    def _commit(self, tx: PlanTransaction, plan: Migration, event: Event) -> tuple[Migration, bool]:
        """Save what follows from an event; returns the plan, and whether users were sent back."""
        now_ms = self._ports.clock.now_ms()
        changed, effects = transition(plan, event, now_ms=now_ms)
        if changed == plan and not effects:
            return plan, False
        saved = msgspec.structs.replace(changed, version=plan.version + 1, updated_at_ms=now_ms)
        tx.save_migration(saved, expected_version=plan.version)
        sent_back = False
        for effect in effects:
            match effect:
                case Audit():
                    tx.append_audit(
                        at_ms=now_ms,
                        actor=effect.actor,
                        action=effect.action,
                        subject=effect.subject,
                        detail=effect.detail,
                    )
                case TakeBack():
                    _take_back(tx, effect, plan.environment, now_ms)
                    sent_back = True
        return saved, sent_back

    def _begin_rollout(self, tx: PlanTransaction, plan: Migration, fork: Fork, now_ms: int) -> str:
        stored = tx.plan(fork.name)
        request = RolloutRequest(
            feature=fork.name,
            environment=plan.environment,
            candidate=fork.candidate,
            actor=self._ports.actor,
            reason=f"migration {plan.id}: {plan.source.text} to {plan.target.text}",
            plan=migration_rollout(None if stored is None else decode_plan(stored.source)),
        )
        return start_rollout(tx, request, now_ms=now_ms).id

    def _work(self, plan: Migration, fork: Fork, progress: Callable[[str, int, int], None]) -> Work:
        with self._ports.store.read() as tx:
            release = tx.release(fork.release)
            if release is None:
                raise IntegrityError("missing_release", f"release {fork.release} is not stored", param=fork.release)
            parts = parts_of(tx, release)
        inventory = msgspec.convert(self.artifact(plan.id, plan.inventory).content, Inventory)
        return Work(
            plan=plan,
            fork=fork,
            parts=parts,
            inventory=inventory,
            earlier=lambda digest: self.artifact(plan.id, digest).content,
            ports=self._ports,
            progress=progress,
        )

    def artifact(self, migration_id: str, digest: str) -> MigrationArtifact:
        """Return what a state wrote; raises `NotFoundError`."""
        with self._ports.store.read() as tx:
            artifact = tx.migration_artifact(migration_id, digest)
        if artifact is None:
            raise NotFoundError("unknown_artifact", f"{migration_id} wrote nothing with digest {digest}", param=digest)
        return artifact

    def _read(self, migration_id: str) -> Migration:
        with self._ports.store.read() as tx:
            return self._plan(tx, migration_id)

    def _plan(self, tx: PlanTransaction, migration_id: str) -> Migration:
        plan = tx.migration(migration_id)
        if plan is None:
            raise NotFoundError(
                "unknown_migration",
                f"there is no migration {migration_id}",
                param="migration",
                hint="trimtab migration list shows them all",
            )
        return plan


def _take_back(tx: PlanTransaction, effect: TakeBack, environment: str, now_ms: int) -> None:
    rollout = tx.rollout(effect.rollout)
    if rollout is not None and rollout.state not in TERMINAL_STATES:
        if rollout.state != "rolling_back":
            command = Command(kind="abort", actor=effect.actor, reason=effect.reason)
            command_rollout(tx, rollout.id, command, now_ms=now_ms)
        return
    pointer = tx.pointer(effect.feature, environment)
    if pointer is None or pointer.release != effect.candidate:
        return  # somebody pointed it elsewhere already
    release = tx.release(effect.release)
    if release is None:
        raise IntegrityError("missing_release", f"release {effect.release} is not stored", param=effect.release)
    active = tx.active_rollout(effect.feature, environment)
    if active is not None:
        raise ConflictError(
            "rollout_active",
            f"rollout {active.id} of `{effect.feature}` is `{active.state}`",
            param="feature",
            hint=f"end it first: trimtab rollout abort {effect.feature} --reason ...",
        )
    request = PointerRequest(release=release, environment=environment, actor=effect.actor, reason=effect.reason)
    set_pointer(tx, request, now_ms=now_ms)
