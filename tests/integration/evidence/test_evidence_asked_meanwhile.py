"""Questions from several threads while journals are moved, files merged and users erased beneath them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.evidence import reader as reader_module
from trimtab.evidence.questions import Filter, extract, release_metrics, trace, trends
from trimtab.evidence.upkeep import erase, merge

if TYPE_CHECKING:
    from trimtab.evidence.reader import EvidenceReader

    Place = Any  # the fixture's class lives in conftest

EVER = Filter(span=(0, 1 << 45))
_FEW = 120


@pytest.mark.parametrize("forgets", [False, True], ids=["remembers", "begins anew"])
def test_every_answer_is_whole_whatever_goes_on_beneath(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, forgets: bool
) -> None:
    if forgets:  # as after a long time: what is remembered is too much, again and again
        monkeypatch.setattr(reader_module, "_LOOK_EVERY", 1)
        monkeypatch.setattr(reader_module, "_CACHED_BYTES", -1)
    first = place.generation(unit="ann", output="kept")
    for number in range(_FEW - 1):
        place.generation(unit="ann" if number % 2 else "bob")
    place.writer.flush(10)
    over = threading.Event()

    def ask(reader: EvidenceReader) -> int:
        asked = 0
        while not over.is_set() or not asked:
            (found,) = release_metrics(reader, EVER)
            assert found.requests == _FEW
            assert sum(point.requests for point in trends(reader, EVER)) == _FEW
            assert len({call.id for call in extract(reader, EVER)}) == _FEW
            assert trace(reader, first.id) == [first]
            asked += 1
        return asked

    reader = place.reader()
    try:
        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(ask, reader) for _ in range(3)]
            try:
                place.compact()
                with place.compactor() as compactor:
                    for _ in range(6):
                        erase(compactor, "of nobody")
                        place.clock.advance(1800)
                        merge(compactor)
            finally:
                over.set()
            assert all(one.result(60) for one in asking)
    finally:
        reader.close()
    assert place.files()[0].endswith("-9.parquet")
