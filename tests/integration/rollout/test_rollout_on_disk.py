"""The controller on SQLite, real journals and snapshot files, killed with SIGKILL while users keep coming."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from trimtab.analysis.evidence import EvidenceState, decode_evidence
from trimtab.analysis.ledger import counting_key
from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.core.clock import SystemClock
from trimtab.core.ids import new_id
from trimtab.events import Generation
from trimtab.releases.model import Feature, PointerMove
from trimtab.rollout.commands import RolloutRequest, start_rollout
from trimtab.rollout.controller import CONSUMER, Controller, ControllerPorts
from trimtab.rollout.files import JournalEvents, SnapshotFiles
from trimtab.rollout.simulation import synthetic_release
from trimtab.rollout.spec import BakeStep, PauseStep, RolloutPlan, Step
from trimtab.serving.directory import DataDirectory
from trimtab.serving.runtime import DataPlane
from trimtab.storage.sqlite import SqliteStore, open_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from trimtab.events import Score
    from trimtab.rollout.model import Rollout

FEATURE, ENVIRONMENT = "support-reply", "production"

LOOP = """
import os, sys, time
from pathlib import Path
from trimtab.core.clock import SystemClock
from trimtab.rollout.controller import CONSUMER, Controller, ControllerPorts
from trimtab.rollout.files import JournalEvents, SnapshotFiles
from trimtab.serving.directory import DataDirectory
from trimtab.storage.sqlite import open_sqlite

directory = DataDirectory(Path(sys.argv[1]))
ports = ControllerPorts(
    store=open_sqlite(directory.database),
    events=JournalEvents(directory.journals, consumer=CONSUMER),
    publisher=SnapshotFiles(directory),
    clock=SystemClock(),
)
controller = Controller(ports, holder=f"child-{os.getpid()}-{os.urandom(4).hex()}", ttl_ms=150)
while True:
    controller.tick()
    time.sleep(0.01)
