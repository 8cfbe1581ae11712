"""Try a plan before it meets users: the real controller, on a fake clock, over synthetic or recorded generations.

Nothing here imitates the engine: traffic is assigned by the routing the controller publishes, and the controller reads
what that traffic left behind, exactly as in production. Bring any `ControlStore`; the in-memory one is the fast choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.canonical import canonical_digest
from trimtab.core.clock import FakeClock
from trimtab.events import Event, Generation
from trimtab.releases.eval_result import EvalResult
from trimtab.releases.model import CompiledRelease, Feature, Manifest, PointerMove, Release
from trimtab.rollout.commands import RolloutRequest, start_rollout
from trimtab.rollout.controller import Controller, ControllerPorts
from trimtab.rollout.model import Rollout, Transition
from trimtab.rollout.ports import Cursor, EventBatch
from trimtab.rollout.spec import OfflineEvalStep, RolloutPlan
from trimtab.serving.assignment import assign

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trimtab.analysis.scorers import ScorerLibrary
    from trimtab.events import Arm
    from trimtab.rollout.ports import ControlStore, ControlTransaction
    from trimtab.serving.snapshot import RolloutRoute, Snapshot

__all__ = [
    "EventQueue",
    "Simulation",
    "SimulationResult",
    "SnapshotBoard",
    "Trial",
    "simulate",
    "synthetic_release",
]

FEATURE = "simulated"
ENVIRONMENT = "simulation"
_ACTOR = "simulation"


class Trial(msgspec.Struct, frozen=True):
    """One request of one unit, and what each release would answer. Ids, times and arms are filled in."""

    unit: str
    control: Generation
    candidate: Generation


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """How to run a plan."""

    plan: RolloutPlan
    seed: int = 0
    """Draws the assignment: the same seed and trials give the same run."""
    requests_per_second: float = 10.0
    tick_seconds: float = 5.0
    drain_seconds: float = 120.0
    """How long the controller goes on ticking when the trials are used up."""


class SimulationResult(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended."""

    rollout: Rollout
    transitions: list[Transition]
    requests: int
    simulated_seconds: float
    ticks: int

    @property
    def state(self) -> str:
        """State the rollout was left in."""
        return self.rollout.state


class EventQueue:
    """An `EventSource` in memory: events in the order in which they were put in."""

    def __init__(self, process: str = "memory", consumer: str = "rollout") -> None:
        self.events: list[Event] = []
        self._process = process
        self._consumer = consumer

    def append(self, event: Event) -> None:
        """Put an event in."""
        self.events.append(event)

    def read(self, cursors: Sequence[Cursor], *, limit: int) -> EventBatch:
        """Return the events after the cursor."""
        done = next((cursor.sequence for cursor in cursors if cursor.process == self._process), 0)
        fresh = self.events[done : done + limit]
        if not fresh:
            return EventBatch([], [])
        end = done + len(fresh)
        cursor = Cursor(consumer=self._consumer, process=self._process, segment="", offset=0, sequence=end)
        return EventBatch(fresh, [cursor], more=end < len(self.events))


class SnapshotBoard:
    """A `SnapshotPublisher` in memory."""

    def __init__(self) -> None:
        self.snapshots: dict[str, Snapshot] = {}
        self.published = 0

    def publish(self, snapshot: Snapshot, _body: bytes = b"") -> None:
        """Replace the environment's snapshot, unless it has a higher revision."""
        if self.published_revision(snapshot.environment) < snapshot.revision:
            self.snapshots[snapshot.environment] = snapshot
            self.published += 1

    def published_revision(self, environment: str) -> int:
        """Return the revision in force; 0 before the first."""
        snapshot = self.snapshots.get(environment)
        return 0 if snapshot is None else snapshot.revision

    def route(self, environment: str, feature: str) -> RolloutRoute | None:
        """Return how a feature's units are split just now."""
        snapshot = self.snapshots.get(environment)
        routes = [] if snapshot is None else [route for route in snapshot.routes if route.feature == feature]
        return routes[0].rollout if routes else None


def synthetic_release(feature: str, number: int, *, compiled: CompiledRelease | None = None) -> Release:
    """Return a release to simulate with; `compiled` gives it content (a schema, say)."""
    prompt = PromptContent(messages=[PromptMessage(role="user", content=f"release {number}")], variables={})
    model = ModelContent(provider="simulated", model=f"simulated-{number}")
    manifest = Manifest(feature=feature, prompt=canonical_digest(prompt), model=canonical_digest(model))
    digest = canonical_digest(manifest)
    content = compiled or CompiledRelease(digest="", feature=feature, number=number, prompt=prompt, model=model)
    return Release(
        digest=digest,
        feature=feature,
        number=number,
        manifest=manifest,
        compiled=msgspec.structs.replace(content, digest=digest, number=number, feature=feature),
        created_at_ms=0,
        created_by=_ACTOR,
    )


def _passed(release: Release, step: OfflineEvalStep, number: int, now_ms: int) -> EvalResult:
    """Return that a suite passed: what is simulated is traffic, and a plan whose tests fail meets none."""
    return EvalResult(
        feature=FEATURE,
        release=release.digest,
        suite=step.suite,
        number=number,
        passed=True,
        source="simulation",
        dataset=step.dataset or "",
        at_ms=now_ms,
        actor=_ACTOR,
    )


