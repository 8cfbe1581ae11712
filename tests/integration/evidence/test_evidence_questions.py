"""Questions that people ask: the same answer whether what they ask about is in journals, in files, or in both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from trimtab.core.errors import InputError
from trimtab.core.ids import new_id
from trimtab.evidence.questions import Filter, SignalMean, extract, failing, release_metrics, trace, trends

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.events import Generation
    from trimtab.evidence.reader import EvidenceReader

    Place = Any  # the fixture's class lives in conftest

HOUR_MS = 3_600_000
EVER = (0, 1 << 45)


class Asked:
    """Two releases over three hours; the second errs in half of its calls, and people like it less."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.calls: list[Generation] = []
        for number in range(30):
            release = 1 + number % 2
            self.calls.append(
                place.generation(
                    release=f"sha256:{release}",
                    release_number=release,
                    arm="candidate" if release == 2 else "matched_control",
                    unit=f"user-{number % 5}",
                    status="error" if number % 4 == 3 else "ok",
                    error_code="upstream_500" if number % 4 == 3 else "",
                    latency_ms=100.0 * release,
                    cost_usd=0.01,
                    output_tokens=10,
                    messages=[{"role": "user", "content": f"question {number}"}],
                )
            )
            place.clock.advance(300)
            if number == 15:
                place.compact()
        place.clock.advance(2 * 86_400)
        place.feedback(self.calls[0], 1.0)
        place.feedback(self.calls[2], 0.0)
        place.clock.advance(1)
        place.feedback(self.calls[2], 1.0)  # they think again
        place.feedback(self.calls[1], 0.0, comment="no")
        place.writer.flush(10)
        self.reader: EvidenceReader = place.reader()


@pytest.fixture(params=["journals and files", "files"])
def asked(place: Place, request: pytest.FixtureRequest) -> Iterator[Asked]:
    one = Asked(place)
    if request.param == "files":
        place.compact()
    yield one
    one.reader.close()


def test_metrics_of_releases_with_feedback_however_late(asked: Asked) -> None:
    candidate, stable = release_metrics(asked.reader, Filter(feature="support-reply", span=EVER))
    assert (stable.release, stable.arm, stable.requests, stable.error_rate) == (
        "support-reply#1",
        "matched_control",
        15,
        0.0,
    )
    assert (candidate.release, candidate.requests) == ("support-reply#2", 15)
    assert candidate.error_rate == pytest.approx(7 / 15)
    assert (stable.latency_p95_ms, candidate.latency_p50_ms) == (100.0, 200.0)
    assert candidate.cost_usd == pytest.approx(0.15)
    assert stable.feedback == {"thumbs": SignalMean(1.0, 2)}
    assert candidate.feedback == {"thumbs": SignalMean(0.0, 1)}


def test_a_filter_narrows_and_a_span_ends(asked: Asked) -> None:
    began_ms = asked.calls[0].at_ms
    which = Filter(span=(began_ms, began_ms + HOUR_MS), unit="user-0", release_number=1)
    (found,) = release_metrics(asked.reader, which)
    assert found.requests == 2
    assert release_metrics(asked.reader, Filter(span=EVER, feature="of-nobody")) == []


def test_trends_by_hour(asked: Asked) -> None:
    points = trends(asked.reader, Filter(span=EVER), bucket="hour")
    assert sum(point.requests for point in points) == 30
    assert [point.at_ms % HOUR_MS for point in points] == [0] * len(points)
    assert points == sorted(points, key=lambda point: (point.at_ms, point.release))


def test_one_trace_with_all_that_was_said_about_it(asked: Asked) -> None:
    call = asked.calls[2]
    first, *said = trace(asked.reader, call.id)
    assert first == call
    assert [one.value for one in said if hasattr(one, "value")] == [0.0, 1.0]
    assert trace(asked.reader, new_id("gen", call.at_ms)) == []


def test_failing_samples_have_their_text(asked: Asked) -> None:
    found = failing(asked.reader, Filter(span=EVER), limit=3)
    failed = [call for call in asked.calls if call.status == "error"]
    assert [one.generation for one in found] == failed[::-1][:3]
    assert {one.why for one in found} == {"error upstream_500"}
    (disliked,) = failing(asked.reader, Filter(span=EVER), by="thumbs")
    assert disliked.generation == asked.calls[1]
    assert disliked.why == "thumbs 0.0"


def test_a_dataset_is_extracted_in_order(asked: Asked) -> None:
    found = list(extract(asked.reader, Filter(span=EVER, status="ok")))
    assert found == [call for call in asked.calls if call.status == "ok"]
    assert list(extract(asked.reader, Filter(span=EVER), limit=4)) == asked.calls[:4]


def test_wrong_questions_are_refused(asked: Asked) -> None:
    with pytest.raises(InputError, match="cannot be answered"):
        asked.reader.query("SELECT nothing FROM generations")
    with pytest.raises(InputError, match="not one SELECT"):
        asked.reader.query("DROP VIEW generations; SELECT 1")
    with pytest.raises(InputError, match="limit of 0"):
        failing(asked.reader, Filter(span=EVER), limit=0)
    with pytest.raises(InputError, match="is not a Trimtab id"):
        trace(asked.reader, "gen_1")


def test_a_quote_in_a_filter_is_a_quote(asked: Asked) -> None:
    assert release_metrics(asked.reader, Filter(span=EVER, unit="x' OR '1'='1")) == []


def test_polars_reads_the_same_files(asked: Asked) -> None:
    asked.place.compact()
    frame = pl.scan_parquet(f"{asked.place.objects.root}/generations/**/*.parquet", hive_partitioning=True)
    found = frame.group_by("release_number").agg(pl.len()).sort("release_number").collect()
    assert found.rows() == [(1, 15), (2, 15)]
