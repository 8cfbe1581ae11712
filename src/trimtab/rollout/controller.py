"""The controller: reads events, folds evidence, decides, commits, publishes. All I/O goes through ports.

One transaction holds cursors, evidence, counted units, rollout, history and audit, so a crash anywhere repeats a tick
and never half of one. What is published is derived from what is committed: after a crash in between, the next tick
publishes. A lease with a growing epoch lets one controller act; whoever lost it is refused inside the transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.scorers import ScorerLibrary
from trimtab.core.errors import FencedError, StorageError
from trimtab.events import Feedback, Generation, Score, Withdrawal
from trimtab.rollout.attempt import Attempt, load_attempt, scores_of
from trimtab.rollout.commands import save_change
from trimtab.rollout.effects import AppendTransition, Withdrawn
from trimtab.rollout.evaluating import awaited_result
from trimtab.rollout.machine import step
from trimtab.rollout.model import Transition
from trimtab.rollout.publishing import is_ahead, no_prices, publish_into, routing_fingerprint
from trimtab.rollout.spec import decode_plan
from trimtab.serving.snapshot_reading import decode_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trimtab.core.clock import Clock
    from trimtab.releases.model import CompiledRelease
    from trimtab.rollout.effects import Effect, Observation
    from trimtab.rollout.model import Rollout
    from trimtab.rollout.ports import (
        ControlStore,
        ControlTransaction,
        Cursor,
        EventBatch,
        EventSource,
        Lease,
        ScoreSink,
        SnapshotPublisher,
    )
    from trimtab.serving.snapshot import Price

__all__ = ["CONSUMER", "LEASE", "Controller", "ControllerPorts", "TickReport"]

CONSUMER = "rollout"
"""Name under which the controller keeps its cursors."""
LEASE = "rollout-controller"
_TTL_MS = 5_000
"""A controller that is killed is replaced after this; one that stops hands over at once."""
_EVENTS_PER_TICK = 2_000
"""Small, so that a tick with slow scorers still ends well within its lease."""
_IDLE_CURSOR_MS = 5_000
"""Where no rollout is live, cursors are saved this seldom: rereading costs less than a commit every tick."""


class ControllerPorts:
    """What a controller is wired to."""

    def __init__(  # noqa: PLR0913 - one argument per port
        self,
        *,
        store: ControlStore,
        events: EventSource,
        publisher: SnapshotPublisher,
        clock: Clock,
        scorers: ScorerLibrary | None = None,
        scores: ScoreSink | None = None,
        prices: Callable[[CompiledRelease], Price | None] = no_prices,
    ) -> None:
        self.store = store
        self.events = events
        self.publisher = publisher
        self.clock = clock
        self.scorers = scorers or ScorerLibrary()
        self.scores = scores
        self.prices = prices


class TickReport(msgspec.Struct, kw_only=True):
    """What one tick did."""

    leading: bool = False
    """Whether this controller holds the lease."""
    events: int = 0
    more: bool = False
    """Whether events are waiting: tick again at once."""
    transitions: list[Transition] = []
    published: list[str] = []
    """Environments whose snapshot was replaced."""


class Controller:
    """Drives every live rollout. :meth:`tick` is idempotent; call it every half second or so, from one thread."""

    def __init__(self, ports: ControllerPorts, *, holder: str, ttl_ms: int = _TTL_MS, address: str = "") -> None:
        """`holder` names this controller among all that ever were (host, process id, a random part).

        `address` is where data planes of other machines reach it while it leads.
        """
        self._ports = ports
        self._holder = holder
        self._ttl_ms = ttl_ms
        self._address = address
        self._lease: Lease | None = None
        self._cursors: dict[str, Cursor] | None = None
        self._cursors_saved_ms = 0
        self._unsaved: dict[str, Cursor] = {}
        """Cursors that moved and are not in the store yet."""
        self._attempts: dict[str, Attempt] = {}
        self._published: dict[str, tuple[str, int]] = {}

    def tick(self) -> TickReport:
        """Do all that is to be done now. Raises what the ports raise; the next tick then starts from the store."""
        report = TickReport()
        finished = False
        try:
            self._tick(report)
            finished = True
        except FencedError:
            report.leading = False
        finally:
            if not finished:
                self._forget()
        return report

    def _forget(self) -> None:
        """Drop everything that is not in the store."""
        self._lease = None
        self._cursors = None
        self._unsaved = {}
        self._attempts = {}
        self._published = {}

    def _tick(self, report: TickReport) -> None:
        now_ms = self._ports.clock.now_ms()
        lease = self._lead(now_ms)
        if lease is None:
            self._forget()
            return
        report.leading = True
        rollouts, cursors = self._load()
        batch = self._ports.events.read(list(cursors.values()), limit=_EVENTS_PER_TICK)
        report.events, report.more = len(batch.events), batch.more
        self._fold(batch, now_ms)
        self._commit(lease, rollouts, batch, report, now_ms)
        self._publish(lease, report, now_ms)
        self._finish_withdrawals(lease, report, now_ms)

    def _lead(self, now_ms: int) -> Lease | None:
        """Return the lease, taken or renewed before it is half over."""
        lease = self._lease
        if lease is None or not now_ms < lease.expires_at_ms - self._ttl_ms // 2 <= now_ms + self._ttl_ms:
            with self._ports.store.write() as tx:
                renewed = tx.acquire_lease(
                    LEASE, holder=self._holder, now_ms=now_ms, ttl_ms=self._ttl_ms, address=self._address
                )
            if lease is not None and renewed is not None and renewed.epoch != lease.epoch:
                self._forget()  # somebody else led in between
            self._lease = renewed
        return self._lease

    def stop(self) -> None:
        """Hand the lease back, so that another controller takes over at once."""
        if self._lease is not None:
            with self._ports.store.write() as tx:
                tx.release_lease(self._lease)
        self._forget()

    def _load(self) -> tuple[list[Rollout], dict[str, Cursor]]:
        """Return live rollouts and cursors, and take new rollouts in hand."""
        with self._ports.store.read() as tx:
            rollouts = tx.active_rollouts()
            for rollout in rollouts:
                if rollout.id not in self._attempts:
                    self._attempts[rollout.id] = load_attempt(tx, rollout, self._ports.scorers)
            if self._cursors is None:
                self._cursors = {cursor.process: cursor for cursor in tx.cursors(CONSUMER)}
        live = {rollout.id for rollout in rollouts}
        self._attempts = {key: attempt for key, attempt in self._attempts.items() if key in live}
        return rollouts, self._cursors

    def _fold(self, batch: EventBatch, now_ms: int) -> None:
        """Fold new generations in the order in which they began, whichever process they came from."""
        fresh = [event for event in batch.events if isinstance(event, Generation) and event.rollout in self._attempts]
        for generation in sorted(fresh, key=lambda generation: (generation.at_ms, generation.id)):
            self._attempts[generation.rollout].fold(generation, now_ms=now_ms)
        said = [event for event in batch.events if isinstance(event, Feedback | Score)]
        for event in batch.events:
            if isinstance(event, Withdrawal) and event.rollout in self._attempts:
                self._attempts[event.rollout].withdrawn(event)
        for attempt in self._attempts.values():
            for word in sorted(said, key=lambda word: (word.at_ms, word.id)):
                attempt.tell(word, now_ms=now_ms)
            attempt.close_windows(now_ms)
        if self._ports.scores is not None:
            scores = [score for attempt in self._attempts.values() for score in scores_of(attempt.take_results())]
            if scores:
                self._ports.scores.record(scores)

    def _commit(
        self, lease: Lease, rollouts: list[Rollout], batch: EventBatch, report: TickReport, now_ms: int
    ) -> None:
        """Write cursors, evidence, decisions and history in one transaction, if there is anything to write."""
        self._unsaved |= self._moved(batch.cursors)
        self._keep(batch.cursors)
        idle = not rollouts and abs(now_ms - self._cursors_saved_ms) < _IDLE_CURSOR_MS
        if not (self._unsaved and not idle) and not self._is_pending(rollouts, now_ms):
            return
        effects: list[Effect] = []
        with self._ports.store.write() as tx:
            tx.check_lease(lease, now_ms=now_ms)
            for rollout_id, attempt in self._attempts.items():
                effects += self._decide(tx, rollout_id, attempt, lease, now_ms)
            tx.save_cursors(self._unsaved.values())
        self._unsaved = {}
        self._cursors_saved_ms = now_ms
        for attempt in self._attempts.values():
            attempt.committed()
        self._report(effects, report)

    def _moved(self, cursors: Iterable[Cursor]) -> dict[str, Cursor]:
        known = self._cursors or {}
        return {cursor.process: cursor for cursor in cursors if known.get(cursor.process) != cursor}

    def _keep(self, cursors: Iterable[Cursor]) -> None:
        self._cursors = (self._cursors or {}) | {cursor.process: cursor for cursor in cursors}

    def _is_pending(self, rollouts: list[Rollout], now_ms: int) -> bool:
        """Whether evidence or a decision waits to be written; looks only at what was read."""
        if any(attempt.dirty for attempt in self._attempts.values()):
            return True
        with self._ports.store.read() as tx:
            held = [(rollout, self._attempts[rollout.id]) for rollout in rollouts]
            return any(
                step(rollout, attempt.plan, _observation(tx, rollout, attempt), now_ms=now_ms)[1]
                for rollout, attempt in held
            )

    def _decide(
        self, tx: ControlTransaction, rollout_id: str, attempt: Attempt, lease: Lease, now_ms: int
    ) -> list[Effect]:
        """Decide one rollout inside the transaction; returns what must follow the commit."""
        rollout = tx.rollout(rollout_id)
        if rollout is None:
            return []
        if attempt.dirty:
            attempt.save(tx)
        changed, effects = step(rollout, attempt.plan, _observation(tx, rollout, attempt), now_ms=now_ms)
        if changed.candidate != rollout.candidate:
            attempt.crown(changed.candidate)
            attempt.save(tx)
        if changed != rollout:
            save_change(tx, rollout, msgspec.structs.replace(changed, epoch=lease.epoch), effects, now_ms=now_ms)
        return effects

    def _report(self, effects: Iterable[Effect], report: TickReport) -> None:
        for effect in effects:
            if isinstance(effect, AppendTransition):
                report.transitions.append(effect.transition)

    def _publish(self, lease: Lease, report: TickReport, now_ms: int) -> None:
        """Publish every environment whose routing differs from what is in force there."""
        store, publisher = self._ports.store, self._ports.publisher
        with store.read() as tx:
            environments = sorted({pointer.environment for pointer in tx.pointers()})
            wanted = {environment: routing_fingerprint(tx, environment) for environment in environments}
            pending = [name for name in environments if not self._is_in_force(tx, name, wanted[name])]
        for environment in pending:
            with store.write() as tx:
                tx.check_lease(lease, now_ms=now_ms)
                snapshot = publish_into(
                    tx,
                    environment,
                    now_ms=now_ms,
                    prices=self._ports.prices,
                    above=publisher.published_revision(environment),
                )
            publisher.publish(snapshot)
            self._published[environment] = (snapshot.fingerprint, snapshot.revision)
            report.published.append(environment)

    def _is_in_force(self, tx: ControlTransaction, environment: str, fingerprint: str) -> bool:
        """Whether what is published there is what would be published now, by this controller or by somebody else.

        A controller that begins to lead publishes once in any case: prices and this code may be newer.
        """
        known, publisher = self._published.get(environment), self._ports.publisher
        revision = tx.published_revisions().get(environment, 0)
        if known is None or is_ahead(publisher.published_revision(environment), revision):
            return False
        if (fingerprint, revision) == known and publisher.published_revision(environment) == revision:
            return True
        stored = tx.published(environment)
        try:
            snapshot = None if stored is None else decode_snapshot(stored.body)
        except (msgspec.DecodeError, StorageError):  # of another version
            snapshot = None
        if stored is None or snapshot is None:
            return False
        publisher.publish(snapshot, stored.body)
        self._published[environment] = (snapshot.fingerprint, snapshot.revision)
        return snapshot.fingerprint == fingerprint

    def _finish_withdrawals(self, lease: Lease, report: TickReport, now_ms: int) -> None:
        """Intent was committed and the routing without the candidate is published: write `rolled_back`, and tell."""
        with self._ports.store.read() as tx:
            leaving = [
                rollout
                for rollout in tx.active_rollouts()
                if rollout.state == "rolling_back" and self._is_published(tx, rollout.environment)
            ]
        for rollout in leaving:
            changed, effects = step(rollout, decode_plan(rollout.plan), Withdrawn(), now_ms=now_ms)
            with self._ports.store.write() as tx:
                tx.check_lease(lease, now_ms=now_ms)
                save_change(tx, rollout, msgspec.structs.replace(changed, epoch=lease.epoch), effects, now_ms=now_ms)
            self._report(effects, report)

    def _is_published(self, tx: ControlTransaction, environment: str) -> bool:
        """Whether what is stored now, perhaps an abort of a moment ago, is what was published."""
        return self._published.get(environment, ("", 0))[0] == routing_fingerprint(tx, environment)


def _observation(tx: ControlTransaction, rollout: Rollout, attempt: Attempt) -> Observation:
    pointer = tx.pointer(rollout.feature, rollout.environment)
    current = attempt.plan.steps[rollout.stage] if rollout.stage >= 0 else None
    at_gate = current is not None and current.gate is not None
    waits_for = None if current is None else current.offline_eval
    return attempt.observe(
        rollout,
        stable="" if pointer is None else pointer.release,
        gate=tx.gate_answer(rollout.id) if at_gate else None,
        evaluation=None if waits_for is None else awaited_result(tx, rollout.candidate, waits_for),
    )
