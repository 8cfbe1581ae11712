"""What an older data plane serves beside a snapshot of a newer version: no revoked key, no rollout that ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.policy.keys import hash_key
from trimtab.releases.model import CompiledRelease, wire_of
from trimtab.rollout.files import SnapshotFiles
from trimtab.serving.directory import DataDirectory
from trimtab.serving.runtime import DataPlane
from trimtab.serving.snapshot import RolloutRoute, Route, Snapshot
from trimtab.serving.snapshot_file import SnapshotFile
from trimtab.serving.snapshot_reading import READER_VERSION, TOO_NEW, decode_published

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Beside = Callable[..., DataPlane]

STABLE, CANDIDATE = "sha256:1", "sha256:2"
KEYS = {hash_key("of-before"): "support", hash_key("stays"): "shop"}
ROLLOUT = RolloutRoute(id="ro_1", candidate=CANDIDATE, salt="s", stage=0, state="progressing", weight=1.0)


def release(digest: str) -> CompiledRelease:
    model = ModelContent(provider="openai", model="m", parameters={})
    return CompiledRelease(
        digest=digest,
        feature="reply",
        number=int(digest[-1]),
        prompt=PromptContent(
            messages=[PromptMessage(role="system", content="Hi")], variables={"type": "object", "properties": {}}
        ),
        model=model,
        wire=wire_of(model),
    )


def snapshot(revision: int, *, rollout: RolloutRoute | None = None, **changes: Any) -> Snapshot:
    made = Snapshot(
        revision=revision,
        environment="production",
        published_at_ms=1_760_000_000_000,
        routes=[Route(feature="reply", stable=STABLE, team="t", rollout=rollout)],
        releases={digest: release(digest) for digest in (STABLE, CANDIDATE)},
        keys=KEYS,
        keys_required=True,
    )
    return msgspec.structs.replace(made, **changes)


def newer(revision: int, without: tuple[str, ...] = (), **changes: Any) -> bytes:
    """Return a snapshot as the server of a later version writes it."""
    tree = msgspec.to_builtins(snapshot(revision)) | {"reader": READER_VERSION + 1, "reader_for": ["the future"]}
    tree |= msgspec.to_builtins(changes)
    return msgspec.json.encode({name: part for name, part in tree.items() if name not in without})


@pytest.fixture(params=["running", "restarted"])
def beside(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Opens a data plane that has taken a snapshot, and meets newer ones while it runs, or after a restart."""
    directory = DataDirectory(tmp_path)
    files = SnapshotFiles(directory)
    opened: list[DataPlane] = []

    def opens(earlier: Snapshot, *later: bytes) -> DataPlane:
        files.publish(earlier)
        runs = request.param == "running"
        if runs:
            opened.append(DataPlane.open(directory, environment="production", kind="test"))
        for one in later:
            files.hand_on(decode_published(one), one)
        if not runs:
            opened.append(DataPlane.open(directory, environment="production", kind="test"))
        (plane,) = opened
        deadline = time.monotonic() + 5
        while plane.health()["snapshot_refused"] != TOO_NEW:
            assert time.monotonic() < deadline, "the newer snapshot was not seen"
            time.sleep(0.01)
        return plane

    yield opens
    for plane in opened:
        plane.close()


def test_keys_are_those_of_the_newest_snapshot_and_routing_is_that_of_the_last_one_understood(beside: Beside) -> None:
    plane = beside(snapshot(1), newer(2, keys={hash_key("stays"): "office", hash_key("made-since"): "support"}))
    assert plane.revision == 1
    assert plane.decide("reply", "u").release.number == 1
    assert [plane.team_of_key(key) for key in ("of-before", "stays", "made-since")] == [None, "office", "support"]
    assert plane.asks_for_keys


def test_an_open_gateway_asks_for_keys_from_the_first_one_on(beside: Beside) -> None:
    plane = beside(snapshot(1, keys={}, keys_required=False), newer(2))
    assert plane.asks_for_keys
    assert plane.team_of_key("stays") == "shop"


