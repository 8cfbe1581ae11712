"""What a newer Trimtab wrote, as this one reads it: for as long as an upgrade takes, both are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.errors import InputError
from trimtab.core.ids import new_id
from trimtab.events import Generation, encode_event
from trimtab.releases.model import CompiledRelease, wire_of
from trimtab.rollout.files import SnapshotFiles
from trimtab.serving.directory import DataDirectory
from trimtab.serving.journal import JournalWriter
from trimtab.serving.journal_reader import JournalPosition, read_journal
from trimtab.serving.process_status import ProcessStatus, read_processes
from trimtab.serving.runtime import DataPlane
from trimtab.serving.snapshot import Route, Snapshot
from trimtab.serving.snapshot_file import SnapshotFile
from trimtab.serving.snapshot_reading import READER_VERSION, TOO_NEW, decode_release, decode_snapshot
from trimtab.telemetry.tally import Tally
from trimtab.telemetry.traffic_families import traffic_families

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_760_000_000_000


def tree_of(revision: int) -> dict[str, Any]:
    model = ModelContent(provider="openai", model="m", parameters={})
    release = CompiledRelease(
        digest="sha256:1",
        feature="reply",
        number=1,
        prompt=PromptContent(
            messages=[PromptMessage(role="system", content="Hi")], variables={"type": "object", "properties": {}}
        ),
        model=model,
        wire=wire_of(model),
    )
    snapshot = Snapshot(
        revision=revision,
        environment="production",
        published_at_ms=NOW_MS,
        routes=[Route(feature="reply", stable="sha256:1", team="t")],
        releases={"sha256:1": release},
    )
    tree: dict[str, Any] = msgspec.to_builtins(snapshot)
    return tree


def test_a_snapshot_with_fields_of_a_newer_version_is_served(tmp_path: Path) -> None:
    tree = tree_of(1)
    for holder in (tree, tree["routes"][0], tree["releases"]["sha256:1"]):
        holder["from_the_future"] = {"a": [1]}
    path = tmp_path / "production.json"
    path.write_bytes(msgspec.json.encode(tree))
    followed = SnapshotFile(path, environment="production")
    assert followed.poll(), followed.problem
    assert followed.table is not None
    assert followed.table.decide("reply", "u").release.number == 1


def followed_in(folder: Path, tree: dict[str, Any]) -> SnapshotFile:
    path = folder / "production.json"
    path.write_bytes(msgspec.json.encode(tree))
    followed = SnapshotFile(path, environment="production")
    followed.poll()
    return followed


def test_optional_fields_of_a_release_are_passed_over_where_the_snapshot_says_that_this_version_may_read_it(
    tmp_path: Path,
) -> None:
    tree = tree_of(1)
    tree["reader"] = READER_VERSION
    release = tree["releases"]["sha256:1"]
    release["tools"] = {"tools": [{"name": "t", "from_the_future": 1}]}
    for holder in (tree, release, release["model"], release["prompt"], release["prompt"]["messages"][0]):
        holder["from_the_future"] = {"a": [1]}
    followed = followed_in(tmp_path, tree)
    assert followed.problem == ""
    assert followed.table is not None
    prepared = followed.table.decide("reply", "u").release
    assert prepared.compiled.tools is not None
    assert prepared.compiled.model == ModelContent(provider="openai", model="m", parameters={})


@pytest.mark.parametrize("reader", [0, READER_VERSION + 1])
def test_a_release_that_could_not_be_served_as_it_is_meant_is_refused_and_the_last_good_snapshot_kept(
    tmp_path: Path, reader: int
) -> None:
    followed = followed_in(tmp_path, tree_of(1))
    tree = tree_of(2)
    tree["reader"], tree["reader_for"] = reader, ["from_the_future of models"] if reader else []
    tree["releases"]["sha256:1"]["model"]["from_the_future"] = 1  # a parameter that this version would not send
    (tmp_path / "production.json").write_bytes(msgspec.json.encode(tree))
    assert not followed.poll()
    assert followed.table is not None
    assert followed.table.snapshot.revision == 1
    assert "from_the_future" in followed.problem
    assert followed.refused == (TOO_NEW if reader else "unreadable_snapshot")


def test_what_must_be_understood_is_told_though_nothing_else_can_be_read(tmp_path: Path) -> None:
    tree = {"revision": 7, "environment": "production", "reader": 3, "reader_for": ["arms of three kinds"]}
    followed = followed_in(tmp_path, tree | {"routes": {"of": "another shape"}})
    assert followed.table is None
    assert followed.refused == TOO_NEW
    for part in ("snapshot 7", "reader version 3", "arms of three kinds"):
        assert part in followed.problem


def newer_snapshot(revision: int) -> Snapshot:
    plain = msgspec.convert(tree_of(revision), Snapshot)
    return msgspec.structs.replace(plain, reader=READER_VERSION + 1, reader_for=["the future"])


def test_a_data_plane_of_before_that_starts_beside_a_newer_server_serves_what_was_kept_for_it(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    files = SnapshotFiles(directory)
    files.publish(msgspec.convert(tree_of(1), Snapshot))
    files.publish(newer_snapshot(2))
    assert files.published_revision("production") == 2
    plane = DataPlane.open(directory, environment="production", kind="test")
    try:
        assert plane.revision == 1
        assert plane.health()["snapshot_refused"] == TOO_NEW
    finally:
        plane.close()
    (status,) = read_processes(directory.processes, environment="production", now_ms=plane.clock.now_ms())
    assert (status.snapshot_refused, status.revision) == (TOO_NEW, 1)
    assert "upgrade" not in status.problem
    assert "reader version" in status.problem


def test_figures_tell_how_many_processes_are_too_old(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    SnapshotFiles(directory).publish(newer_snapshot(2))
    plane = DataPlane.open(directory, environment="production", kind="test")
    try:
        families = traffic_families(directory, Tally(), now_ms=plane.clock.now_ms())
    finally:
        plane.close()
    (refused,) = [one for one in families if one.name == "trimtab_snapshot_refused"]
    [sample] = refused.samples
    assert (sample.labels, sample.value) == ({"environment": "production", "kind": "test", "reason": TOO_NEW}, 1)


def test_what_is_not_known_of_a_snapshot_is_kept_on_its_way_to_data_planes_that_know_it(tmp_path: Path) -> None:
    tree = tree_of(1)
    tree["reader"] = READER_VERSION
    tree["releases"]["sha256:1"]["model"]["from_the_future"] = 1
    body = msgspec.json.encode(tree)
    directory = DataDirectory(tmp_path)
    SnapshotFiles(directory).publish(decode_snapshot(body), body)
    assert directory.snapshot("production").read_bytes() == body
    kept = directory.release("sha256:1").read_bytes()
    assert msgspec.json.decode(kept)["model"]["from_the_future"] == 1
    assert decode_release(kept).model == ModelContent(provider="openai", model="m", parameters={})


@pytest.mark.parametrize("digest", ["sha256:../../../x", "../x", "sha256:", "a/b"])
def test_a_release_from_elsewhere_is_written_nowhere_but_where_releases_are(tmp_path: Path, digest: str) -> None:
    tree = tree_of(1)
    tree["releases"][digest] = tree["releases"]["sha256:1"]
    body = msgspec.json.encode(tree)
    with pytest.raises(InputError, match="no digest"):
        SnapshotFiles(DataDirectory(tmp_path / "data")).publish(decode_snapshot(body), body)
    assert not (tmp_path / "data" / "snapshots" / "production.json").exists()


def test_events_with_fields_and_of_kinds_of_a_newer_version_are_read_and_passed_over(tmp_path: Path) -> None:
    call = Generation(id=new_id("gen", NOW_MS), at_ms=NOW_MS, feature="f", environment="e", release="r")
    newer = msgspec.msgpack.encode(msgspec.to_builtins(call) | {"k": "generation", "from_the_future": 1})
    unknown = msgspec.msgpack.encode({"k": "from_the_future", "id": "x", "at_ms": NOW_MS})
    journal = JournalWriter(tmp_path / "gateway-1")
    for record in (newer, unknown, encode_event(call)):
        assert journal.append(record, NOW_MS)
    journal.close()
    read = read_journal(tmp_path / "gateway-1", JournalPosition())
    assert (read.events, read.damaged) == ([call, call], 1)


def test_the_status_of_a_process_of_a_newer_version_is_read(tmp_path: Path) -> None:
    status = ProcessStatus(
        process="p", kind="gateway", pid=1, host="h", environment="production", started_ms=NOW_MS, heartbeat_ms=NOW_MS
    )
    (tmp_path / "p.json").write_bytes(msgspec.json.encode(msgspec.to_builtins(status) | {"from_the_future": 1}))
    assert read_processes(tmp_path, environment="production", now_ms=NOW_MS) == [status]
