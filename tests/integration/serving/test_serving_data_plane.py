"""A data plane in a process: what it serves, records and says of itself."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.errors import NotFoundError, StorageError
from trimtab.events import Exposure, Generation
from trimtab.policy.keys import hash_key
from trimtab.releases.model import CompiledRelease
from trimtab.serving.directory import DataDirectory
from trimtab.serving.generation import Answer, begin, begin_mirror
from trimtab.serving.journal_reader import JournalPosition, read_journal
from trimtab.serving.process_status import ProcessStatus, read_processes, stale_reason
from trimtab.serving.runtime import DataPlane
from trimtab.serving.snapshot import Price, RolloutRoute, Route, Snapshot
from trimtab.serving.snapshot_file import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def release(number: int) -> CompiledRelease:
    return CompiledRelease(
        digest=f"sha256:{number}",
        feature="f",
        number=number,
        prompt=PromptContent(
            messages=[PromptMessage(role="system", content=f"v{number}")], variables={"type": "object"}
        ),
        model=ModelContent(provider="openai", model="m"),
    )


def snapshot(revision: int, *, stable: int = 1, rollout: RolloutRoute | None = None, capture: bool = True) -> Snapshot:
    return Snapshot(
        revision=revision,
        environment="production",
        published_at_ms=0,
        routes=[Route(feature="f", stable=f"sha256:{stable}", rollout=rollout, capture_content=capture)],
        releases={f"sha256:{number}": release(number) for number in (1, 2)},
        prices={"sha256:1": Price(input_usd=1.0, output_usd=2.0), "sha256:2": Price(input_usd=10.0, output_usd=20.0)},
        keys={hash_key("secret"): "support"},
    )


def rollout(**changes: object) -> RolloutRoute:
    first = RolloutRoute(id="ro_1", candidate="sha256:2", salt="s", stage=3, state="progressing")
    return msgspec.structs.replace(first, **changes)


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
    publish(directory.snapshot("production"), snapshot(1))
    opened = DataPlane.open(directory, environment="production", kind="test")
    yield opened
    opened.close()


def recorded(directory: DataDirectory, plane: DataPlane) -> list[object]:
    plane.flush()
    return list(read_journal(directory.journals / plane.process_id, JournalPosition()).events)


def test_before_anything_is_published_it_says_what_to_do(directory: DataDirectory) -> None:
    plane = DataPlane.open(directory, environment="production", kind="test")
    with pytest.raises(StorageError) as caught:
        plane.decide("f", "u")
    assert caught.value.code == "no_snapshot"
    assert "environment set" in (caught.value.hint or "")
    publish(directory.snapshot("production"), snapshot(1))
    eventually(lambda: plane.revision == 1)
    assert plane.decide("f", "u").release.label == "f#1"
    plane.close()


def test_a_new_snapshot_is_served_within_a_moment(directory: DataDirectory, plane: DataPlane) -> None:
    publish(directory.snapshot("production"), snapshot(2, stable=2))
    eventually(lambda: plane.decide("f", "u").release.label == "f#2")


def test_an_unknown_feature_is_refused_with_the_nearest_name(plane: DataPlane) -> None:
    with pytest.raises(NotFoundError) as caught:
        plane.decide("ff", "u")
    assert caught.value.hint == "did you mean `f`?"


@pytest.mark.parametrize("damage", [b"", b"{", b'{"revision": "x"}', b"\xff\xfe"])
def test_a_damaged_snapshot_is_refused_and_the_last_good_one_serves(
    directory: DataDirectory, plane: DataPlane, damage: bytes
) -> None:
    directory.snapshot("production").write_bytes(damage)
    eventually(lambda: bool(plane.health()["snapshot_problem"]))
    assert plane.decide("f", "u").release.label == "f#1"
    publish(directory.snapshot("production"), snapshot(2, stable=2))
    eventually(lambda: plane.revision == 2)
    assert plane.health()["snapshot_problem"] == ""


def test_an_older_snapshot_is_refused(directory: DataDirectory, plane: DataPlane) -> None:
    publish(directory.snapshot("production"), snapshot(5, stable=2))
    eventually(lambda: plane.revision == 5)
    publish(directory.snapshot("production"), snapshot(4, stable=1))
    eventually(lambda: "older" in plane.health()["snapshot_problem"])
    assert plane.decide("f", "u").release.label == "f#2"


def test_a_data_plane_starts_from_the_last_good_snapshot_with_the_control_plane_dead(directory: DataDirectory) -> None:
    publish(directory.snapshot("production"), snapshot(7, rollout=rollout(weight=1.0)))
    plane = DataPlane.open(directory, environment="production", kind="test")
    decision = plane.decide("f", "u")
    assert (decision.arm, decision.release.label, decision.rollout, decision.stage) == ("candidate", "f#2", "ro_1", 3)
    plane.close()


def test_snapshots_change_under_load_without_a_single_wrong_answer(directory: DataDirectory, plane: DataPlane) -> None:
    wrong: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            decision = plane.decide("f", "u")
            if decision.release.number != (1 if decision.revision % 2 else 2):
                wrong.append(f"{decision.revision} {decision.release.label}")

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for revision in range(2, 12):
        publish(directory.snapshot("production"), snapshot(revision, stable=1 if revision % 2 else 2))
        eventually(lambda wanted=revision: plane.revision == wanted)  # type: ignore[misc]
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_call_is_stamped_priced_and_timed(directory: DataDirectory, plane: DataPlane) -> None:
    decision = plane.decide("f", "ada")
    call = begin(decision, clock=plane.clock)
    plane.record(
        call.finish(
            Answer(output="hi", input_tokens=1000, output_tokens=100), process=plane.process_id, variables={"a": 1}
        )
    )
    (event,) = recorded(directory, plane)
    assert isinstance(event, Generation)
    assert (event.id, event.release, event.release_number, event.arm, event.unit) == (
        call.id,
        "sha256:1",
        1,
        "stable",
        "ada",
    )
    assert event.cost_usd == pytest.approx(1000e-6 * 1.0 + 100e-6 * 2.0)
    assert event.latency_ms >= 0
    assert (event.output, event.variables) == ("hi", {"a": 1})


def test_a_mirrored_call_is_the_candidates_at_the_candidates_price(directory: DataDirectory, plane: DataPlane) -> None:
    publish(directory.snapshot("production"), snapshot(2, rollout=rollout(shadow=1.0)))
    eventually(lambda: plane.revision == 2)
    decision = plane.decide("f", "ada")
    assert decision.arm == "matched_control"
    assert decision.mirror is not None
    primary = begin(decision, clock=plane.clock)
    shadow = begin_mirror(decision, clock=plane.clock, mirrors=primary.id)
    event = shadow.finish(Answer(input_tokens=1000), process="p")
    assert (event.arm, event.release, event.mirrors) == ("shadow", "sha256:2", primary.id)
    assert event.cost_usd == pytest.approx(0.01)


def test_content_is_left_out_where_it_must_not_be_kept(directory: DataDirectory, plane: DataPlane) -> None:
    publish(directory.snapshot("production"), snapshot(2, capture=False))
    eventually(lambda: plane.revision == 2)
    call = begin(plane.decide("f", "ada"), clock=plane.clock)
    event = call.finish(
        Answer(output="secret"),
        process="p",
        messages=[{"role": "user", "content": "secret"}],
        variables={"a": "secret"},
    )
    assert b"secret" not in msgspec.msgpack.encode(event)
    assert event.latency_ms >= 0


@pytest.mark.parametrize("value", [10**100, "\ud800", {"deep": 10**100}])
def test_content_that_cannot_be_written_is_left_out_and_the_event_kept(
    directory: DataDirectory, plane: DataPlane, value: object
) -> None:
    call = begin(plane.decide("f", "ada"), clock=plane.clock)
    plane.record(call.finish(Answer(output="hi"), process=plane.process_id, variables={"a": value}))
    (event,) = recorded(directory, plane)
    assert isinstance(event, Generation)
    assert (event.id, event.variables) == (call.id, {})


def test_exposures_are_told_once_per_step_and_unit(directory: DataDirectory, plane: DataPlane) -> None:
    for unit in ("ada", "bob", "ada"):
        plane.expose(plane.decide("f", unit))
    events = recorded(directory, plane)
    assert [event.unit for event in events if isinstance(event, Exposure)] == ["ada", "bob"]


def test_a_process_says_what_its_traffic_saw(directory: DataDirectory, plane: DataPlane) -> None:
    for _ in range(3):
        plane.record(begin(plane.decide("f", "ada"), clock=plane.clock).finish(process=plane.process_id))

    def seen() -> list[tuple[str, str, int]]:
        (status,) = read_processes(directory.processes, environment="production", now_ms=plane.clock.now_ms())
        return [(count.release, count.arm, count.requests) for count in status.traffic]

    eventually(lambda: sum(requests for _, _, requests in seen()) == 3)
    assert {(digest, arm) for digest, arm, _ in seen()} == {("sha256:1", "stable")}
    assert read_processes(directory.processes, environment="dev", now_ms=0) == []


def test_a_key_is_known_by_its_secret_alone(plane: DataPlane) -> None:
    assert plane.asks_for_keys
    assert plane.team_of_key("secret") == "support"
    assert plane.team_of_key(hash_key("secret")) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"heartbeat_ms": 93_000}, "no heartbeat for 7 s"),
        ({"revision": 3}, "serves snapshot 3, declared is 4"),
        ({"stopped": True}, "stopped"),
    ],
)
def test_a_process_is_stale_when_silent_or_behind(changes: dict[str, int], reason: str) -> None:
    status = ProcessStatus(
        process="p",
        kind="gateway",
        pid=1,
        host="h",
        environment="production",
        started_ms=0,
        heartbeat_ms=99_000,
        revision=4,
    )
    changed = msgspec.structs.replace(status, **changes)
    assert stale_reason(changed, declared_revision=4, published_ms=0, now_ms=100_000) == reason
    if reason.startswith("serves"):
        just_now = stale_reason(changed, declared_revision=4, published_ms=99_000, now_ms=100_000)
        assert just_now == ""  # it has a moment to notice


def test_a_forked_child_does_not_touch_the_parents_journal(directory: DataDirectory) -> None:
    publish(directory.snapshot("production"), snapshot(1))
    code = textwrap.dedent("""
        import os, sys, warnings
        from pathlib import Path
        from trimtab.core.errors import StorageError
        from trimtab.serving.directory import DataDirectory
        from trimtab.serving.generation import begin
        from trimtab.serving.runtime import DataPlane
        plane = DataPlane.open(DataDirectory(Path(sys.argv[1])), environment="production", kind="test")
        call = lambda: begin(plane.decide("f", "u"), clock=plane.clock).finish(process=plane.process_id)
        assert plane.record(call())
        inherited = call()
        child = os.fork()
        if child == 0:
            try:
                assert not plane.record(inherited)
                plane.flush()
            except StorageError as error:
                os._exit(0 if error.code == "forked" else 1)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        assert plane.record(call())
        plane.close()
        print(plane.process_id)
    """)
    done = subprocess.run([sys.executable, "-c", code, str(directory.root)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert len(read_journal(directory.journals / done.stdout.strip(), JournalPosition()).events) == 2
    assert [path.name for path in directory.journals.iterdir()] == [done.stdout.strip()]
