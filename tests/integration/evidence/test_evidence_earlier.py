"""Evidence that an earlier version wrote is read, added to and merged by this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from trimtab.evidence.questions import Filter, extract, release_metrics, trace, trends
from trimtab.evidence.upkeep import merge

if TYPE_CHECKING:
    Place = Any  # the fixture's class lives in conftest

EVER = (0, 1 << 45)
LATER_COLUMNS = ["attempts", "fallback", "attributes", "content_dropped"]
LATER_FIELDS = ("first_id", "last_id", "columns", "summary")


def make_earlier(place: Place) -> None:
    """Take from files and log what earlier versions did not write."""
    root = Path(place.objects.root)
    for path in root.glob("generations/**/*.parquet"):
        table = pq.read_table(path, partitioning=None)
        pq.write_table(table.drop_columns(LATER_COLUMNS), path, compression="zstd", row_group_size=10)
    for path in root.glob("_log/*/*.commit.json"):
        content = json.loads(path.read_text())
        for file in content["add"]:
            for field in LATER_FIELDS:
                del file[field]
        path.write_text(json.dumps(content))


def test_files_and_log_of_an_earlier_version(place: Place) -> None:
    calls = [place.generation(unit=f"user-{number}") for number in range(30)]
    said = place.feedback(calls[3], 1.0)
    place.compact()
    make_earlier(place)
    calls += [place.generation(attempts=2) for _ in range(3)]
    place.record(calls[0])  # a second time: it is in a file already
    place.compact()
    calls.append(place.generation(attempts=3))
    place.writer.flush(10)

    def check() -> None:
        reader = place.reader()
        try:
            (found,) = release_metrics(reader, Filter(span=EVER))
            assert (found.requests, found.feedback["thumbs"].generations) == (34, 1)
            assert sum(point.requests for point in trends(reader, Filter(span=EVER))) == 34
            assert sorted(extract(reader, Filter(span=EVER)), key=lambda call: call.id) == sorted(
                calls, key=lambda call: call.id
            )
            assert trace(reader, calls[3].id) == [calls[3], said]
            assert len(reader.query("SELECT attempts FROM generations")) == 34
        finally:
            reader.close()

    check()
    place.clock.advance(3 * 3600)
    place.compact()
    with place.compactor() as compactor:
        merge(compactor)
    assert len(place.files()) == 1
    check()
