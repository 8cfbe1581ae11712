"""Whoever keeps evidence forgets a user that anybody asked to forget, also while it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.integration.evidence.conftest import Place

from trimtab.api.condition import _forgotten
from trimtab.api.metrics import _erasures
from trimtab.bootstrap.evidence import EvidenceLoop, JudgedInStore
from trimtab.bootstrap.settings import EvidenceSettings, Settings
from trimtab.core.clock import SystemClock
from trimtab.core.errors import IntegrityError, StorageError
from trimtab.core.ids import new_id
from trimtab.events import Generation, encode_event
from trimtab.evidence.erasure_requests import fulfil_erasures, open_erasures, pending, removed_by, request_erasure
from trimtab.evidence.erasure_store import ErasureRequest
from trimtab.evidence.objects import LocalObjects, open_objects
from trimtab.evidence.state import Owed
from trimtab.evidence.writers import announce
from trimtab.serving.journal import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Place, Place]]:
    """Two machines that keep evidence in one bucket, each with calls of `ada` and of `bob`."""
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


def names(place: Place) -> list[str]:
    """Every file beside the data that names the user."""
    return [key for key in place.objects.keys("_erase") if b"ada" in place.objects.get(key)]


def test_each_machine_forgets_by_itself_and_then_the_request_is_forgotten(machines: tuple[Place, Place]) -> None:
    one, other = machines
    later = one.clock.now_ms() + 10
    one.clock.advance(5 / 1000)
    request = request_erasure(one.objects, "ada", now_ms=one.clock.now_ms())
    with one.compactor() as compactor:
        assert fulfil_erasures(compactor) == 1
        assert fulfil_erasures(compactor) == 0
        assert pending(one.objects, request) != [compactor.writer]
        mine = compactor.writer
    assert units(one) == ["ada", "bob", "bob"]
    assert names(one)
    other.generation(unit="ada", at_ms=later)  # what a user does afterwards is recorded again
    with other.compactor() as compactor:
        assert fulfil_erasures(compactor) == 1
    assert units(other) == ["ada", "bob", "bob"]
    assert names(one) == []
    assert (pending(one.objects, request), removed_by(one.objects, request, mine)) == ([], 1)
    other.clock.advance(2 * 86_400)
    with other.compactor() as compactor:
        assert fulfil_erasures(compactor) == 0
    assert list(one.objects.keys("_erase")) == []  # what was said of it is not listed for ever


def test_what_was_interrupted_is_begun_again(machines: tuple[Place, Place], monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = machines
    one.clock.advance(1)
    request = request_erasure(one.objects, "ada", now_ms=one.clock.now_ms())

    def cut(*_: object, **__: object) -> int:
        raise StorageError("write_failed", "the power went")

    with one.compactor() as compactor, monkeypatch.context() as patched:
        patched.setattr("trimtab.evidence.upkeep._erase_hour", cut)
        with pytest.raises(StorageError):
            fulfil_erasures(compactor)
        assert removed_by(one.objects, request, compactor.writer) is None
    with one.compactor() as compactor:
        assert fulfil_erasures(compactor) == 1


def test_a_request_that_cannot_be_read_is_told(machines: tuple[Place, Place]) -> None:
    one, _ = machines
    one.objects.put(f"{ErasureRequest('ada', 1).folder}/request.json", b"{")
    with one.compactor() as compactor, pytest.raises(IntegrityError, match="cannot be read"):
        fulfil_erasures(compactor)


def test_a_server_that_runs_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(directory=str(tmp_path), evidence=EvidenceSettings(retention_days=1e6))
    writer = JournalWriter(settings.data_directory.journals / "p")
    at_ms = SystemClock().now_ms() - 1000
    call = Generation(id=new_id("gen", at_ms), at_ms=at_ms, feature="f", environment="e", release="r", unit="ada")
    writer.append(encode_event(call), at_ms)
    writer.flush(5)
    loop = EvidenceLoop(settings, JudgedInStore(settings))
    loop.tick()
    objects = open_objects(settings.evidence_location)
    request = request_erasure(objects, "ada", now_ms=at_ms + 1)
    monkeypatch.setattr("trimtab.bootstrap.evidence._ERASE_SECONDS", 0.0)
    assert loop.tick() == ["evidence: 1 events of users who are to be forgotten removed"]
    assert loop.tick() == []
    assert pending(objects, request) == []
    assert open_erasures(objects) == []
    loop.close()
    writer.close()


def test_an_erasure_that_waits_for_too_long_is_told_once_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(directory=str(tmp_path))
    objects = open_objects(settings.evidence_location)
    announce(objects, "deadbeef", machine="lost", now_ms=1)
    now_ms = SystemClock().now_ms()
    request_erasure(objects, "ada", now_ms=now_ms - 25 * 3_600_000)
    monkeypatch.setattr("trimtab.bootstrap.evidence._UPKEEP_SECONDS", 0.0)
    loop = EvidenceLoop(settings, JudgedInStore(settings))
    told = loop.tick()
    assert told == ["evidence: an erasure has waited 25 hours for deadbeef (trimtab evidence erasures)"]
    assert loop.tick() == []
    assert loop.compacted is not None
    owed = loop.compacted.owed
    loop.close()
    assert (owed.count, owed.waits_for, owed.late(now_ms)) == (1, ["deadbeef"], True)
    check = _forgotten(owed, now_ms)
    assert (check.status, check.told) == (
        "warn",
        "1 to be forgotten, the oldest for 25 hours; not done by deadbeef",
    )
    assert _forgotten(Owed(), now_ms).status == "pass"
    waiting, age = (family.samples for family in _erasures(owed, now_ms))
    assert "1" in str(waiting)
    assert "90000" in str(age)
