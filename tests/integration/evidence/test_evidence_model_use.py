"""What recorded calls say of one model, from journals and from files."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.core.ids import new_id
from trimtab.events import Feedback, Score
from trimtab.evidence.model_use import EvidenceCalls
from trimtab.migration.traffic import JudgedAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.events import Generation
    from trimtab.evidence.reader import EvidenceReader

    Place = Any  # the fixture's class lives in conftest

OLD, NEW = "gpt-4", "gpt-5"
ALWAYS = (0, 1 << 45)


@contextmanager
def reading(place: Place) -> Iterator[EvidenceReader]:
    place.writer.flush(10)
    reader = place.reader()
    yield reader
    reader.close()


def call(place: Place, number: int, **fields: Any) -> Generation:
    given: dict[str, Any] = {
        "provider": "openai",
        "requested_model": OLD,
        "served_model": "gpt-4-0613",
        "process": "gw-1",
        "team": "web",
        "input_tokens": 10 * (number + 1),
        "output_tokens": 5,
        "cost_usd": 0.25,
        "messages": [{"role": "user", "content": f"question {number}"}],
    }
    event: Generation = place.generation(**(given | fields))
    return event


@pytest.fixture(params=["journal", "files", "both"])
def place(request: pytest.FixtureRequest, place: Place) -> Place:
    """Calls of two models, half of them moved into files where the parameter says so."""
    for number in range(4):
        call(place, number, unit=f"user-{number}")
    call(place, 4, status="error", error_code="rate_limited", team="", process="job-1")
    if request.param == "both":
        place.compact()
    call(place, 5, requested_model=NEW, release="sha256:2")
    call(place, 6, arm="shadow")
    call(place, 7, messages=[], output="")
    call(place, 8, fallback=1)
    if request.param == "files":
        place.compact()
    return place


def test_calls_are_summed_by_who_made_them(place: Place) -> None:
    with reading(place) as reader:
        rows = EvidenceCalls(reader).traffic("production", "openai", OLD, ALWAYS)
        assert EvidenceCalls(reader).traffic("staging", "openai", OLD, ALWAYS) == []
        assert EvidenceCalls(reader).traffic("production", "anthropic", OLD, ALWAYS) == []
        assert EvidenceCalls(reader).traffic("production", "openai", OLD, (0, 1)) == []
    by_key = {(row.team, row.process, row.arm): row for row in rows}
    web = by_key["web", "gw-1", "stable"]
    assert (web.calls, web.errors, web.largest_input_tokens, web.cost_usd) == (6, 0, 90, 1.5)
    assert by_key["web", "gw-1", "shadow"].calls == 1
    assert (by_key["", "job-1", "stable"].calls, by_key["", "job-1", "stable"].errors) == (1, 1)
    assert web.served_model == "gpt-4-0613"
    assert web.last_ms == place.clock.now_ms()


def test_what_can_be_asked_again_are_whole_answers_of_the_release_itself_with_their_text(place: Place) -> None:
    with reading(place) as reader:
        calls = EvidenceCalls(reader)
        found = list(calls.calls("production", "sha256:1", ALWAYS, limit=100))
        again = list(calls.calls("production", "sha256:1", ALWAYS, limit=100))
        fewer = list(calls.calls("production", "sha256:1", ALWAYS, limit=2))
    assert sorted(one.messages[0]["content"] for one in found) == [f"question {number}" for number in range(4)]
    assert [one.id for one in found] == [one.id for one in again]
    assert [one.id for one in fewer] == [one.id for one in found[:2]]


def test_judges_and_people_are_paired_by_answer(place: Place) -> None:
    judged, unjudged = place.recorded[0], place.recorded[1]
    for event, name, value, source in (
        (judged, "helpful", 0.9, "judge:gpt-4"),
        (judged, "helpful", 0.7, "judge:gpt-4"),
        (unjudged, "helpful", 0.5, "judge:gpt-4"),
    ):
        place.clock.advance(1)
        now_ms = place.clock.now_ms()
        place.record(
            Score(
                id=new_id("sc", now_ms),
                at_ms=now_ms,
                feature=event.feature,
                environment=event.environment,
                generation=event.id,
                name=name,
                value=value,
                source=source,
            )
        )
    place.clock.advance(1)
    now_ms = place.clock.now_ms()
    place.record(
        Feedback(
            id=new_id("fb", now_ms),
            at_ms=now_ms,
            feature=judged.feature,
            environment=judged.environment,
            generation=judged.id,
            name="label",
            value=1.0,
        )
    )
    with reading(place) as reader:
        found = EvidenceCalls(reader).judged("support-reply", OLD, ("helpful", "label"), ALWAYS)
        assert EvidenceCalls(reader).judged("support-reply", NEW, ("helpful", "label"), ALWAYS) == []
    assert found == [JudgedAnswer(generation=judged.id, judge="judge:gpt-4", score=0.7, label=1.0)]