"""


class Sink:
    def __init__(self) -> None:
        self.scores: list[Score] = []

    def record(self, scores: Sequence[Score]) -> None:
        self.scores.extend(scores)


class Place:
    """A data directory with one rollout that stays in its canary until somebody resumes."""

    def __init__(self, root: Path, *metrics: MetricSpec) -> None:
        self.directory = DataDirectory(root)
        self.store: SqliteStore = open_sqlite(self.directory.database)
        self.clock = SystemClock()
        self.sink = Sink()
        self.stable, self.candidate = synthetic_release(FEATURE, 1), synthetic_release(FEATURE, 2)
        plan = RolloutPlan(
            window="200ms",
            metrics=list(metrics) or [MetricSpec(name="error", margin=0.05)],
            steps=[Step(set_weight=50.0), Step(pause=PauseStep()), Step(bake=BakeStep(duration="1s"))],
        )
        now_ms = self.clock.now_ms()
        with self.store.write() as tx:
            tx.put_feature(Feature(name=FEATURE, team="support"))
            tx.add_release(self.stable)
            tx.add_release(self.candidate)
            tx.move_pointer(
                PointerMove(
                    feature=FEATURE,
                    environment=ENVIRONMENT,
                    revision=1,
                    from_release=None,
                    to_release=self.stable.digest,
                    at_ms=now_ms,
                    actor="ann",
                    reason="first",
                )
            )
            request = RolloutRequest(
                feature=FEATURE, environment=ENVIRONMENT, candidate=self.candidate.digest, actor="ann", plan=plan
            )
            self.id = start_rollout(tx, request, now_ms=now_ms).id

    def controller(self) -> Controller:
        ports = ControllerPorts(
            store=self.store,
            events=JournalEvents(self.directory.journals, consumer=CONSUMER),
            publisher=SnapshotFiles(self.directory),
            clock=self.clock,
            scores=self.sink,
        )
        return Controller(ports, holder="test")

    def rollout(self) -> Rollout:
        with self.store.read() as tx:
            rollout = tx.rollout(self.id)
        assert rollout is not None
        return rollout

    def evidence(self) -> EvidenceState:
        with self.store.read() as tx:
            data = tx.evidence(self.id)
        assert data is not None
        return decode_evidence(data)

    def serve(self, plane: DataPlane, unit: str, *, broken: bool = False) -> str:
        """Serve one user as a gateway would; returns the arm."""
        decision = plane.decide(FEATURE, unit)
        now_ms = self.clock.now_ms()
        taken = plane.record(
            Generation(
                id=new_id("gen", now_ms),
                at_ms=now_ms,
                feature=FEATURE,
                environment=ENVIRONMENT,
                process=plane.process_id,
                release=decision.release.digest,
                arm=decision.arm,
                unit=unit,
                rollout=decision.rollout,
                stage=decision.stage,
                output="```\nfine\n```" if broken and decision.arm == "candidate" else "fine",
                messages=[{"role": "user", "content": "?"}],
            )
        )
        assert taken
        return decision.arm


@pytest.fixture
def planes(tmp_path: Path) -> Iterator[list[DataPlane]]:
    opened: list[DataPlane] = []
    yield opened
    for plane in opened:
        plane.close()


def wait(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(0.02)


def in_canary(plane: DataPlane) -> bool:
    return plane.table is not None and plane.decide(FEATURE, "somebody").rollout != ""


def test_a_worse_candidate_is_withdrawn_from_a_running_data_plane(tmp_path: Path, planes: list[DataPlane]) -> None:
    place = Place(tmp_path, MetricSpec(name="format", margin=0.05))
    controller = place.controller()
    controller.tick()
    plane = DataPlane.open(place.directory, environment=ENVIRONMENT, kind="test")
    planes.append(plane)
    wait(lambda: in_canary(plane), "the canary's routing")
    arms = {place.serve(plane, f"user-{number}", broken=True) for number in range(120)}
    assert arms == {"candidate", "matched_control"}
    plane.flush()

    def rolled_back() -> bool:
        controller.tick()
        return place.rollout().state == "rolled_back"

    time.sleep(0.25)  # the users' windows are over
    began = time.monotonic()
    wait(rolled_back, "the rollback")
    wait(lambda: not in_canary(plane), "the routing to follow")
    assert time.monotonic() - began < 2.0
    assert place.serve(plane, "user-1") == "stable"
    assert "`format` fell from 100.0 % to 0.0 %" in place.rollout().reason
    with place.store.read() as tx:
        actions = [entry.action for entry in tx.audit()]
    assert actions[0] == "rollout.start"
    assert actions.count("rollout.transition") == len(actions) - 1
    controller.stop()
    place.store.close()


def test_registered_scorers_leave_scores_behind(tmp_path: Path, planes: list[DataPlane]) -> None:
    place = Place(tmp_path, MetricSpec(name="fine", scorer=ScorerSpec(regex="fine")))
    controller = place.controller()
    controller.tick()
    plane = DataPlane.open(place.directory, environment=ENVIRONMENT, kind="test")
    planes.append(plane)
    wait(lambda: in_canary(plane), "the canary's routing")
    place.serve(plane, "ann")
    plane.flush()
    controller.tick()
    found = [(score.name, score.value, score.source) for score in place.sink.scores]
    assert found == [("fine", 1.0, "scorer:fine")]
    controller.stop()
    place.store.close()


def test_a_controller_killed_again_and_again_counts_every_user_exactly_once(
    tmp_path: Path, planes: list[DataPlane]
) -> None:
    place = Place(tmp_path)
    loop = [sys.executable, "-c", LOOP, str(tmp_path)]
    child = subprocess.Popen(loop)
    try:
        plane = DataPlane.open(place.directory, environment=ENVIRONMENT, kind="test")
        planes.append(plane)
        wait(lambda: in_canary(plane), "the canary's routing")
        arms: dict[str, str] = {}
        for number in range(400):
            arms[f"user-{number}"] = place.serve(plane, f"user-{number}")
            time.sleep(0.005)
            if number % 130 == 129:
                child.send_signal(signal.SIGKILL)
                child.wait()
                child = subprocess.Popen(loop)
        plane.flush()

        def counted() -> set[str]:
            with place.store.read() as tx:
                return tx.counted_units(place.id)

        wait(lambda: len(counted()) >= len(arms), "every window to close")
        assert counted() == {counting_key("live", unit) for unit in arms}
        units = place.evidence().phases["live"].units
        sides = list(arms.values())
        assert (units.control, units.candidate) == (sides.count("matched_control"), sides.count("candidate"))
        assert place.evidence().windows == {}
        assert place.rollout().state == "paused"
    finally:
        child.kill()
        child.wait()
        place.store.close()
