"""A gateway key that was revoked opens nothing, also where a data plane is too old for the snapshot that says so."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.migration.test_migration_newer_versions import newer_snapshot, tree_of

from trimtab.rollout.files import SnapshotFiles
from trimtab.serving.directory import DataDirectory
from trimtab.serving.runtime import DataPlane
from trimtab.serving.snapshot import Snapshot
from trimtab.serving.snapshot_file import SnapshotFile, publish
from trimtab.serving.snapshot_reading import TOO_NEW

if TYPE_CHECKING:
    from pathlib import Path


def keys_of(*secrets: str) -> dict[str, str]:
    return {hashlib.sha256(secret.encode()).hexdigest(): "support" for secret in secrets}


def understood(revision: int, *secrets: str) -> Snapshot:
    plain = msgspec.convert(tree_of(revision), Snapshot)
    return msgspec.structs.replace(plain, keys=keys_of(*secrets), keys_required=bool(secrets))


def too_new(revision: int, *secrets: str) -> Snapshot:
    return msgspec.structs.replace(newer_snapshot(revision), keys=keys_of(*secrets), keys_required=True)


def test_after_a_restart_the_earlier_snapshot_is_served_with_the_keys_of_the_newest(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    files = SnapshotFiles(directory)
    files.publish(understood(1, "old", "stays"))
    files.publish(too_new(2, "stays", "new"))
    plane = DataPlane.open(directory, environment="production", kind="test")
    try:
        assert plane.revision == 1
        assert plane.asks_for_keys
        assert [plane.team_of_key(secret) for secret in ("old", "stays", "new")] == [None, "support", "support"]
        assert plane.health()["snapshot_refused"] == TOO_NEW
    finally:
        plane.close()


def keys_in_force(followed: SnapshotFile) -> tuple[int, dict[str, str], bool]:
    assert followed.table is not None
    snapshot = followed.table.snapshot
    return snapshot.revision, snapshot.keys, snapshot.keys_required


def test_who_serves_on_follows_the_keys_of_snapshots_that_it_refuses(tmp_path: Path) -> None:
    path = tmp_path / "production.json"
    publish(path, understood(1, "old"))
    followed = SnapshotFile(path, environment="production")
    assert followed.poll()
    publish(path, too_new(2, "old"))
    assert not followed.poll()  # the same keys: nothing new is in force
    publish(path, too_new(3, "new"))
    assert followed.poll()
    assert keys_in_force(followed) == (1, keys_of("new"), True)
    assert followed.refused == TOO_NEW
    publish(path, too_new(4))
    assert followed.poll()
    assert keys_in_force(followed) == (1, {}, True)  # all are revoked: nobody comes in
    publish(path, understood(5, "again"))
    assert followed.poll()
    assert keys_in_force(followed) == (5, keys_of("again"), True)
    assert followed.refused == ""


def test_a_first_key_made_in_a_snapshot_that_is_refused_closes_an_open_gateway(tmp_path: Path) -> None:
    path = tmp_path / "production.json"
    publish(path, understood(1))
    followed = SnapshotFile(path, environment="production")
    followed.poll()
    publish(path, too_new(2, "first"))
    assert followed.poll()
    assert keys_in_force(followed) == (1, keys_of("first"), True)


def test_a_snapshot_that_no_longer_says_what_the_keys_are_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "production.json"
    publish(path, understood(1, "old"))
    followed = SnapshotFile(path, environment="production")
    followed.poll()
    path.write_bytes(msgspec.json.encode({"revision": 2, "environment": "production", "reader": 9}))
    assert followed.poll()
    assert keys_in_force(followed) == (1, {}, True)


@pytest.mark.parametrize(
    "other", [{"environment": "staging", "revision": 2}, {"environment": "production", "revision": 0}]
)
def test_keys_of_another_environment_or_of_before_are_not_taken(tmp_path: Path, other: dict[str, str | int]) -> None:
    path = tmp_path / "production.json"
    publish(path, understood(1, "old"))
    followed = SnapshotFile(path, environment="production")
    followed.poll()
    path.write_bytes(msgspec.json.encode({"reader": 9, "keys": keys_of("foreign"), **other}))
    assert not followed.poll()
    assert keys_in_force(followed) == (1, keys_of("old"), True)
