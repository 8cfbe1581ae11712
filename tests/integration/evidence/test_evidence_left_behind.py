"""What is left of a user after an erasure was said to be done: nothing, in whatever order machines come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.integration.evidence.conftest import Place
from tests.integration.evidence.test_evidence_compactor import Failing
from tests.integration.evidence.test_evidence_retired import HOUR_MS, erased, gone, units

from trimtab.backup.restore import restore_backup
from trimtab.backup.take import take_backup
from trimtab.bootstrap.settings import EvidenceSettings, Settings
from trimtab.cli.commands.evidence_erasing import _done_here
from trimtab.core.clock import SystemClock
from trimtab.core.errors import ConflictError, FencedError, StorageError
from trimtab.evidence.erasure_requests import fulfil_erasures, open_erasures, request_erasure
from trimtab.evidence.erasure_store import ErasureRequest
from trimtab.evidence.identity import writer_of
from trimtab.evidence.log import EvidenceLog, read_everything
from trimtab.evidence.objects import LocalObjects
from trimtab.evidence.reader import EvidenceReader
from trimtab.evidence.upkeep import erase
from trimtab.evidence.writers import _commit_of, _retire, announce, check_gone, known_writers, retire, sweep_estates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Place]]:
    """Three machines with a call of `ada` and one of `bob` each, in one bucket."""
    made = [Place(tmp_path / name) for name in "abc"]
    for one in made:
        one.objects = LocalObjects(tmp_path / "bucket")
        one.generation(unit="ada")
        one.generation(unit="bob")
        one.compact()
    yield made
    for one in made:
        one.writer.close()


def fulfil(place: Place) -> int:
    with place.compactor() as compactor:
        return fulfil_erasures(compactor)


def test_who_comes_back_meets_also_what_was_asked_for_by_an_earlier_version(machines: list[Place]) -> None:
    one, other, third = machines
    other.generation(unit="ada", at_ms=other.clock.now_ms() - 1)
    request = ErasureRequest("ada", one.clock.now_ms() + 1)
    one.objects.put(request.key, msgspec.json.encode({"unit": "ada", "before_ms": request.before_ms}))
    gone(one, other)
    assert fulfil(one) == 2
    assert fulfil(third) == 1
    assert open_erasures(one.objects) == []
    other.compact()
    assert units(one) == ["bob", "bob", "bob"]


def test_events_that_were_only_in_journals_count_as_removed(tmp_path: Path) -> None:
    one = Place(tmp_path)
    one.feedback(one.generation(unit="ada"), 1.0)
    one.generation(unit="bob")
    assert erased(one, "ada") == 2
    assert erased(one, "ada") == 0
    one.writer.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 9))
def test_an_erasure_that_was_killed_anywhere_takes_what_was_said_along_when_it_is_taken_up(
    tmp_path: Path, at: int, *, after: bool
) -> None:
    one = Place(tmp_path)
    for number in range(3):
        one.feedback(one.generation(unit="ada", at_ms=one.clock.now_ms() - number), 0.0, comment="of ada's answer")
        one.compact()
    one.clock.advance(1)
    whole = one.objects
    request_erasure(whole, "ada", now_ms=one.clock.now_ms())
    one.objects = Failing(tmp_path / "evidence", at=at + 1, after=after)  # the first is that it lives
    with pytest.raises(StorageError):
        fulfil(one)
    one.objects = whole
    fulfil(one)
    assert (one.ids(), one.ids("feedback")) == ([], [])
    one.writer.close()


def test_one_that_lives_and_finds_its_files_gone_learns_that_it_is_retired(machines: list[Place]) -> None:
    one, other, _ = machines
    with other.compactor() as compactor:
        gone(one, other)
        assert erased(one, "ada") == 2
        with pytest.raises(FencedError, match="declared gone"):
            fulfil_erasures(compactor)


def test_a_file_that_is_gone_and_should_not_be_is_told(machines: list[Place]) -> None:
    one = machines[0]
    with one.compactor() as compactor:
        one.objects.delete(next(iter(compactor.state.files)))
        with pytest.raises(StorageError, match="which is not there"):
            erase(compactor, "ada")


def test_an_heir_whose_share_is_empty_when_it_is_gone_leaves_nothing_to_look_after(machines: list[Place]) -> None:
    one, other, third = machines
    gone(one, other)
    with one.compactor() as compactor:
        (estate,) = compactor.estates()
        estate.commit(remove=list(estate.state.files))
    gone(third, one)
    sweep_estates(one.objects, writer_of(third.directory))
    assert erased(third, "ada") == 2
    assert open_erasures(one.objects) == []


def test_what_was_written_in_vain_is_deleted_also_where_nothing_of_its_writer_counts(
    machines: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, third = machines
    with other.compactor() as compactor:
        compactor.commit(remove=list(compactor.state.files))
        other.generation(unit="ada")
        other.writer.flush(10)
        gone(one, other)
        monkeypatch.setattr(EvidenceLog, "must_count", lambda _self: None)  # it looked just before
        compactor.run()
        monkeypatch.undo()
        assert len(one.files()) == 3
    gone(third, one)  # whoever looks after what its heir left does that as well
    sweep_estates(one.objects, writer_of(third.directory))
    named = [key for state in read_everything(one.objects, {}).values() for key in state.files]
    assert one.files() == sorted(named)


def test_a_retirement_that_was_killed_does_not_bring_back_what_was_erased_before_it_was_done(
    machines: list[Place],
) -> None:
    one, other, _ = machines
    whole = one.objects
    assert isinstance(whole, LocalObjects)
    one.objects = Failing(one.directory.root.parent / "bucket", at=2, after=False)
    with pytest.raises(StorageError):
        gone(one, other)
    one.objects = whole
    with other.compactor() as compactor:
        for unit in ("ada", "bob"):
            erase(compactor, unit, before_ms=other.clock.now_ms() + 1)
        assert not compactor.state.files
    gone(one, other)
    assert units(one) == ["ada", "ada", "bob", "bob"]


def test_an_heir_that_is_retired_at_the_same_moment_hands_on_what_it_just_got(machines: list[Place]) -> None:
    one, other, third = machines
    heir, writer = writer_of(other.directory), writer_of(third.directory)
    there = check_gone(one.objects, writer, heir=heir, now_ms=third.clock.now_ms() + HOUR_MS, silent_ms=HOUR_MS)
    gone(one, other)
    # what a second person's command had checked just before
    _retire(one.objects, there.name, heir, third.clock.now_ms() + HOUR_MS)
    assert erased(one, "ada") == 3
    assert open_erasures(one.objects) == []
    assert {each.heir for each in known_writers(one.objects)} == {"", writer_of(one.directory)}


def test_what_is_left_of_a_writer_is_told_from_a_writer(machines: list[Place]) -> None:
    one, other, third = machines
    gone(one, other)
    heir, left = writer_of(one.directory), f"{writer_of(other.directory)}.1"
    now_ms = one.clock.now_ms() + HOUR_MS
    with pytest.raises(ConflictError, match=f"`{heir}` looks after it") as told:
        retire(one.objects, left, heir=writer_of(third.directory), now_ms=now_ms, silent_ms=0)
    assert f"trimtab evidence retire {heir}" in str(told.value.hint)


def test_a_clock_that_ran_ahead_does_not_keep_a_writer_for_ever(machines: list[Place]) -> None:
    one, other, _ = machines
    heir, writer, now_ms = writer_of(one.directory), writer_of(other.directory), one.clock.now_ms()
    announce(one.objects, writer, machine="ahead", now_ms=now_ms + 1000 * HOUR_MS)
    with pytest.raises(ConflictError, match="was heard of 0 s ago"):
        retire(one.objects, writer, heir=heir, now_ms=now_ms, silent_ms=1)
    retire(one.objects, writer, heir=heir, now_ms=now_ms, silent_ms=0)


@pytest.mark.parametrize(
    ("key", "commit"),
    [
        ("generations/date=2026-11-26/hour=08/12345678-0000000007-0.parquet", 7),
        ("generations/date=2026-11-26/hour=08/12345678.1-0000000007-0.parquet", 0),
        ("generations/date=2026-11-26/hour=08/87654321-0000000007-0.parquet", 0),
        ("generations/date=2026-11-26/hour=08/x12345678-0000000007-0.parquet", 0),
    ],
)
def test_files_of_other_writers_are_nobody_elses_to_delete(key: str, commit: int) -> None:
    assert _commit_of(key, "12345678") == commit


def test_asking_from_a_directory_that_nobody_knew_ends_where_all_others_were_faster(machines: list[Place]) -> None:
    one, settings = machines[0], Settings(directory=str(machines[0].directory.root.parent / "laptop"))
    settings = msgspec.structs.replace(
        settings, evidence=EvidenceSettings(location=str(one.directory.root.parent / "bucket"))
    )
    request = request_erasure(one.objects, "ada", now_ms=one.clock.now_ms() + 1)
    assert [fulfil(each) for each in machines] == [1, 1, 1]
    assert open_erasures(one.objects) == []
    assert _done_here(settings, one.objects, request, 0.0) == 0


@pytest.mark.parametrize("moment", [(LocalObjects, "keys"), (EvidenceLog, "read")], ids=["listed", "read"])
def test_a_backup_that_is_taken_while_a_writer_is_retired_is_whole(
    machines: list[Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: tuple[type, str]
) -> None:
    one, other, _ = machines
    does = getattr(*moment)
    done: list[bool] = []

    def meanwhile(*given: object) -> object:
        if not done:
            done.append(True)
            gone(one, other)
        return does(*given)

    archive, there = tmp_path / "all.tar.zst", tmp_path / "there"
    with monkeypatch.context() as patched:
        patched.setattr(*moment, meanwhile)
        take_backup(one.directory, archive, clock=SystemClock(), sqlite=False, evidence=tmp_path / "bucket")
    restore_backup(archive, there, evidence=there / "evidence")
    reader = EvidenceReader(LocalObjects(there / "evidence"), None)
    try:
        assert reader.query("SELECT unit FROM generations").num_rows == 6
    finally:
        reader.close()
