"""An experiment on SQLite, real journals and snapshot files: a data plane serves it, the controller decides it."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.clock import SystemClock
from trimtab.core.ids import new_id
from trimtab.events import Generation
from trimtab.releases.model import Feature, PointerMove
from trimtab.rollout.commands import RolloutRequest, start_rollout
from trimtab.rollout.controller import CONSUMER, Controller, ControllerPorts
from trimtab.rollout.files import JournalEvents, SnapshotFiles
from trimtab.rollout.plan_file import parse_plan
from trimtab.rollout.simulation import synthetic_release
from trimtab.serving.directory import DataDirectory
from trimtab.serving.runtime import DataPlane
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.rollout.model import Rollout
    from trimtab.storage.sqlite import SqliteStore

FEATURE, ENVIRONMENT = "support-reply", "production"
PLAN = b"""
window: 100ms
minUnits: 5
layer: {name: home, share: 90}
metrics:
  - {name: error, role: guardrail, margin: 0.1}
  - {name: solved, role: goal, scorer: {regex: solved}}
steps:
  - setWeight: 2
  - pause: {duration: 1s, minUnits: 1}
  - setWeight: 30
  - experiment: {arms: [{release: "#3"}], promote: winner, cuped: true, minUnits: 30, maxDuration: 60s}
  - pause: {}
"""
SOLVES = {1: 0.3, 2: 0.3, 3: 0.9}


class Place:
    """A data directory, a data plane that serves from it, and a controller."""

    def __init__(self, root: Path) -> None:
        self.directory = DataDirectory(root)
        self.store: SqliteStore = open_sqlite(self.directory.database)
        self.clock = SystemClock()
        self.chance = random.Random(3)
        releases = [synthetic_release(FEATURE, number) for number in (1, 2, 3)]
        now_ms = self.clock.now_ms()
        with self.store.write() as tx:
            tx.put_feature(Feature(name=FEATURE, team="support"))
            for release in releases:
                tx.add_release(release)
            tx.move_pointer(
                PointerMove(
                    feature=FEATURE,
                    environment=ENVIRONMENT,
                    revision=1,
                    from_release=None,
                    to_release=releases[0].digest,
                    at_ms=now_ms,
                    actor="ann",
                    reason="first",
                )
            )
            request = RolloutRequest(
                feature=FEATURE,
                environment=ENVIRONMENT,
                candidate=releases[1].digest,
                actor="ann",
                plan=parse_plan(PLAN),
            )
            self.id = start_rollout(tx, request, now_ms=now_ms).id
        self.third = releases[2].digest

    def controller(self, holder: str) -> Controller:
        ports = ControllerPorts(
            store=self.store,
            events=JournalEvents(self.directory.journals, consumer=CONSUMER),
            publisher=SnapshotFiles(self.directory),
            clock=self.clock,
        )
        return Controller(ports, holder=holder)

    def rollout(self) -> Rollout:
        with self.store.read() as tx:
            rollout = tx.rollout(self.id)
        assert rollout is not None
        return rollout

    def serve(self, plane: DataPlane, unit: str) -> tuple[str, int]:
        """Serve one user as a gateway would; returns arm and number of the release."""
        decision = plane.decide(FEATURE, unit)
        number = decision.release.number
        now_ms = self.clock.now_ms()
        plane.record(
            Generation(
                id=new_id("gen", now_ms),
                at_ms=now_ms,
                feature=FEATURE,
                environment=ENVIRONMENT,
                process=plane.process_id,
                release=decision.release.digest,
                release_number=number,
                arm=decision.arm,
                unit=unit,
                rollout=decision.rollout,
                stage=decision.stage,
                output="solved" if self.chance.random() < SOLVES[number] else "lost",
                messages=[{"role": "user", "content": "?"}],
            )
        )
        return decision.arm, number


def test_a_challenger_wins_on_disk_and_takes_the_candidates_place(tmp_path: Path) -> None:
    place = Place(tmp_path)
    controller = place.controller("first")
    controller.tick()
    plane = DataPlane.open(place.directory, environment=ENVIRONMENT, kind="test")
    met: set[tuple[str, int]] = set()
    try:
        give_up = time.monotonic() + 50
        count, handed_over = 0, False
        while place.rollout().stage < 4:
            assert time.monotonic() < give_up, place.rollout()
            met |= {place.serve(plane, f"user-{number % 3000}") for number in range(count, count + 40)}
            count += 40
            plane.flush()
            controller.tick()
            if place.rollout().stage == 3 and not handed_over:
                controller.stop()  # the second controller knows what is stored, and no more
                controller, handed_over = place.controller("second"), True
        crowned = place.rollout()
        revision = plane.revision
        while plane.revision == revision and time.monotonic() < give_up:
            time.sleep(0.02)
        after = {place.serve(plane, f"late-{number}") for number in range(300)}
    finally:
        plane.close()
        place.store.close()
    assert crowned.candidate == place.third
    assert "support-reply#3 is better than control" in crowned.reason
    assert "CUPED takes" in crowned.reason
    assert {("stable", 1), ("matched_control", 1), ("candidate", 2), ("challenger", 3)} <= met
    assert after == {("stable", 1), ("matched_control", 1), ("candidate", 3)}
    assert msgspec.to_builtins(crowned.bands)[0]["end"] == 0.9
