"""A store, a clock, traffic and controllers in one process, with crashes on order."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.analysis.evidence import EvidenceState, decode_evidence
from trimtab.analysis.model import MetricSpec
from trimtab.analysis.segments import SegmentSpec
from trimtab.control.evals import record_eval, stated
from trimtab.core.clock import FakeClock
from trimtab.events import Generation
from trimtab.releases.model import Feature, PointerMove
from trimtab.rollout.commands import RolloutRequest, command_rollout, start_rollout
from trimtab.rollout.controller import Controller, ControllerPorts, TickReport
from trimtab.rollout.effects import Command
from trimtab.rollout.simulation import EventQueue, SnapshotBoard, synthetic_release
from trimtab.rollout.spec import AnalysisStep, BakeStep, NotifyTarget, PauseStep, RolloutPlan, ShadowStep, Step
from trimtab.serving.assignment import assign, bucket, challenger_at
from trimtab.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from trimtab.rollout.effects import CommandKind
    from trimtab.rollout.model import Rollout, Transition
    from trimtab.rollout.ports import ControlStore, ControlTransaction, Cursor, EventBatch
    from trimtab.serving.snapshot import RolloutRoute, Snapshot

FEATURE, ENVIRONMENT = "f", "e"
PLAN = RolloutPlan(
    window="2s",
    alpha=0.5,
    min_units=3,
    deadline="1h",
    notify=[NotifyTarget(url_env="HOOK")],
    metrics=[MetricSpec(name="error", margin=0.02)],
    segments=[SegmentSpec(name="parity", by="attribute.parity")],
    segment_action="warn",
    steps=[
        Step(shadow=ShadowStep(traffic=60, duration="2s")),
        Step(set_weight=50.0),
        Step(pause=PauseStep(duration="3s")),
        Step(analysis=AnalysisStep(mode="noHarm", min_units=6, max_duration="30s")),
        Step(bake=BakeStep(duration="2s", control_weight=40)),
    ],
)


class Crash(Exception):  # noqa: N818 - it is one
    """The process died here."""


class Faults:
    """Counts port calls down to a crash; `None` never crashes."""

    def __init__(self) -> None:
        self.countdown: int | None = None
        self.meanwhile: dict[str, Callable[[], object]] = {}
        """What happens, once, in the middle of a `read` or a `publish`."""

    def during(self, call: str) -> None:
        if call in self.meanwhile:
            self.meanwhile.pop(call)()

    def check(self) -> None:
        if self.countdown is None:
            return
        self.countdown -= 1
        if self.countdown < 0:
            self.countdown = None
            raise Crash


class _FaultyTransaction:
    def __init__(self, inner: Any, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._faults.check()
            return method(*args, **kwargs)

        return call


class FaultyStore:
    """A store whose every call, commit included, may be the last."""

    def __init__(self, inner: ControlStore, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    @contextlib.contextmanager
    def read(self) -> Iterator[Any]:
        self._faults.check()
        with self._inner.read() as tx:
            yield _FaultyTransaction(tx, self._faults)

    @contextlib.contextmanager
    def write(self) -> Iterator[Any]:
        self._faults.check()
        with self._inner.write() as tx:
            yield _FaultyTransaction(tx, self._faults)
            self._faults.check()  # before the commit: nothing of it stays
        self._faults.check()  # after the commit: all of it stays, and nobody was told

    def close(self) -> None:
        self._inner.close()


class _FaultyQueue:
    def __init__(self, inner: EventQueue, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def read(self, cursors: Sequence[Cursor], *, limit: int) -> EventBatch:
        self._faults.check()
        batch = self._inner.read(cursors, limit=limit)
        self._faults.during("read")
        self._faults.check()
        return batch


class _FaultyBoard:
    def __init__(self, inner: SnapshotBoard, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def publish(self, snapshot: Snapshot, _body: bytes = b"") -> None:
        self._faults.check()
        self._inner.publish(snapshot)
        self._faults.during("publish")
        self._faults.check()

    def published_revision(self, environment: str) -> int:
        return self._inner.published_revision(environment)


class World:
    """One environment with one rollout and the users who meet it."""

    def __init__(self, *, salt: str = "salt", plan: RolloutPlan = PLAN, challengers: int = 0) -> None:
        self.store = MemoryStore()
        self.clock = FakeClock()
        self.queue = EventQueue()
        self.board = SnapshotBoard()
        self.faults = Faults()
        self.stable, self.candidate = synthetic_release(FEATURE, 1), synthetic_release(FEATURE, 2)
        self.sent: list[Generation] = []
        self.attempts = 0
        self.plan = plan
        self._controllers: dict[str, Controller] = {}
        with self.store.write() as tx:
            tx.put_feature(Feature(name=FEATURE, team="t"))
            tx.add_release(self.stable)
            tx.add_release(self.candidate)
            for number in range(challengers):
                tx.add_release(synthetic_release(FEATURE, 3 + number))
            tx.move_pointer(
                PointerMove(
                    feature=FEATURE,
                    environment=ENVIRONMENT,
                    revision=1,
                    from_release=None,
                    to_release=self.stable.digest,
                    at_ms=self.clock.now_ms(),
                    actor="ann",
                    reason="first",
                )
            )
            request = RolloutRequest(
                feature=FEATURE, environment=ENVIRONMENT, candidate=self.candidate.digest, actor="ann", plan=plan
            )
            self.id = self._start(tx, request, salt)

    def _start(self, tx: ControlTransaction, request: RolloutRequest, salt: str) -> str:
        """Start an attempt whose salt is not drawn at random, so that a failing run can be repeated."""
        rollout = start_rollout(tx, request, now_ms=self.clock.now_ms())
        salted = msgspec.structs.replace(rollout, salt=salt, version=rollout.version + 1)
        tx.save_rollout(salted, expected_version=rollout.version)
        self.attempts += 1
        return rollout.id

    def start_again(self, *, supersede: bool = False, plan: RolloutPlan | None = None) -> None:
        """Begin another attempt, from whatever is stable now to the other release."""
        if self.pointer() == self.candidate.digest:
            self.stable, self.candidate = self.candidate, self.stable
        request = RolloutRequest(
            feature=FEATURE,
            environment=ENVIRONMENT,
            candidate=self.candidate.digest,
            actor="ann",
            plan=plan or self.plan,
            supersede=supersede,
        )
        with self.store.write() as tx:
            self.id = self._start(tx, request, f"salt {self.attempts}")

    def controller(self, holder: str = "a") -> Controller:
        if holder not in self._controllers:
            ports = ControllerPorts(
                store=FaultyStore(self.store, self.faults),
                events=_FaultyQueue(self.queue, self.faults),
                publisher=_FaultyBoard(self.board, self.faults),
                clock=self.clock,
            )
            self._controllers[holder] = Controller(ports, holder=holder)
        return self._controllers[holder]

    def tick(self, holder: str = "a") -> TickReport:
        return self.controller(holder).tick()

    def tick_through_crashes(self, countdowns: list[int], holder: str = "a") -> int:
        """Crash after each countdown in turn and tick until one tick is whole; returns the crashes.

        Every other crash kills the process; the rest are errors that the same controller lives through.
        """
        crashes = 0
        while True:
            self.faults.countdown = countdowns.pop(0) if countdowns else None
            try:
                self.tick(holder)
            except Crash:
                crashes += 1
                if crashes % 2 == 0:
                    self.kill(holder)
            else:
                self.faults.countdown = None
                return crashes

    def kill(self, holder: str) -> None:
        self._controllers.pop(holder, None)

    def send(self, unit: int, *, bad: bool, late_ms: int = 0, failing_control: bool = False) -> None:
        route = self.route()
        if route is None:
            return
        arm, mirrored = assign(route, f"user-{unit}")
        (stable,) = {self.stable.digest, self.candidate.digest} - {route.candidate}  # the route may be an old one
        base = Generation(
            id=f"gen_{len(self.sent)}",
            at_ms=self.clock.now_ms() - late_ms,
            feature=FEATURE,
            environment=ENVIRONMENT,
            release=stable,
            arm=arm,
            unit=f"user-{unit}",
            rollout=route.id,
            stage=route.stage,
            attributes={"parity": "odd" if unit % 2 else "even"},
        )
        worse = msgspec.structs.replace(base, release=route.candidate, status="error" if bad else "ok")
        if arm == "candidate":
            base = worse
        elif failing_control:
            base = msgspec.structs.replace(base, status="error")
        self._put(base)
        if mirrored:
            self._put(msgspec.structs.replace(worse, id=base.id + "m", arm="shadow", mirrors=base.id))

    def answer(self, unit: str, **fields: Callable[[str], Any]) -> str:
        """Let a user meet the routing in force; each field of the answer is a function of the release's digest.

        Returns the digest of the release that answered.
        """
        route = self.route()
        assert route is not None
        arm, _ = assign(route, unit)
        challenger = challenger_at(route, bucket(route.salt, unit)) if arm == "challenger" else None
        release = self.candidate.digest if arm == "candidate" else self.stable.digest
        release = challenger.release if challenger else release
        self._put(
            Generation(
                id=f"gen_{len(self.sent)}",
                at_ms=self.clock.now_ms(),
                feature=FEATURE,
                environment=ENVIRONMENT,
                release=release,
                arm=arm,
                unit=unit,
                rollout=route.id,
                stage=route.stage,
                messages=[{"role": "user", "content": "?"}],
                **{name: make(release) for name, make in fields.items()},
            )
        )
        return release

    def repeat(self, index: int) -> None:
        """Deliver an event once more."""
        if self.sent:
            self.queue.append(self.sent[index % len(self.sent)])

    def _put(self, generation: Generation) -> None:
        self.sent.append(generation)
        self.queue.append(generation)

    def command(self, kind: CommandKind) -> None:
        with self.store.write() as tx:
            command_rollout(tx, self.id, Command(kind=kind, actor="ann"), now_ms=self.clock.now_ms())

    def record_eval(self, suite: str, *, passed: bool) -> None:
        """Somebody ran a suite on the candidate."""
        with self.store.write() as tx:
            outcome = stated(passed=passed, reason="looked at it")
            record_eval(tx, self.candidate, suite, outcome, actor="ci", now_ms=self.clock.now_ms())

    def route(self) -> RolloutRoute | None:
        return self.board.route(ENVIRONMENT, FEATURE)

    def rollout(self) -> Rollout:
        with self.store.read() as tx:
            rollout = tx.rollout(self.id)
        assert rollout is not None
        return rollout

    def transitions(self) -> list[Transition]:
        with self.store.read() as tx:
            return tx.transitions(self.id)

    def told(self) -> list[str]:
        """What people were, or will be, told of this attempt."""
        with self.store.read() as tx:
            return [message.event for message in tx.messages(self.id)]

    def evidence(self) -> EvidenceState | None:
        with self.store.read() as tx:
            data = tx.evidence(self.id)
        return None if data is None else decode_evidence(data)

    def pointer(self) -> str:
        with self.store.read() as tx:
            pointer = tx.pointer(FEATURE, ENVIRONMENT)
        assert pointer is not None
        return pointer.release


@pytest.fixture
def world() -> type[World]:
    """Makes worlds: conftest modules are not importable, fixtures are."""
    return World
