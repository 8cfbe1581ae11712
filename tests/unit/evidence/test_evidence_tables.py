"""Events become rows and come back as they were, whatever they hold; rows of earlier versions still open."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import IntegrityError
from trimtab.core.ids import new_id
from trimtab.events import Event, Exposure, Feedback, Generation, Score, Withdrawal
from trimtab.evidence.layout import partition_at, partition_of
from trimtab.evidence.parquet import ParquetBuffer
from trimtab.evidence.rows import event_from_row
from trimtab.evidence.tables import KINDS, kind_of, table_of

HOUR_MS = 3_600_000
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MOMENTS = st.integers(0, 4_000_000_000_000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.lists(st.dictionaries(TEXT, JSON, max_size=3), max_size=3)


@st.composite
def generations(draw: st.DrawFn) -> Generation:
    return Generation(
        id=draw(TEXT),
        at_ms=draw(MOMENTS),
        feature="f",
        environment="e",
        release=draw(TEXT),
        status=draw(st.sampled_from(["ok", "error", "aborted"])),
        arm=draw(st.sampled_from(["stable", "candidate", "matched_control", "shadow"])),
        latency_ms=draw(st.floats(0, 1e9)),
        output_tokens=draw(st.integers(0, 2**40)),
        stream=draw(st.booleans()),
        variables=draw(st.dictionaries(TEXT, JSON, max_size=3)),
        messages=draw(OBJECTS),
        tool_calls=draw(OBJECTS),
        output=draw(TEXT),
        unit=draw(TEXT),
    )


@given(st.lists(generations(), max_size=5))
def test_generations_come_back_from_parquet_as_they_were(events: list[Generation]) -> None:
    buffer = ParquetBuffer("generations")
    buffer.write(table_of("generations", events))
    rows = pq.read_table(pa.BufferReader(buffer.finish())).to_pylist()
    assert [event_from_row("generations", row) for row in rows] == events


@pytest.mark.parametrize(
    "event",
    [
        Exposure(id="x", at_ms=1, feature="f", environment="e", release="r"),
        Score(id="x", at_ms=2, feature="f", environment="e", generation="g", name="n", value=0.5, source="judge:m"),
        Feedback(id="x", at_ms=3, feature="f", environment="e", generation="g", name="n", value=1.0, comment="ah"),
        Withdrawal(id="x", at_ms=4, feature="f", environment="e", rollout="ro", reason="it fails"),
    ],
)
def test_every_kind_of_event_has_a_table(event: Event) -> None:
    kind = kind_of(event)
    (row,) = table_of(kind, [event]).to_pylist()
    assert event_from_row(kind, row) == event


def test_every_event_type_is_a_table() -> None:
    assert set(KINDS.values()) == set(Event.__args__)


def test_a_row_that_lacks_later_columns_is_the_event_with_their_defaults() -> None:
    event = Generation(id="g", at_ms=5, feature="f", environment="e", release="r", attempts=1)
    (row,) = table_of("generations", [event]).drop_columns(["attempts", "fallback", "team"]).to_pylist()
    assert event_from_row("generations", row) == event


def test_a_row_that_is_no_event_is_told() -> None:
    row: dict[str, Any] = {"id": "g", "began_at": None}
    with pytest.raises(IntegrityError, match="a row of generations is no event"):
        event_from_row("generations", row)


@given(MOMENTS, st.integers(-(2**50), 2**50))
def test_a_moment_lies_in_exactly_one_hour(at_ms: int, shift: int) -> None:
    partition = partition_at("generations", at_ms)
    assert partition.hour_ms <= at_ms < partition.end_ms
    assert partition.hour_ms % HOUR_MS == 0
    moved = partition_at("generations", at_ms + shift)
    assert moved.path.startswith("generations/date=")


def test_late_feedback_lies_with_its_generation() -> None:
    asked_ms = 1_790_000_000_000
    generation = new_id("gen", asked_ms)
    late = Feedback(
        id="x",
        at_ms=asked_ms + 9 * 24 * HOUR_MS,
        feature="f",
        environment="e",
        generation=generation,
        name="n",
        value=1,
    )
    assert partition_of("feedback", late).hour_ms == partition_at("feedback", asked_ms).hour_ms


def test_a_made_up_id_does_not_open_an_hour_of_its_own() -> None:
    said_ms = 1_790_000_000_000
    feedback = Feedback(
        id="x", at_ms=said_ms, feature="f", environment="e", generation=new_id("gen", 5), name="n", value=1.0
    )
    assert partition_of("feedback", feedback) == partition_at("feedback", said_ms)
