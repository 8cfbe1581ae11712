"""A writer that is declared gone no longer holds up an erasure, and does no harm when it comes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.evidence.conftest import Place
from tests.integration.evidence.test_evidence_compactor import Failing

from trimtab.core.errors import ConflictError, FencedError, InputError, NotFoundError, StorageError
from trimtab.evidence.erasure_requests import fulfil_erasures, open_erasures, request_erasure
from trimtab.evidence.erasure_store import forget_remembered, remembered
from trimtab.evidence.identity import writer_of
from trimtab.evidence.log import EvidenceLog
from trimtab.evidence.objects import LocalObjects
from trimtab.evidence.writers import known_writers, retire, sweep_estates

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR_MS = 3_600_000


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Place, Place]]:
    """Two machines with calls of `ada` and `bob` in one bucket; the second has a call and a thumb in its journal."""
    made = Place(tmp_path / "a"), Place(tmp_path / "b")
    for one in made:
        one.objects = LocalObjects(tmp_path / "bucket")
        one.generation(unit="ada")
        one.generation(unit="bob")
        one.compact()
    yield made
    for one in made:
        one.writer.close()


def units(place: Place) -> list[str]:
    reader = place.reader()
    try:
        return sorted(reader.query("SELECT unit FROM generations").column("unit").to_pylist())
    finally:
        reader.close()


def gone(one: Place, other: Place) -> None:
    """Declare the other machine gone, an hour after it was last heard of."""
    now_ms = other.clock.now_ms() + HOUR_MS
    heir, writer = writer_of(one.directory), writer_of(other.directory)
    retire(one.objects, writer, heir=heir, now_ms=now_ms, silent_ms=HOUR_MS)


def erased(one: Place, unit: str) -> int:
    one.clock.advance(1)
    request_erasure(one.objects, unit, now_ms=one.clock.now_ms())
    with one.compactor() as compactor:
        return fulfil_erasures(compactor)


def test_an_erasure_ends_where_a_writer_is_gone_and_is_done_in_its_files(machines: tuple[Place, Place]) -> None:
    one, other = machines
    assert erased(one, "ada") == 1
    (waiting,) = open_erasures(one.objects)
    assert waiting.waits_for == [writer_of(other.directory)]
    gone(one, other)
    assert len(units(one)) == 3
    with one.compactor() as compactor:
        assert fulfil_erasures(compactor) == 1
    assert units(one) == ["bob", "bob"]
    assert open_erasures(one.objects) == []
    assert not [key for key in one.objects.keys("") if b'"ada"' in one.objects.get(key)]
    assert [writer.heir for writer in known_writers(one.objects)].count(writer_of(one.directory)) == 1


def test_one_that_comes_back_puts_nothing_there_of_who_was_erased_meanwhile(machines: tuple[Place, Place]) -> None:
    one, other = machines
    call = other.generation(unit="ada", at_ms=other.clock.now_ms() - 1)
    other.feedback(call, 1.0)
    kept = other.generation(unit="bob")
    gone(one, other)
    assert erased(one, "ada") == 2
    was = writer_of(other.directory)
    with other.compactor() as compactor:
        assert compactor.writer != was
        assert [erasure.before_ms for erasure in compactor.state.erasures] == [one.clock.now_ms()]
        assert compactor.run().events == 3, "not what was in files when it was retired"
        assert not compactor.state.joining
        files = list(compactor.state.files.values())
    assert [(file.kind, file.rows) for file in files] == [("generations", 1)]
    assert files[0].first_id == kept.id
    assert units(one) == ["bob", "bob", "bob"]
    assert units(other) == ["bob", "bob", "bob"]


def test_a_machine_that_is_new_there_takes_in_what_was_erased_before_it_came(tmp_path: Path) -> None:
    one, late = Place(tmp_path / "a"), Place(tmp_path / "b")
    late.objects = one.objects
    one.generation(unit="bob")
    one.compact()
    call = late.generation(unit="ada")
    late.feedback(call, 0.0, comment="of ada's answer")
    erased(one, "ada")
    late.compact()
    assert len(late.ids()) == 1
    assert late.ids("feedback") == []
    one.writer.close()
    late.writer.close()


def test_a_retired_writer_that_still_runs_is_fenced(machines: tuple[Place, Place]) -> None:
    one, other = machines
    other.generation(unit="bob")
    with other.compactor() as compactor:
        gone(one, other)
        before = units(one)
        with pytest.raises(FencedError, match="declared gone"):
            compactor.run()
        with pytest.raises(FencedError):
            compactor.commit(remove=list(compactor.state.files))
    assert units(one) == before
    other.compact()
    assert units(one) == ["ada", "ada", "bob", "bob", "bob"]
    named = {file for log in known_writers(one.objects) for file in EvidenceLog(one.objects, log.name).read().files}
    assert set(one.files()) == named, "what it wrote in vain is deleted"


def test_what_it_added_after_the_fence_counts_for_nobody(
    machines: tuple[Place, Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machines
    other.generation(unit="carol")
    with other.compactor() as compactor:
        gone(one, other)
        monkeypatch.setattr(EvidenceLog, "must_count", lambda _self: None)  # it looked just before
        compactor.run()
        monkeypatch.undo()
    assert units(one) == ["ada", "ada", "bob", "bob"]
    other.compact()
    assert units(one) == ["ada", "ada", "bob", "bob", "carol"]


def test_who_may_be_retired(machines: tuple[Place, Place]) -> None:
    one, other = machines
    heir, writer, now_ms = writer_of(one.directory), writer_of(other.directory), other.clock.now_ms()
    with pytest.raises(ConflictError, match="was heard of 0 s ago"):
        retire(one.objects, writer, heir=heir, now_ms=now_ms, silent_ms=HOUR_MS)
    with pytest.raises(InputError, match="no other writer"):
        retire(one.objects, writer, heir=writer, now_ms=now_ms, silent_ms=0)
    with pytest.raises(NotFoundError, match="no writer `nobody`"):
        retire(one.objects, "nobody", heir=heir, now_ms=now_ms, silent_ms=0)
    gone(one, other)
    with pytest.raises(ConflictError, match="retired already"):
        gone(one, other)


def test_an_heir_that_is_gone_as_well_hands_everything_on(tmp_path: Path) -> None:
    made = [Place(tmp_path / name) for name in "abc"]
    for one in made:
        one.objects = made[0].objects
        one.generation(unit="ada")
        one.compact()
    gone(made[1], made[0])
    gone(made[2], made[1])
    assert erased(made[2], "ada") == 3
    assert units(made[2]) == []
    assert open_erasures(made[2].objects) == []
    for one in made:
        one.writer.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 16))
def test_a_kill_at_any_write_of_all_of_it_is_made_good_by_doing_it_again(
    machines: tuple[Place, Place], at: int, *, after: bool
) -> None:
    one, other = machines
    whole = one.objects
    assert isinstance(whole, LocalObjects)
    other.generation(unit="ada", at_ms=other.clock.now_ms() - 1)
    other.generation(unit="bob")
    one.clock.advance(1)

    def all_of_it() -> None:
        request_erasure(one.objects, "ada", now_ms=one.clock.now_ms())
        if len([writer for writer in known_writers(one.objects) if not writer.heir]) > 1:
            gone(one, other)
        with one.compactor() as compactor:
            fulfil_erasures(compactor)
            sweep_estates(one.objects, compactor.writer)
        with other.compactor() as compactor:
            compactor.run()
            fulfil_erasures(compactor)

    one.objects = other.objects = Failing(Path(whole.root), at=at, after=after)
    try:
        all_of_it()
    except StorageError:
        one.objects = other.objects = whole
        all_of_it()
    assert units(one) == ["bob", "bob", "bob"]
    assert open_erasures(whole) == []
    named = {file for log in known_writers(whole) for file in EvidenceLog(whole, log.name).read().files}
    assert set(one.files()) == named


def test_erasures_are_remembered_as_keyed_hashes_and_let_go_when_old(machines: tuple[Place, Place]) -> None:
    one, _ = machines
    erased(one, "ada")
    erased(one, "bob")
    first, second = remembered(one.objects)
    assert first.salt == second.salt
    assert len(first.salt) == 32
    assert forget_remembered(one.objects, before_ms=second.before_ms) == 1
    assert remembered(one.objects) == [second]