@pytest.mark.parametrize(
    "later",
    [
        newer(2, keys={}),
        newer(2, keys={}, keys_required=False),
        newer(2, without=("keys", "keys_required")),
    ],
)
def test_a_newer_snapshot_without_keys_admits_nobody_and_opens_nothing(beside: Beside, later: bytes) -> None:
    plane = beside(snapshot(1), later)
    assert plane.asks_for_keys
    assert plane.team_of_key("of-before") is None


def test_what_follows_a_newer_snapshot_is_followed_too(beside: Beside) -> None:
    plane = beside(snapshot(1), newer(2, keys={}), newer(3, keys={hash_key("made-since"): "support"}))
    deadline = time.monotonic() + 5
    while plane.team_of_key("made-since") != "support":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def route(stable: str = STABLE, rollout: RolloutRoute | None = None) -> list[Route]:
    return [Route(feature="reply", stable=stable, rollout=rollout)]


@pytest.mark.parametrize(
    ("routes", "number"),
    [
        (route(), 1),  # rolled back
        (route(rollout=msgspec.structs.replace(ROLLOUT, id="ro_2")), 1),  # and tried again
        (route("sha256:3"), 1),  # pointed elsewhere
        (route(rollout=ROLLOUT), 2),  # in progress
        (route(CANDIDATE), 2),  # promoted
        ([], 1),  # the feature is served no more
        ({"of": "another shape"}, 2),  # nothing is said of it
    ],
)
def test_a_rollout_that_ended_otherwise_than_promoted_serves_its_candidate_to_nobody(
    beside: Beside, routes: Any, number: int
) -> None:
    plane = beside(snapshot(1, rollout=ROLLOUT), newer(2, routes=routes))
    assert plane.decide("reply", "u").release.number == number


def test_content_that_is_no_longer_to_be_recorded_is_not(beside: Beside) -> None:
    quiet = [Route(feature="reply", stable=STABLE, rollout=ROLLOUT, capture_content=False)]
    decision = beside(snapshot(1, rollout=ROLLOUT), newer(2, routes=quiet)).decide("reply", "u")
    assert (decision.capture_content, decision.release.number) == (False, 2)


def test_a_newer_snapshot_of_another_environment_or_an_older_one_changes_no_keys(tmp_path: Path) -> None:
    path = tmp_path / "production.json"
    path.write_bytes(newer(3, keys={hash_key("of-then"): "shop"}).replace(b"production", b"staging"))
    path.with_name("production.json.reader-1").write_bytes(msgspec.json.encode(snapshot(4)))
    followed = SnapshotFile(path, environment="production")
    assert not followed.poll()
    assert (followed.table, followed.refused) == (None, "not_taken")
    path.write_bytes(msgspec.json.encode(snapshot(5)))
    assert followed.poll()
    path.write_bytes(newer(4, keys={}))
    assert not followed.poll()
    assert followed.table is not None
    assert followed.table.snapshot.keys == KEYS
    assert followed.refused == "not_taken"


def test_what_is_no_snapshot_at_all_changes_nothing_that_is_in_force(tmp_path: Path) -> None:
    path = tmp_path / "production.json"
    path.write_bytes(msgspec.json.encode(snapshot(1)))
    followed = SnapshotFile(path, environment="production")
    assert followed.poll()
    path.write_bytes(newer(2, keys={hash_key("made-since"): "shop"}))
    assert followed.poll()
    path.write_bytes(newer(3, keys=["of another shape"]))
    assert not followed.poll()
    assert followed.table is not None
    assert list(followed.table.snapshot.keys) == [hash_key("made-since")]
    path.write_bytes(msgspec.json.encode(snapshot(4)))
    assert followed.poll()
    assert (followed.table.snapshot.keys, followed.refused) == (KEYS, "")


def test_nothing_new_in_a_newer_snapshot_is_no_new_table(tmp_path: Path) -> None:
    path = tmp_path / "production.json"
    path.write_bytes(msgspec.json.encode(snapshot(1, rollout=ROLLOUT)))
    followed = SnapshotFile(path, environment="production")
    assert followed.poll()
    path.write_bytes(newer(2, routes=route(rollout=ROLLOUT)))
    assert not followed.poll()
    assert followed.refused == TOO_NEW
