"""A query reads what was recorded: no other file, no setting, no variable, and it is told of no table behind ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trimtab.core.errors import InputError
from trimtab.evidence.questions import Filter, release_metrics, trends
from trimtab.evidence.upkeep import merge

if TYPE_CHECKING:
    from pathlib import Path

    Place = Any  # the fixture's class lives in conftest

EVER = (0, 1 << 45)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('{file}')",
        "FROM read_csv('{file}')",
        "FROM read_blob('{folder}/evidence/generations/../../secret.txt')",
        "FROM glob('{folder}/*')",
        "SELECT count(*) FROM read_parquet('https://example.org/a.parquet')",
        "SELECT (SELECT content FROM read_text('{file}')) FROM generations",
    ],
)
def test_no_other_file_is_read(place: Place, tmp_path: Path, query: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("open sesame")
    place.generation()
    place.compact()
    reader = place.reader()
    with pytest.raises(InputError, match="reads what was recorded, and no other file") as told:
        reader.query(query.format(file=secret, folder=tmp_path))
    assert told.value.code == "no_files"
    reader.close()


def test_no_file_is_a_table_by_its_name(place: Place, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    reader = place.reader()
    with pytest.raises(InputError, match="no other file"):
        reader.query(f"SELECT * FROM '{secret}'")
    reader.close()


@pytest.mark.parametrize("name", ["snapshot", "parameters", "hot", "table"])
def test_no_variable_of_this_process_is_a_table(place: Place, name: str) -> None:
    reader = place.reader()
    with pytest.raises(InputError, match=r"there is no table|cannot be answered"):
        reader.query(f'SELECT * FROM "{name}"')
    reader.close()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("exposure", "did you mean `exposures`?"),
        ("Generation", "did you mean `generations`?"),
        ("hot_generations", "did you mean `generations`?"),
        ("no_exposures", "did you mean `exposures`?"),
        ("prompts", "ask generations, exposures, scores, feedback and withdrawals"),
    ],
)
def test_an_unknown_table_is_told_beside_ours_alone(place: Place, name: str, hint: str) -> None:
    place.generation()
    place.compact()
    reader = place.reader()
    with pytest.raises(InputError) as told:
        reader.query(f"SELECT * FROM {name}")
    assert (told.value.code, told.value.message, told.value.hint) == (
        "unknown_table",
        f"there is no table `{name}`",
        hint,
    )
    reader.close()


def test_an_unknown_column_and_function_are_told_with_their_likes(place: Place) -> None:
    place.generation()
    reader = place.reader()
    with pytest.raises(InputError, match='"unit"') as told:
        reader.query("SELECT untis FROM generations")
    assert "DESCRIBE generations" in str(told.value.hint)
    with pytest.raises(InputError, match="Function with name counts does not exist"):
        reader.query("SELECT counts(1)")
    reader.close()


def test_everything_that_was_recorded_is_read_all_the_same(place: Place) -> None:
    for hours in range(3):
        call = place.generation(unit=f"user-{hours}")
        place.feedback(call, 1.0)
        place.compact()
        place.clock.advance(2 * 3600)
        with place.compactor() as compactor:
            merge(compactor)
    place.generation(unit="hot")
    place.writer.flush(10)  # while it moves, whoever reads may miss it
    reader = place.reader()
    assert reader.query(
        "SELECT count(*) AS n FROM generations JOIN feedback ON generation = generations.id"
    ).to_pylist() == [{"n": 3}]
    assert {row["column_name"] for row in reader.query("DESCRIBE generations").to_pylist()} >= {"id", "unit", "release"}
    assert sum(one.requests for one in release_metrics(reader, Filter(span=EVER))) == 4
    assert sum(one.requests for one in trends(reader, Filter(span=EVER))) == 4
    reader.close()
