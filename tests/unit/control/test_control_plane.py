"""The use cases of the control plane: what each stores, publishes, books, and refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trimtab.core.errors import ConflictError, InputError, NotFoundError, SourceError
from trimtab.serving.snapshot_file import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trimtab.control.plane import ControlPlane
    from trimtab.core.clock import FakeClock
    from trimtab.serving.directory import DataDirectory
    from trimtab.serving.snapshot import Snapshot
    from trimtab.storage.memory import MemoryStore


def published(directory: DataDirectory, environment: str = "production") -> Snapshot:
    snapshot = read_snapshot(directory.snapshot(environment))
    assert snapshot is not None
    return snapshot


def actions(plane: ControlPlane) -> list[str]:
    return [entry.action for entry in plane.audit()[0]]


def test_a_push_stores_artifacts_plan_and_release_and_books_each(plane: ControlPlane, folder: Path) -> None:
    report = plane.push(folder, message="first")
    assert (report.release, report.created, report.plan_number, report.plan_created) == (
        "support-reply#1",
        True,
        1,
        True,
    )
    assert {(one.kind, one.name, one.number, one.created) for one in report.artifacts} == {
        ("prompt", "support-reply", 1, True),
        ("partial", "tone", 1, True),
        ("model", "support-reply", 1, True),
        ("schema", "support-reply", 1, True),
    }
    assert report.changes == []
    assert actions(plane) == ["feature.create", *4 * ["artifact.create"], "release.create", "plan.update"]
    entries, broken = plane.audit()
    assert (broken, {entry.actor for entry in entries}) == ("", {"ada"})
    (release,) = plane.releases("support-reply")
    assert (release.message, release.created_by, release.digest) == ("first", "ada", report.digest)


def test_pushing_the_same_again_changes_nothing(plane: ControlPlane, folder: Path, clock: FakeClock) -> None:
    first = plane.push(folder)
    before = plane.audit(), plane.releases("support-reply")
    clock.advance(60)
    again = plane.push(folder, message="another reason")
    assert (again.created, again.plan_created, again.digest) == (False, False, first.digest)
    assert not any(one.created for one in again.artifacts)
    assert (plane.audit(), plane.releases("support-reply")) == before


def test_a_push_tells_what_changed_in_meaning(serving: ControlPlane) -> None:
    old, new = (serving.release("support-reply", reference) for reference in ("#1", "#2"))
    changes = serving.diff("support-reply", "#1", "#2")
    assert [change.path for change in changes] == ["prompt.messages[0].content"]
    assert '"vague"' in changes[0].summary
    assert serving.diff("support-reply", old.digest, old.digest[:20]) == []
    assert "Be long, cold and vague." in new.compiled.prompt.messages[0].content


def test_a_changed_plan_is_a_new_plan_of_the_same_release(plane: ControlPlane, folder: Path) -> None:
    plane.push(folder)
    plan = folder / "rollout.yaml"
    plan.write_text(plan.read_text().replace("alpha: 0.05", "alpha: 0.01"))
    report = plane.push(folder)
    assert (report.created, report.plan_created, report.plan_number) == (False, True, 2)
    assert actions(plane)[-1] == "plan.update"
    plan.write_text(plan.read_text() + "# a remark is not a change\n")
    assert plane.push(folder).plan_number == 2


def test_going_back_to_an_older_plan_puts_it_in_force_again(plane: ControlPlane, folder: Path) -> None:
    plan = folder / "rollout.yaml"
    first = plan.read_text()
    plane.push(folder)
    plan.write_text(first.replace("alpha: 0.05", "alpha: 0.01"))
    plane.push(folder)
    plan.write_text(first)
    report = plane.push(folder)
    assert (report.plan_created, report.plan_number) == (True, 3)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rollout.yaml", b"steps: [{setWeight: 300}]\n"),
        ("feature.yaml", b"feature: support-reply\nteam: [\n"),
        ("support-reply.prompt.yml", b"messages:\n  - role: system\n    content: '{% include \"absent\" %}'\n"),
        ("schema.json", b"{"),
        ("partials/tone.md", b"\xff\xfe"),
    ],
)
def test_a_push_that_fails_stores_nothing_whatever_file_is_wrong(
    plane: ControlPlane, folder: Path, name: str, content: bytes
) -> None:
    plane.push(folder)
    before = plane.audit(), plane.releases("support-reply")
    (folder / "partials" / "tone.md").write_text("Changed as well.\n")
    (folder / name).write_bytes(content)
    with pytest.raises(SourceError) as caught:
        plane.push(folder)
    assert name in str(caught.value.param)
    assert (plane.audit(), plane.releases("support-reply")) == before


def test_a_first_push_that_fails_does_not_make_the_feature(plane: ControlPlane, folder: Path) -> None:
    (folder / "rollout.yaml").write_text("steps: [{setWeight: 300}]\n")
    with pytest.raises(SourceError):
        plane.push(folder)
    assert plane.audit() == ([], "")
    with pytest.raises(NotFoundError) as caught:
        plane.releases("support-reply")
    assert caught.value.code == "unknown_feature"


def test_pointing_an_environment_publishes_at_once(serving: ControlPlane, directory: DataDirectory) -> None:
    first = published(directory)
    move = serving.set_pointer("support-reply", "#2", reason="hot fix")
    second = published(directory)
    assert second.revision > first.revision
    assert [route.stable for route in second.routes] == [move.to_release]
    assert (move.from_release, move.actor, move.reason) == (first.routes[0].stable, "ada", "hot fix")
    assert [one.reason for one in serving.pointer_history("support-reply")] == ["first release", "hot fix"]
    pointer = serving.pointer("support-reply")
    assert pointer is not None
    assert (pointer.release, pointer.revision) == (move.to_release, 2)
    assert serving.pointer("support-reply", "staging") is None
    assert serving.pointer_history("support-reply", "staging") == []


def test_an_environment_cannot_be_pointed_while_a_rollout_is_under_way(
    serving: ControlPlane, directory: DataDirectory
) -> None:
    rollout = serving.start_rollout("support-reply", "#2")
    before = serving.audit(), directory.snapshot("production").read_bytes()
    with pytest.raises(ConflictError, match=rollout.id) as caught:
        serving.set_pointer("support-reply", "#2", reason="impatient")
    assert caught.value.code == "rollout_active"
    assert "trimtab rollout abort support-reply" in str(caught.value.hint)
    assert (serving.audit(), directory.snapshot("production").read_bytes()) == before


def test_a_second_rollout_is_refused_or_supersedes_the_first(serving: ControlPlane) -> None:
    first = serving.start_rollout("support-reply", "#2", reason="one")
    with pytest.raises(ConflictError) as caught:
        serving.start_rollout("support-reply", "#2")
    assert caught.value.code == "rollout_active"
    second = serving.start_rollout("support-reply", "#2", reason="two", supersede=True)
    states = {one.rollout.id: one.rollout.state for one in serving.rollouts("support-reply")}
    assert states == {first.id: "superseded", second.id: "validating"}


@pytest.mark.parametrize(
    ("feature", "reference", "code"),
    [("suport-reply", "#1", "unknown_feature"), ("support-reply", "#9", "unknown_release")],
)
def test_a_rollout_of_what_is_not_there_is_refused(
    serving: ControlPlane, feature: str, reference: str, code: str
) -> None:
    with pytest.raises(NotFoundError) as caught:
        serving.start_rollout(feature, reference)
    assert caught.value.code == code
    assert serving.rollouts() == []


def test_promoting_by_hand_moves_the_pointer_and_publishes(
    serving: ControlPlane, directory: DataDirectory, tick: Callable[[], None]
) -> None:
    rollout = serving.start_rollout("support-reply", "#2", reason="try")
    tick()
    changed = serving.command_rollout("support-reply", "promote", reason="read every answer")
    assert (changed.id, changed.state) == (rollout.id, "promoted")
    assert [route.stable for route in published(directory).routes] == [rollout.candidate]
    last = serving.pointer_history("support-reply")[-1]
    assert (last.rollout, last.actor) == (rollout.id, "ada")
    with pytest.raises(InputError):
        serving.command_rollout(rollout.id, "pause", reason="too late")


def test_aborting_leaves_stable_alone(serving: ControlPlane, directory: DataDirectory) -> None:
    rollout = serving.start_rollout("support-reply", "#2")
    assert serving.command_rollout(rollout.id, "abort", reason="no").state in {"rolling_back", "rolled_back"}
    (route,) = published(directory).routes
    assert (route.stable, route.rollout) == (rollout.stable, None)


def test_a_rollout_commanded_by_id_publishes_the_environment_it_is_of(
    plane_of: Callable[[str], ControlPlane],
    serving: ControlPlane,
    directory: DataDirectory,
    tick: Callable[[], None],
) -> None:
    staging = plane_of("staging")
    staging.set_pointer("support-reply", "#1", reason="first release")
    rollout = staging.start_rollout("support-reply", "#2")
    tick()
    serving.command_rollout(rollout.id, "promote", reason="from production's shell")
    assert [route.stable for route in published(directory, "staging").routes] == [rollout.candidate]
    assert [route.stable for route in published(directory).routes] == [rollout.stable]


def test_a_feature_names_its_newest_rollout_of_this_environment_only(
    plane_of: Callable[[str], ControlPlane], serving: ControlPlane
) -> None:
    serving.start_rollout("support-reply", "#2")
    with pytest.raises(NotFoundError) as caught:
        plane_of("staging").rollout_report("support-reply")
    assert caught.value.code == "unknown_rollout"
    assert "staging" in caught.value.message


def test_a_key_is_in_force_when_it_is_handed_out_and_out_of_it_when_revoked(
    plane: ControlPlane, directory: DataDirectory
) -> None:
    key, secret = plane.create_key("support")
    assert published(directory).keys == {key.hash: "support"}
    assert secret not in directory.snapshot("production").read_text()
    assert secret not in repr(plane.audit())
    plane.revoke_key(key.id)
    assert published(directory).keys == {}
    assert [bool(one.revoked_at_ms) for one in plane.keys()] == [True]  # noqa: SIM118 - not a dict
    with pytest.raises(NotFoundError):
        plane.revoke_key("key_none")


def test_a_key_revoked_from_one_environment_is_refused_in_all(
    plane_of: Callable[[str], ControlPlane], serving: ControlPlane, directory: DataDirectory
) -> None:
    plane_of("staging").set_pointer("support-reply", "#1", reason="first release")
    key, _secret = serving.create_key("support")
    assert published(directory, "staging").keys == {key.hash: "support"}
    serving.revoke_key(key.id)
    assert published(directory, "staging").keys == published(directory).keys == {}


def test_the_audit_log_tells_of_an_entry_changed_behind_its_back(serving: ControlPlane, store: MemoryStore) -> None:
    assert serving.audit()[1] == ""
    with store.write() as tx:
        entries = tx.audit(after=0, limit=100)
        table = next(rows for rows in store._tables.values() if entries[2] in rows.values())
        place = next(key for key, entry in table.items() if entry == entries[2])
        table[place] = type(entries[2])(
            **{name: getattr(entries[2], name) for name in entries[2].__struct_fields__} | {"actor": "eve"}
        )
    assert "3" in serving.audit()[1]
