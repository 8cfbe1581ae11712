"""Which version is running: the declaration beside what processes saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.control.running import read_running, running_report
from trimtab.core.errors import NotFoundError, StorageError
from trimtab.serving.process_status import ProcessStatus, TrafficCount
from trimtab.serving.snapshot import RolloutRoute, Snapshot

if TYPE_CHECKING:
    from trimtab.control.plane import ControlPlane
    from trimtab.core.clock import FakeClock
    from trimtab.serving.directory import DataDirectory

MINUTE = 60_000
NOW = 1_760_000_040_000 - 1_760_000_040_000 % MINUTE + 30_000
EMPTY = Snapshot(revision=3, environment="production", published_at_ms=NOW - 60_000)


def status(process: str = "p1", **changes: object) -> ProcessStatus:
    first = ProcessStatus(
        process=process,
        kind="gateway",
        pid=7,
        host="h",
        environment="production",
        started_ms=NOW - 1000,
        heartbeat_ms=NOW,
        revision=3,
    )
    return msgspec.structs.replace(first, **changes)


def count(minutes_ago: int, number: int, arm: str, requests: int) -> TrafficCount:
    minute_ms = NOW - NOW % MINUTE - minutes_ago * MINUTE
    return TrafficCount(minute_ms, "f", f"sha256:{number}", number, arm, requests)


def snapshot_of(serving: ControlPlane, directory: DataDirectory) -> Snapshot:
    return msgspec.json.decode(directory.snapshot("production").read_bytes(), type=Snapshot)


def test_what_traffic_saw_is_summed_over_processes_and_minutes_of_the_window(
    serving: ControlPlane, directory: DataDirectory
) -> None:
    declared = snapshot_of(serving, directory)
    declared = msgspec.structs.replace(declared, routes=[msgspec.structs.replace(declared.routes[0], feature="f")])
    statuses = [
        status("p1", traffic=[count(0, 1, "stable", 3), count(2, 1, "stable", 3), count(9, 1, "stable", 100)]),
        status("p2", traffic=[count(0, 2, "candidate", 2), count(0, 2, "shadow", 50), count(1, 1, "stable", 0)]),
    ]
    (feature,) = running_report(declared, statuses, window_minutes=5, now_ms=NOW).features
    seen = {(one.release, one.arm): one for one in feature.seen}
    assert seen["f#1", "stable"].by_process == {"p1": 6, "p2": 0}
    assert (seen["f#1", "stable"].requests, seen["f#1", "stable"].share) == (6, 0.75)
    assert (seen["f#2", "candidate"].requests, seen["f#2", "candidate"].share) == (2, 0.25)
    assert (seen["f#2", "shadow"].requests, seen["f#2", "shadow"].share) == (50, 0.0)  # nobody was answered by it
    assert sum(one.share for one in feature.seen) == 1.0


def test_a_minute_counts_while_any_of_it_is_in_the_window() -> None:
    def requests(minutes_ago: int) -> int:
        one = status(traffic=[count(minutes_ago, 1, "stable", 1)])
        return running_report(EMPTY, [one], window_minutes=1, now_ms=NOW).processes[0].requests

    assert [requests(ago) for ago in (0, 1, 2)] == [1, 1, 0]


@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        ({}, ""),
        ({"stopped": True}, "stopped"),
        ({"heartbeat_ms": NOW - 12_000}, "no heartbeat for 12 s"),
        ({"revision": 2}, "serves snapshot 2, declared is 3"),
        ({"heartbeat_ms": NOW + 5_000}, ""),
    ],
)
def test_a_process_that_cannot_be_trusted_says_why(changes: dict[str, Any], stale: str) -> None:
    (process,) = running_report(EMPTY, [status(**changes)], window_minutes=5, now_ms=NOW).processes
    assert process.stale == stale
    assert process.heartbeat_age_seconds >= 0


def test_a_process_tells_what_it_could_not_write_whole() -> None:
    short = status(problem="journals hold 9 of 10 MiB", dropped=2, without_content=7)
    (process,) = running_report(EMPTY, [short], window_minutes=5, now_ms=NOW).processes
    assert (process.problem, process.dropped, process.without_content) == ("journals hold 9 of 10 MiB", 2, 7)


def test_a_snapshot_just_published_gives_processes_a_moment_to_follow() -> None:
    fresh = msgspec.structs.replace(EMPTY, published_at_ms=NOW - 1000)
    assert running_report(fresh, [status(revision=2)], window_minutes=5, now_ms=NOW).processes[0].stale == ""


def test_the_declared_rollout_is_told_by_release_names(serving: ControlPlane, directory: DataDirectory) -> None:
    declared = snapshot_of(serving, directory)
    stable = declared.routes[0].stable
    route = RolloutRoute(
        id="ro_1",
        candidate=stable,
        salt="s",
        stage=1,
        state="progressing",
        weight=0.1,
        control_weight=0.1,
    )
    declared = msgspec.structs.replace(declared, routes=[msgspec.structs.replace(declared.routes[0], rollout=route)])
    (feature,) = running_report(declared, [], window_minutes=5, now_ms=NOW).features
    assert feature.rollout is not None
    assert (feature.stable, feature.stable_digest) == ("support-reply#1", stable)
    assert (feature.rollout.candidate, feature.rollout.weight, feature.rollout.state) == (
        "support-reply#1",
        0.1,
        "progressing",
    )


def test_the_files_of_the_directory_are_enough(
    serving: ControlPlane, directory: DataDirectory, clock: FakeClock
) -> None:
    directory.processes.mkdir()
    mine = status(heartbeat_ms=clock.now_ms(), traffic=[])
    for name, one in {"p1": mine, "other": msgspec.structs.replace(mine, environment="staging")}.items():
        (directory.processes / f"{name}.json").write_bytes(msgspec.json.encode(one))
    (directory.processes / "torn.json").write_text('{"process": "p')
    report = serving.running("support-reply")
    assert [feature.stable for feature in report.features] == ["support-reply#1"]
    assert [process.id for process in report.processes] == ["p1"]


def test_before_the_first_publication_nothing_is_declared(directory: DataDirectory) -> None:
    report = read_running(directory, environment="production", feature=None, window_minutes=5, now_ms=NOW)
    assert (report.revision, report.features, report.processes) == (0, [], [])


def test_an_unknown_feature_is_answered_with_the_nearest_name(serving: ControlPlane) -> None:
    with pytest.raises(NotFoundError) as caught:
        serving.running("suport-reply")
    assert (caught.value.code, caught.value.hint) == ("unknown_feature", "did you mean `support-reply`?")
    with pytest.raises(NotFoundError) as caught:
        serving.running("zzz")
    assert caught.value.hint == "trimtab running lists what it serves"


def test_a_snapshot_that_cannot_be_read_is_said_to_be_so(serving: ControlPlane, directory: DataDirectory) -> None:
    directory.snapshot("production").write_text("{")
    with pytest.raises(StorageError) as caught:
        serving.running()
    assert caught.value.code == "unreadable_snapshot"
    assert caught.value.param == str(directory.snapshot("production"))
