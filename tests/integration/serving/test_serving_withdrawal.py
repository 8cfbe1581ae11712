"""A process that sees a candidate's calls fail serves stable at once, whether or not a control plane lives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.control.running import read_running
from trimtab.events import Generation, Withdrawal
from trimtab.releases.model import CompiledRelease
from trimtab.serving.directory import DataDirectory
from trimtab.serving.generation import Answer, begin
from trimtab.serving.journal_reader import JournalPosition, read_journal
from trimtab.serving.process_status import read_processes
from trimtab.serving.runtime import DataPlane
from trimtab.serving.snapshot import RolloutRoute, Route, Snapshot
from trimtab.serving.snapshot_file import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ATTEMPT = RolloutRoute(
    id="ro_1", candidate="sha256:2", salt="s", stage=1, state="progressing", weight=0.5, control_weight=0.5
)


def snapshot(revision: int, rollout: RolloutRoute | None = ATTEMPT) -> Snapshot:
    releases = {
        f"sha256:{number}": CompiledRelease(
            digest=f"sha256:{number}",
            feature="f",
            number=number,
            prompt=PromptContent(messages=[PromptMessage(role="system", content="v")], variables={"type": "object"}),
            model=ModelContent(provider="openai", model="m"),
        )
        for number in (1, 2)
    }
    routes = [Route(feature="f", stable="sha256:1", rollout=rollout)]
    return Snapshot(revision=revision, environment="production", published_at_ms=0, routes=routes, releases=releases)


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path / ".trimtab")


@pytest.fixture
def plane(directory: DataDirectory) -> Iterator[DataPlane]:
    publish(directory.snapshot("production"), snapshot(1))
    opened = DataPlane.open(directory, environment="production", kind="test")
    yield opened
    opened.close()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def serve(plane: DataPlane, unit: str) -> str:
    """One call of a unit, whose candidate's calls all fail; returns the release it met."""
    decision = plane.decide("f", unit)
    failed = decision.arm == "candidate"
    record = begin(decision, clock=plane.clock)
    answer = Answer(error_code="upstream_status_400" if failed else "")
    plane.record(record.finish(answer, process=plane.process_id, status="error" if failed else "ok"))
    return decision.release.label


def test_users_meet_stable_as_soon_as_the_candidate_has_failed_five_of_them(
    plane: DataPlane, directory: DataDirectory
) -> None:
    met = [serve(plane, f"user-{number}") for number in range(200)]
    assert met.count("f#2") in range(5, 9)  # those that had nobody to be compared with among them
    decision = plane.decide("f", "user-1")
    assert (decision.arm, decision.rollout, decision.mirror) == ("stable", "", None)
    plane.flush()
    events = read_journal(directory.journals / plane.process_id, JournalPosition()).events
    (told,) = [event for event in events if isinstance(event, Withdrawal)]
    assert (told.rollout, told.process, told.stage, told.error_code) == (
        "ro_1", plane.process_id, 1, "upstream_status_400",
    )  # fmt: skip
    assert f"{met.count('f#2')} units in a row met errors of the candidate" in told.reason
    assert sum(isinstance(event, Generation) for event in events) == 200


def test_the_candidate_stays_out_of_its_attempt_and_a_retry_starts_anew(
    plane: DataPlane, directory: DataDirectory
) -> None:
    for number in range(200):
        serve(plane, f"user-{number}")
    further = msgspec.structs.replace(ATTEMPT, stage=3, weight=0.9, control_weight=0.1)
    publish(directory.snapshot("production"), snapshot(2, further))
    eventually(lambda: plane.revision == 2)
    assert {plane.decide("f", f"user-{number}").arm for number in range(100)} == {"stable"}
    publish(directory.snapshot("production"), snapshot(3, msgspec.structs.replace(ATTEMPT, id="ro_2", salt="t")))
    eventually(lambda: plane.revision == 3)
    assert plane.health()["withdrawn"] == []
    assert {plane.decide("f", f"user-{number}").arm for number in range(100)} == {"candidate", "matched_control"}


def test_who_asks_what_is_running_is_told(plane: DataPlane, directory: DataDirectory) -> None:
    for number in range(200):
        serve(plane, f"user-{number}")
    assert plane.health()["withdrawn"] == ["ro_1"]
    eventually(lambda: read_processes(directory.processes, environment="production", now_ms=0)[0].withdrawn == ["ro_1"])
    report = read_running(directory, environment="production", feature="f", window_minutes=5, now_ms=0)
    rollout = report.features[0].rollout
    assert rollout is not None
    assert rollout.withdrawn_by == [plane.process_id]
