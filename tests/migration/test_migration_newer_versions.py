"""What a newer Trimtab wrote, as this one reads it: for as long as an upgrade takes, both are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.ids import new_id
from trimtab.events import Generation, encode_event
from trimtab.releases.model import CompiledRelease, wire_of
from trimtab.serving.journal import JournalWriter
from trimtab.serving.journal_reader import JournalPosition, read_journal
from trimtab.serving.process_status import ProcessStatus, read_processes
from trimtab.serving.snapshot import Route, Snapshot
from trimtab.serving.snapshot_file import SnapshotFile

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


def test_a_release_that_could_not_be_served_as_it_is_meant_is_refused_and_the_last_good_snapshot_kept(
    tmp_path: Path,
) -> None:
    path = tmp_path / "production.json"
    path.write_bytes(msgspec.json.encode(tree_of(1)))
    followed = SnapshotFile(path, environment="production")
    assert followed.poll()
    tree = tree_of(2)
    tree["releases"]["sha256:1"]["model"]["from_the_future"] = 1  # a parameter that this version would not send
    path.write_bytes(msgspec.json.encode(tree))
    assert not followed.poll()
    assert followed.table is not None
    assert followed.table.snapshot.revision == 1
    assert "from_the_future" in followed.problem


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
