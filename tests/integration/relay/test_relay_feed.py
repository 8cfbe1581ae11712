"""A node hears of what is published on its machine, whoever does it, without Postgres to tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.settings import load_settings
from trimtab.bootstrap.store import open_notices, open_store
from trimtab.control.feed import SnapshotFeed
from trimtab.rollout.files import SnapshotFiles
from trimtab.serving.snapshot_file import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trimtab.control.plane import ControlPlane

ENVIRONMENT = "production"


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[ControlPlane, SnapshotFeed, Path]]:
    settings = load_settings(environ={"TRIMTAB_DIRECTORY": str(tmp_path / ".trimtab")})
    plane = open_control(settings)
    files = SnapshotFiles(settings.data_directory)
    feed = SnapshotFeed(open_store(settings), files, open_notices(settings))
    yield plane, feed, settings.data_directory.snapshot(ENVIRONMENT)
    feed.close()
    plane.close()


def test_what_a_command_publishes_is_heard_of(both: tuple[ControlPlane, SnapshotFeed, Path]) -> None:
    plane, feed, _ = both
    told: list[int] = []
    feed.on_change(lambda: told.append(1))
    plane.publish()
    feed.tick()
    plane.publish()
    feed.tick()
    latest = feed.latest(ENVIRONMENT)
    assert latest is not None
    assert (latest.revision, len(told)) == (2, 2)
    assert feed.latest("staging") is None


def test_a_file_that_was_deleted_comes_back(both: tuple[ControlPlane, SnapshotFeed, Path]) -> None:
    plane, feed, path = both
    plane.publish()
    feed.tick()
    path.unlink()
    feed.tick()
    snapshot = read_snapshot(path)
    assert snapshot is not None
    assert snapshot.revision == 1
