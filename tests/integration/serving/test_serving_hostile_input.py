"""A data plane meets what it should never be given, and goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.errors import StorageError
from trimtab.core.ids import new_id
from trimtab.events import Event, Exposure, Feedback, Generation
from trimtab.releases.model import CompiledRelease
from trimtab.serving.directory import DataDirectory
from trimtab.serving.generation import begin
from trimtab.serving.journal_reader import JournalPosition, read_journal
from trimtab.serving.runtime import DataPlane
from trimtab.serving.snapshot import RolloutRoute, Route, Snapshot
from trimtab.serving.snapshot_file import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW_MS = 1_760_000_000_000


def release(number: int, *, text: str = "hello", variables: dict[str, Any] | None = None) -> CompiledRelease:
    return CompiledRelease(
        digest=f"sha256:{number}",
        feature="f",
        number=number,
        prompt=PromptContent(
            messages=[PromptMessage(role="system", content=text)], variables=variables or {"type": "object"}
        ),
        model=ModelContent(provider="openai", model="m"),
    )


def snapshot(revision: int, stable: CompiledRelease, *, attempt: str = "", environment: str = "production") -> Snapshot:
    rollout = RolloutRoute(id=attempt, candidate="sha256:9", salt=attempt, stage=0, state="progressing", weight=1.0)
    return Snapshot(
        revision=revision,
        environment=environment,
        published_at_ms=0,
        routes=[Route(feature="f", stable=stable.digest, rollout=rollout if attempt else None)],
        releases={stable.digest: stable, "sha256:9": release(9)},
    )


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path / ".trimtab")


@pytest.fixture
def plane(directory: DataDirectory) -> Iterator[DataPlane]:
    publish(directory.snapshot("production"), snapshot(1, release(1)))
    opened = DataPlane.open(directory, environment="production", kind="test")
    yield opened
    opened.close()


def recorded(directory: DataDirectory, plane: DataPlane) -> list[Event]:
    plane.flush()
    return read_journal(directory.journals / plane.process_id, JournalPosition()).events


NESTED = (
    b'{"revision": 2, "environment": "production", "published_at_ms": 0, "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(release(2, text="{% if %}"), id="template that does not compile"),
        pytest.param(release(2, variables={"type": "nonsense"}), id="schema with an unknown type"),
        pytest.param(release(2, variables={"properties": []}), id="schema whose properties are a list"),
        pytest.param(release(2, variables={"$ref": "#/nope"}), id="schema that refers to nothing"),
        pytest.param(release(2, variables={"pattern": "("}), id="schema with a broken pattern"),
        pytest.param(release(2, variables={"$ref": "http://127.0.0.1:9/schema"}), id="schema from the network"),
    ],
)
def test_a_release_that_cannot_be_prepared_is_refused_and_the_next_snapshot_is_taken(
    directory: DataDirectory, plane: DataPlane, bad: CompiledRelease
) -> None:
    publish(directory.snapshot("production"), snapshot(2, bad))
    eventually(lambda: bool(plane.health()["snapshot_problem"]))
    assert plane.decide("f", "u").release.label == "f#1"
    publish(directory.snapshot("production"), snapshot(3, release(3)))
    eventually(lambda: plane.revision == 3)
    assert plane.health()["snapshot_problem"] == ""


def test_a_file_nested_beyond_reason_is_refused(directory: DataDirectory, plane: DataPlane) -> None:
    directory.snapshot("production").write_bytes(NESTED)
    eventually(lambda: bool(plane.health()["snapshot_problem"]))
    publish(directory.snapshot("production"), snapshot(3, release(3)))
    eventually(lambda: plane.revision == 3)


def test_a_snapshot_of_another_environment_is_refused(directory: DataDirectory, plane: DataPlane) -> None:
    publish(directory.snapshot("production"), snapshot(2, release(2), environment="dev"))
    eventually(lambda: "`dev`" in plane.health()["snapshot_problem"])
    assert plane.decide("f", "u").release.label == "f#1"


def test_a_snapshot_that_disappears_is_told_and_serving_goes_on(directory: DataDirectory, plane: DataPlane) -> None:
    directory.snapshot("production").unlink()
    eventually(lambda: "gone" in plane.health()["snapshot_problem"])
    assert plane.decide("f", "u").release.label == "f#1"
    publish(directory.snapshot("production"), snapshot(2, release(2)))
    eventually(lambda: plane.revision == 2)
    assert plane.health()["snapshot_problem"] == ""


HOSTILE: dict[str, dict[str, Any]] = {
    "a number of 100 digits": {"variables": {"a": 10**100}},
    "an object": {"variables": {"a": object()}},
    "a lone surrogate": {"output": "a\ud800b"},
    "a lone surrogate in the unit": {"unit": "a\ud800b"},
    "a lone surrogate in a message": {"messages": [{"role": "user", "content": "\ud800"}]},
    "more than the buffer holds": {"output": "x" * 5_000_000},
    "a picture larger than the buffer": {"messages": [{"role": "user", "content": "x" * 5_000_000}]},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_call_with_content_that_cannot_be_kept_is_recorded_all_the_same(
    directory: DataDirectory, plane: DataPlane, what: str
) -> None:
    event = Generation(
        id=new_id("gen", NOW_MS), at_ms=NOW_MS, feature="f", environment="production", release="r", latency_ms=5.0
    )
    assert plane.record(msgspec.structs.replace(event, **HOSTILE[what]))
    (kept,) = recorded(directory, plane)
    assert isinstance(kept, Generation)
    assert (kept.id, kept.release, kept.latency_ms) == (event.id, "r", 5.0)
    assert plane.health()["without_content"] == 1
    assert plane.health()["dropped"] == 0


def test_what_is_sound_of_a_call_is_kept(directory: DataDirectory, plane: DataPlane) -> None:
    event = Generation(id=new_id("gen", NOW_MS), at_ms=NOW_MS, feature="f", environment="production", release="r")
    plane.record(msgspec.structs.replace(event, output="fine", variables={"a": 10**100}, unit="\ud800"))
    (kept,) = recorded(directory, plane)
    assert isinstance(kept, Generation)
    assert (kept.output, kept.variables, kept.unit) == ("fine", {}, "?")


def test_feedback_with_an_unspeakable_comment_counts(directory: DataDirectory, plane: DataPlane) -> None:
    subject = new_id("gen", NOW_MS)
    about = {"feature": "f", "environment": "production", "generation": subject}
    said = Feedback(id=new_id("fbk", NOW_MS), at_ms=NOW_MS, name="thumb", value=1.0, comment="\ud800", **about)
    assert plane.record(said)
    (kept,) = recorded(directory, plane)
    assert isinstance(kept, Feedback)
    assert (kept.generation, kept.value) == (subject, 1.0)


def test_what_cannot_be_written_at_all_is_dropped_and_counted(plane: DataPlane) -> None:
    unwritable: Any = Generation(id=None, at_ms=10**30, feature="f", environment="e", release="r")  # type: ignore[arg-type]
    assert not plane.record(unwritable)
    assert plane.health()["dropped"] == 1


@pytest.mark.parametrize("at_ms", [-1, 2**63, 2**64])
def test_an_event_of_no_possible_time_is_dropped_and_the_next_one_is_written(
    directory: DataDirectory, plane: DataPlane, at_ms: int
) -> None:
    event = Generation(id=new_id("gen", NOW_MS), at_ms=at_ms, feature="f", environment="production", release="r")
    assert not plane.record(event)
    assert plane.record(msgspec.structs.replace(event, at_ms=NOW_MS))
    assert len(recorded(directory, plane)) == 1
    assert plane.health()["dropped"] == 1
    assert plane.health()["flushing"]


def test_what_fails_while_an_event_is_made_costs_that_event_alone(directory: DataDirectory, plane: DataPlane) -> None:
    class Failing:
        def size(self) -> int:
            return 0

        def event(self) -> Event:
            raise LookupError

    plane.soon.take(Failing())
    plane.expose(plane.decide("f", "ada"))
    assert len(recorded(directory, plane)) == 1
    assert plane.health()["dropped"] == 1


UNREADABLE: dict[str, dict[str, Any]] = {
    "a number for a text": {"output": 5},
    "a text for a number": {"http_status": "200"},
    "a status that there is not": {"status": "fine"},
    "variables without names": {"variables": {1: "a"}},
    "messages that are texts": {"messages": ["hello"]},
    "a unit that is a number": {"unit": 7},
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_could_not_be_read_back_is_left_out_where_events_are_verified(
    directory: DataDirectory, plane: DataPlane, what: str
) -> None:
    event = Generation(
        id=new_id("gen", NOW_MS), at_ms=NOW_MS, feature="f", environment="production", release="r", latency_ms=5.0
    )
    assert plane.record(msgspec.structs.replace(event, **UNREADABLE[what]), verify=True)
    (kept,) = recorded(directory, plane)
    lost = "unencodable" if UNREADABLE[what].keys() & {"output", "variables", "messages"} else ""
    assert kept == msgspec.structs.replace(event, content_dropped=lost)
    assert plane.health()["without_content"] == 1


def test_a_new_attempt_exposes_everybody_anew(directory: DataDirectory, plane: DataPlane) -> None:
    for revision, attempt in ((2, "ro_1"), (3, "ro_2")):
        publish(directory.snapshot("production"), snapshot(revision, release(1), attempt=attempt))
        eventually(lambda wanted=revision: plane.revision == wanted)  # type: ignore[misc]
        for _ in range(3):
            plane.expose(plane.decide("f", "ada"))
    events = [event for event in recorded(directory, plane) if isinstance(event, Exposure)]
    assert [event.rollout for event in events] == ["ro_1", "ro_2"]


def test_exposing_in_many_threads_tells_each_unit_once(directory: DataDirectory, plane: DataPlane) -> None:
    failures: list[Exception] = []

    def expose() -> None:
        try:
            for number in range(12_000):  # more than are remembered
                plane.expose(plane.decide("f", f"user-{number}"))
        except RuntimeError as error:
            failures.append(error)

    threads = [threading.Thread(target=expose) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    events = recorded(directory, plane)
    assert {event.unit for event in events if isinstance(event, Exposure)} >= {f"user-{n}" for n in range(12_000)}


def test_an_exposure_that_was_dropped_is_told_again(directory: DataDirectory, plane: DataPlane) -> None:
    taken = plane._journal._hot._limit
    plane._journal._hot._limit = 0  # a full buffer
    plane.expose(plane.decide("f", "ada"))
    plane._journal._hot._limit = taken
    plane.expose(plane.decide("f", "ada"))
    assert len(recorded(directory, plane)) == 1


def test_a_forked_child_is_told_to_open_its_own(plane: DataPlane) -> None:
    call = begin(plane.decide("f", "u"), clock=plane.clock)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        status = 1
        try:
            if not plane.record(call.finish(process="p")):
                plane.decide("f", "u")
        except StorageError as error:
            status = 0 if error.code == "forked" else 2
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert plane.decide("f", "u").release.label == "f#1"


def test_health_says_that_its_threads_live(plane: DataPlane) -> None:
    assert plane.health()["watching"]
    assert plane.health()["flushing"]
    assert plane.snapshot is not None
    assert plane.snapshot.revision == 1