class _Run:
    """One simulated rollout."""

    def __init__(
        self,
        store: ControlStore,
        simulation: Simulation,
        scorers: ScorerLibrary | None,
        template: CompiledRelease | None,
    ) -> None:
        self.store = store
        self.simulation = simulation
        self.clock = FakeClock()
        self.queue = EventQueue()
        self.board = SnapshotBoard()
        self.ticks = 0
        self.requests = 0
        self._started_ms = self.clock.now_ms()
        self._stable = synthetic_release(FEATURE, 1, compiled=template)
        self._candidate = synthetic_release(FEATURE, 2, compiled=template)
        ports = ControllerPorts(store=store, events=self.queue, publisher=self.board, clock=self.clock, scorers=scorers)
        self.controller = Controller(ports, holder=_ACTOR)
        with store.write() as tx:
            self._id = self._set_up(tx)

    def _set_up(self, tx: ControlTransaction) -> str:
        now_ms = self.clock.now_ms()
        tx.put_feature(Feature(name=FEATURE, team=_ACTOR, created_at_ms=now_ms))
        for release in (self._stable, self._candidate):
            tx.add_release(release)
        tx.move_pointer(
            PointerMove(
                feature=FEATURE,
                environment=ENVIRONMENT,
                revision=1,
                from_release=None,
                to_release=self._stable.digest,
                at_ms=now_ms,
                actor=_ACTOR,
                reason="set up",
            )
        )
        for number, step in enumerate(self.simulation.plan.steps, start=1):
            if step.offline_eval is not None:
                tx.add_eval_result(_passed(self._candidate, step.offline_eval, number, now_ms))
        request = RolloutRequest(
            feature=FEATURE,
            environment=ENVIRONMENT,
            candidate=self._candidate.digest,
            actor=_ACTOR,
            plan=self.simulation.plan,
        )
        rollout = start_rollout(tx, request, now_ms=now_ms)
        seeded = msgspec.structs.replace(
            rollout, salt=f"simulation-{self.simulation.seed}", version=rollout.version + 1
        )
        tx.save_rollout(seeded, expected_version=rollout.version)
        return rollout.id

    def tick(self) -> bool:
        """Tick until events are drained; returns whether the rollout has ended."""
        self.ticks += 1
        while self.controller.tick().more:
            pass
        with self.store.read() as tx:
            return not tx.active_rollouts(ENVIRONMENT)

    def send(self, trial: Trial) -> None:
        """Let one request meet the routing in force."""
        self.requests += 1
        route = self.board.route(ENVIRONMENT, FEATURE)
        if route is None:
            return
        arm, mirrored = assign(route, trial.unit)
        answer = trial.candidate if arm == "candidate" else trial.control
        generation = self._stamp(answer, trial.unit, arm, route)
        self.queue.append(generation)
        if mirrored:
            shadow = self._stamp(trial.candidate, trial.unit, "shadow", route)
            self.queue.append(msgspec.structs.replace(shadow, mirrors=generation.id))

    def _stamp(self, answer: Generation, unit: str, arm: Arm, route: RolloutRoute) -> Generation:
        return msgspec.structs.replace(
            answer,
            id=f"gen_{self.requests:08d}{arm[0]}",
            at_ms=self.clock.now_ms(),
            feature=FEATURE,
            environment=ENVIRONMENT,
            process=_ACTOR,
            release=(self._candidate if arm in {"candidate", "shadow"} else self._stable).digest,
            arm=arm,
            unit=unit,
            rollout=route.id,
            stage=route.stage,
        )

    def result(self) -> SimulationResult:
        """Return how it stands."""
        with self.store.read() as tx:
            rollout = tx.rollout(self._id)
            assert rollout is not None  # noqa: S101 - set up above
            return SimulationResult(
                rollout=rollout,
                transitions=tx.transitions(self._id),
                requests=self.requests,
                simulated_seconds=(self.clock.now_ms() - self._started_ms) / 1000,
                ticks=self.ticks,
            )


def simulate(
    store: ControlStore,
    trials: Iterable[Trial],
    simulation: Simulation,
    *,
    scorers: ScorerLibrary | None = None,
    template: CompiledRelease | None = None,
) -> SimulationResult:
    """Run a rollout over `trials` on an empty store until it ends, or trials and drain time do.

    `template` is the content of both releases (its schema is what `schema` and `format` judge by).
    """
    run = _Run(store, simulation, scorers, template)
    run.tick()
    until_tick = simulation.tick_seconds
    for trial in trials:
        run.clock.advance(1 / simulation.requests_per_second)
        run.send(trial)
        until_tick -= 1 / simulation.requests_per_second
        if until_tick <= 0:
            until_tick += simulation.tick_seconds
            if run.tick():
                return run.result()
    for _ in range(round(simulation.drain_seconds / simulation.tick_seconds)):
        run.clock.advance(simulation.tick_seconds)
        if run.tick():
            break
    return run.result()
