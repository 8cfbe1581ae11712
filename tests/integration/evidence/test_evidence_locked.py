"""A query reads our tables: no file by its path, no setting, no variable, and it is told of no table behind ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trimtab.core.errors import InputError
from trimtab.evidence.questions import Filter, release_metrics, trends
from trimtab.evidence.upkeep import erase, merge

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
        "FROM '{file}'",
        "FROM '/etc/passwd'",
        "DESCRIBE '{file}'",
        "SHOW '{file}'",
        "SUMMARIZE '{file}'",
        "SELECT * FROM generations WHERE id IN (FROM '{file}')",
        "SELECT * FROM (WITH '{file}' AS (SELECT 1) SELECT 1), '{file}'",
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


@pytest.mark.parametrize(
    "query",
    [
        "FROM read_parquet('{cold}')",
        "FROM parquet_scan('{cold}')",
        "FROM parquet_metadata('{cold}')",
        "FROM '{cold}'",
        "FROM '{folder}/**/*.parquet'",
        "FROM glob('{folder}/**')",
    ],
)
def test_no_file_of_evidence_is_read_past_its_log(place: Place, tmp_path: Path, query: str) -> None:
    place.generation(unit="ada")
    place.compact()
    cold = next((tmp_path / "evidence/generations").rglob("*.parquet"))
    kept = cold.read_bytes()
    place.clock.advance(1)
    with place.compactor() as compactor:
        erase(compactor, "ada")
    cold.write_bytes(kept)  # killed after the commit that erases, and before the file is deleted
    reader = place.reader()
    assert reader.query("FROM generations").num_rows == 0
    with pytest.raises(InputError) as told:
        reader.query(query.format(cold=cold, folder=cold.parent))
    assert told.value.code == "no_files"
    reader.close()


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("SELECT current_setting('memory_limit')", "current_setting"),
        ("SELECT list_transform([1], x -> Current_Setting('threads')) FROM generations", "current_setting"),
        ("SELECT system.main.current_setting('threads')", "current_setting"),
        ("SELECT getvariable('x')", "getvariable"),
        ("SELECT write_log('x')", "write_log"),
        ("FROM duckdb_settings()", "duckdb_settings"),
        ("FROM duckdb_secrets()", "duckdb_secrets"),
        ("FROM pragma_database_size()", "pragma_database_size"),
        ("FROM query('FROM duckdb_settings()')", "query"),
        ("FROM query_table('generations')", "query_table"),
        ("FROM checkpoint()", "checkpoint"),
        ("FROM truncate_duckdb_logs()", "truncate_duckdb_logs"),
        ("FROM enable_logging()", "enable_logging"),
    ],
)
def test_no_setting_is_read_and_nothing_is_done(place: Place, query: str, named: str) -> None:
    reader = place.reader()
    with pytest.raises(InputError, match=f"`{named}`") as told:
        reader.query(query)
    assert told.value.code == "no_function"
    reader.close()


@pytest.mark.parametrize(
    "query",
    [
        "FROM duckdb_settings",
        "FROM information_schema.tables",
        "FROM pg_catalog.pg_settings",
        "FROM _no_generations",
        "SHOW TABLES",
        "SHOW DATABASES",
        "FROM (SHOW ALL TABLES)",
    ],
)
def test_no_table_of_duckdb_itself_is_read(place: Place, query: str) -> None:
    reader = place.reader()
    with pytest.raises(InputError) as told:
        reader.query(query)
    assert told.value.code == "unknown_table"
    assert "_no_" not in str(told.value.hint)
    reader.close()


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("FROM generations", 1),
        ("TABLE Generations", 1),
        ("WITH mine AS (FROM generations), n AS (SELECT count(*) AS n FROM mine) FROM mine, n", 1),
        ("WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t WHERE a < 3) FROM t", 3),
        ("FROM range(3)", 3),
        ("SELECT unnest(generate_series(1, 4))", 4),
        ("FROM generations AS g, unnest([1, 2])", 2),
        ("""FROM json_each('{"a": 1}')""", 1),
        ("FROM (PIVOT generations ON status IN ('ok') USING count(*) GROUP BY feature)", 1),
        ("SELECT a.id FROM generations AS a JOIN generations AS b USING (id)", 1),
        ("SELECT id, row_number() OVER () FROM generations QUALIFY row_number() OVER () = 1", 1),
        ("VALUES (1), (2)", 2),
    ],
)
def test_all_of_sql_is_there(place: Place, query: str, count: int) -> None:
    place.generation()
    place.writer.flush(10)
    reader = place.reader()
    assert reader.query(query).num_rows == count
    reader.close()


def test_a_query_too_deep_to_be_looked_at_is_not_asked(place: Place) -> None:
    reader = place.reader()
    with pytest.raises(InputError) as told:
        reader.query(f"SELECT {'(' * 600}1{'+1)' * 600}")
    assert told.value.code == "invalid_query"
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
