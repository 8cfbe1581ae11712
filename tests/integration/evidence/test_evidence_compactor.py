"""Journals become Parquet: nothing lost, nothing twice, whatever fails and whenever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.dataset as pads
import pytest

from trimtab.core.errors import ConflictError, StorageError
from trimtab.evidence.compactor import Compactor
from trimtab.evidence.log import EvidenceLog
from trimtab.evidence.objects import LocalObjects
from trimtab.evidence.upkeep import erase, merge, retain

if TYPE_CHECKING:
    Place = Any  # the fixture's class lives in conftest

HOUR_SECONDS = 3600


class Failing(LocalObjects):
    """A store whose every `put` and `delete` counts, and one of which fails: before it acts, or after."""

    def __init__(self, folder: Path, *, at: int, after: bool) -> None:
        super().__init__(folder)
        self.calls = 0
        self._at = at
        self._after = after

    def _count(self) -> bool:
        self.calls += 1
        return self.calls == self._at

    def put(self, key: str, data: bytes | memoryview) -> None:
        fails = self._count()
        if not fails or self._after:
            super().put(key, data)
        if fails:
            raise StorageError("write_failed", "the power went")

    def delete(self, key: str) -> None:
        fails = self._count()
        if not fails or self._after:
            super().delete(key)
        if fails:
            raise StorageError("delete_failed", "the power went")


def test_what_is_in_journals_is_in_files_once_and_seen_all_along(place: Place) -> None:
    expected = sorted(place.generation().id for _ in range(50))
    assert place.ids() == expected
    place.compact()
    assert place.ids() == expected
    expected = sorted([*expected, place.generation().id])
    assert place.ids() == expected
    place.compact()
    assert place.ids() == expected
    assert len(place.files()) == 2


def test_files_lie_where_other_engines_look_for_them(place: Place) -> None:
    generation = place.generation(messages=[{"role": "user", "content": "hi"}])
    place.compact()
    table = pads.dataset(f"{place.objects.root}/generations", partitioning="hive", format="parquet").to_table()
    (row,) = table.to_pylist()
    assert row["id"] == generation.id
    assert row["messages"] == '[{"role":"user","content":"hi"}]'
    assert (row["date"], row["hour"]) == ("2025-10-09", 8)
    assert table.schema.metadata[b"trimtab.schema"] == b"1"


def test_only_one_process_compacts_a_data_directory(place: Place) -> None:
    with place.compactor(), pytest.raises(ConflictError, match="another process compacts"), place.compactor():
        pass


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 30))
def test_a_failure_at_any_write_loses_and_doubles_nothing(place: Place, at: int, *, after: bool) -> None:
    whole = place.objects
    generations = []
    for round_ in range(4):
        for _ in range(3):
            generations.append(place.generation(unit=f"user-{round_}"))
            place.clock.advance(HOUR_SECONDS / 2)
        place.feedback(generations[-1], 1.0)
        place.writer.flush(10)
        store = Failing(Path(whole.root), at=at - round_ * 7, after=after)
        try:
            with Compactor.open(store, place.directory, place.clock) as compactor:
                compactor.run()
                merge(compactor)
        except StorageError:
            pass
        assert place.ids() == sorted(one.id for one in generations)
    place.clock.advance(3 * HOUR_SECONDS)
    with place.compactor() as compactor:
        compactor.run()
        merge(compactor)
        live = sorted(compactor.state.files)
    assert place.ids() == sorted(one.id for one in generations)
    assert len(place.ids("feedback")) == 4
    there = sorted(key for kind in ("generations", "feedback") for key in place.objects.keys(kind))
    assert there == live, "files that no log names are left behind"


KILLED = """
import sys
from pathlib import Path
from trimtab.core.clock import SystemClock
from trimtab.evidence.compactor import Compactor
from trimtab.evidence.objects import LocalObjects
from trimtab.evidence.upkeep import merge
from trimtab.serving.directory import DataDirectory

root = Path(sys.argv[1])
with Compactor.open(LocalObjects(root / "evidence"), DataDirectory(root), SystemClock()) as compactor:
    print("up", flush=True)
    while True:
        compactor.run()
        merge(compactor)
"""


def test_kill_9_of_the_compactor_again_and_again(place: Place) -> None:
    expected = []
    for turn in range(8):
        command = [sys.executable, "-c", KILLED, str(place.directory.root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "up\n"
            end = time.monotonic() + 0.05 + 0.03 * turn
            while time.monotonic() < end:
                expected += [place.generation(output="x" * 2000).id for _ in range(20)]
                place.writer.flush(10)
            os.kill(child.pid, signal.SIGKILL)
    place.compact()
    assert place.ids() == sorted(expected)


def test_small_files_are_merged_and_an_hour_that_is_over_becomes_one(place: Place) -> None:
    for _ in range(11):
        place.generation()
        place.compact()
    with place.compactor() as compactor:
        assert merge(compactor) == 0, "few files are not worth writing again"
    place.generation()
    place.compact()
    with place.compactor() as compactor:
        assert merge(compactor) == 11
    place.generation()
    place.compact()
    with place.compactor() as compactor:
        assert merge(compactor) == 0
        place.clock.advance(2 * HOUR_SECONDS)
        assert merge(compactor) == 1
    assert len(place.files()) == 1
    assert len(place.ids()) == 13


def test_retention_removes_whole_hours(place: Place) -> None:
    old = place.generation()
    place.clock.advance(5 * HOUR_SECONDS)
    young = place.generation()
    place.compact()
    with place.compactor() as compactor:
        assert retain(compactor, older_than_ms=place.clock.now_ms() - HOUR_SECONDS * 1000) == 1
    assert place.ids() == [young.id]
    assert old.id not in str(place.files())
    assert len(place.files()) == 1


def test_erasure_really_removes_a_user_and_what_was_said_about_them(place: Place) -> None:
    theirs = [place.generation(unit="ann", output="ann's secret") for _ in range(3)]
    mine = place.generation(unit="bob", output="bob's business")
    place.feedback(theirs[0], 0.0, comment="ann's secret too")
    place.feedback(mine, 1.0, unit="bob")
    place.compact()
    theirs.append(place.generation(unit="ann", output="ann's secret, still in a journal"))
    place.writer.flush(10)
    with place.compactor() as compactor:
        place.clock.advance(1)
        assert erase(compactor, "ann") == 5, "four calls, and what was said about one"
    assert place.ids() == [mine.id]
    assert len(place.ids("feedback")) == 1
    reader = place.reader()
    assert reader.query("SELECT count(*) AS n FROM generations WHERE output LIKE '%secret%'").to_pylist() == [{"n": 0}]
    reader.close()
    place.clock.advance(60)
    again = place.generation(unit="ann")
    place.compact()
    assert again.id in place.ids(), "what a user does after they were forgotten is recorded again"


def test_the_log_is_folded_and_reads_the_same(place: Place) -> None:
    expected = []
    for _ in range(70):
        expected.append(place.generation().id)
        place.compact()
    with place.compactor() as compactor:
        log = EvidenceLog(place.objects, compactor.writer)
        assert len(list(place.objects.keys("_log"))) < 10
        assert log.read() == compactor.state
    assert place.ids() == sorted(expected)
