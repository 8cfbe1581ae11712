"""Keys and publication, across the fence between control plane and data plane."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from trimtab.artifacts.importers import import_prompt
from trimtab.control.plane import ControlPlane
from trimtab.core.clock import SystemClock
from trimtab.core.errors import InputError, SourceError, StorageError
from trimtab.core.ids import new_id
from trimtab.events import Generation, encode_event
from trimtab.rollout.files import JournalEvents, SnapshotFiles
from trimtab.sdk.client import Trimtab
from trimtab.serving.directory import DataDirectory
from trimtab.serving.journal import JournalWriter
from trimtab.serving.runtime import DataPlane
from trimtab.serving.snapshot import Snapshot
from trimtab.serving.snapshot_file import read_snapshot
from trimtab.storage.memory import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path


def control(directory: DataDirectory) -> ControlPlane:
    return ControlPlane(
        store=MemoryStore(),
        publisher=SnapshotFiles(directory),
        directory=directory,
        clock=SystemClock(),
        environment="production",
        actor="ada",
    )


def test_revoking_the_last_key_closes_the_door_it_does_not_open_it(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    plane = control(directory)
    plane.publish()
    fresh = DataPlane.open(directory, environment="production", kind="gateway")
    assert not fresh.asks_for_keys
    fresh.close()
    key, secret = plane.create_key("support")
    plane.revoke_key(key.id)
    later = DataPlane.open(directory, environment="production", kind="gateway")
    assert later.asks_for_keys
    assert later.team_of_key(secret) is None
    later.close()


def test_publishers_at_once_never_leave_an_older_snapshot(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    failures: list[StorageError] = []

    def publish(revision: int) -> None:
        try:
            SnapshotFiles(directory).publish(
                Snapshot(revision=revision, environment="production", published_at_ms=revision)
            )
        except StorageError as error:
            failures.append(error)

    for first in range(1, 150, 6):
        threads = [threading.Thread(target=publish, args=(first + offset,)) for offset in (5, 0, 3, 1, 4, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        newest = read_snapshot(directory.snapshot("production"))
        assert newest is not None
        assert newest.revision == first + 5
    assert failures == []


@pytest.mark.parametrize("reference", ["file:///etc/hostname.txt", "file://../secret.txt", "file://a/../../secret.txt"])
def test_an_imported_prompt_cannot_fetch_what_lies_elsewhere(tmp_path: Path, reference: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    config = tmp_path / "project" / "promptfooconfig.yaml"
    config.parent.mkdir()
    config.write_text(f'prompts: ["{reference}"]\nproviders: ["openai:gpt-4o"]\n')
    with pytest.raises(SourceError) as caught:
        import_prompt(config)
    assert caught.value.code == "outside_folder"


@pytest.mark.parametrize(
    ("name", "value"), [("", 1.0), ("thumb", float("nan")), ("thumb", float("inf")), ("thumb", "good")]
)
def test_a_signal_that_says_nothing_is_refused(tmp_path: Path, name: str, value: float) -> None:
    with Trimtab(tmp_path) as tt, pytest.raises(InputError) as caught:
        tt.feedback("gen_" + "0" * 32, name, value)
    assert caught.value.code == "invalid_feedback"


def test_feedback_on_what_is_no_generation_is_refused(tmp_path: Path) -> None:
    with Trimtab(tmp_path) as tt, pytest.raises(InputError, match="is not a Trimtab id"):
        tt.feedback("nope", "thumb", 1.0)


def test_a_durable_signal_that_was_not_taken_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JournalWriter, "append", lambda *_, **__: False)  # a full disk with full buffers
    with Trimtab(tmp_path) as tt:
        with pytest.raises(StorageError) as caught:
            tt.feedback("gen_" + "0" * 32, "thumb", 1.0)
        assert caught.value.code == "not_recorded"
        assert tt.feedback("gen_" + "0" * 32, "thumb", 1.0, durable=False)


def test_damage_in_a_journal_is_told(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "p")
    for index in range(40):
        at_ms = 1_760_000_000_000 + index
        event = Generation(id=new_id("gen", at_ms), at_ms=at_ms, feature="f", environment="e", release="r")
        writer.append(encode_event(event), at_ms)
        if index % 10 == 9:
            writer.flush(5)
    writer.close()
    segment = next((tmp_path / "p").glob("*.seg"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    events = JournalEvents(tmp_path, consumer="c")
    assert len(events.read([], limit=1000).events) == 30
    assert "10 events lost" in events.take_damage()[0]
    assert events.take_damage() == []
