"""Which generations are shown beside a verdict."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.analysis.model import MetricSpec
from trimtab.control.excerpts import ends_with, input_of, output_of, starts_with
from trimtab.control.shortlist import MOST_EXAMPLES, Shortlist
from trimtab.events import Generation

NOW_MS = 1_760_000_000_000
SCHEMA = MetricSpec(name="format")
LATENCY = MetricSpec(name="latency")
_numbers = itertools.count()


def generation(arm: str, unit: str, value: float, *, asked: str = "", mirrors: str = "", **more: object) -> Generation:
    number = next(_numbers)
    facts: dict[str, object] = {
        "id": f"gen_{number}",
        "at_ms": NOW_MS - number,
        "feature": "f",
        "environment": "e",
        "release": "sha256:0",
        "arm": arm,
        "unit": unit,
        "latency_ms": value,
        "messages": [{"role": "user", "content": asked}] if asked else [],
        "mirrors": mirrors,
    }
    return Generation(**(facts | more))  # type: ignore[arg-type]


def shortlist(spec: MetricSpec = LATENCY, *, phase: str = "live", most: int = 20_000) -> Shortlist:
    return Shortlist(spec, lambda one: one.latency_ms, phase=phase, most=most)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.sampled_from("abcdefghijklmnopqrst"), st.integers(0, 50)), max_size=80))
def test_the_worst_of_each_unit_come_first_worst_first_and_never_more_than_ten(calls: list[tuple[str, int]]) -> None:
    taken = shortlist()
    for unit, value in calls:
        taken.take(generation("candidate", unit, float(value)))
    pairs = taken.choose()
    shown = [pair.candidate for pair in pairs if pair.candidate]
    worst = {unit: max(value for other, value in calls if other == unit) for unit, _ in calls}
    assert len(shown) == min(len(calls), MOST_EXAMPLES)
    expected = sorted(worst.values(), reverse=True)[:MOST_EXAMPLES]
    assert [example.value for example in shown[: len(expected)]] == expected
    assert len({example.unit for example in shown}) == min(len(worst), MOST_EXAMPLES)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60))
def test_no_generation_is_shown_twice_and_sides_are_not_mixed_up(calls: list[tuple[bool, int]]) -> None:
    taken = shortlist()
    for candidate, topic in calls:
        asked = f"where is order {topic}"
        taken.take(generation("candidate" if candidate else "matched_control", f"u{topic}", 1.0, asked=asked))
    pairs = taken.choose()
    ids = [one.id for pair in pairs for one in (pair.candidate, pair.control) if one]
    assert len(ids) == len(set(ids))
    assert {pair.candidate.arm for pair in pairs if pair.candidate} <= {"candidate"}
    assert {pair.control.arm for pair in pairs if pair.control} <= {"matched_control"}
    assert len([pair for pair in pairs if pair.candidate]) == min(10, sum(candidate for candidate, _ in calls))


def test_the_control_with_the_same_input_stands_beside_then_a_similar_one_then_a_recent_one() -> None:
    taken = shortlist()
    taken.take(generation("matched_control", "r", 1.0, asked="what are your opening hours on sunday"))
    taken.take(generation("matched_control", "s", 1.0, asked="where is my order 7 please tell me now"))
    taken.take(generation("matched_control", "x", 1.0, asked="can I return shoes"))
    taken.take(generation("candidate", "a", 9.0, asked="can I return shoes"))
    taken.take(generation("candidate", "b", 8.0, asked="where is my order 9 please tell me now"))
    taken.take(generation("candidate", "c", 7.0, asked="do you sell gift cards"))
    beside = [(pair.control.unit, pair.control.match) for pair in taken.choose() if pair.control]
    assert beside == [("x", "same input"), ("s", "similar input"), ("r", "recent")]


def test_the_same_variables_are_needed_for_the_same_input() -> None:
    taken = shortlist()
    taken.take(generation("matched_control", "x", 1.0, asked="return shoes", variables={"shop": "Other"}))
    taken.take(generation("matched_control", "y", 1.0, asked="return shoes", variables={"shop": "Acme"}))
    taken.take(generation("candidate", "a", 9.0, asked="return shoes", variables={"shop": "Acme"}))
    (pair,) = taken.choose()
    assert pair.control is not None
    assert (pair.control.unit, pair.control.match) == ("y", "same input")


def test_in_shadow_the_request_that_was_mirrored_stands_beside_however_late_it_is_found() -> None:
    taken = shortlist(phase="shadow")
    shadow = generation("shadow", "a", 9.0, mirrors="gen_user")
    taken.take(shadow)
    for _ in range(3_000):
        taken.take(generation("matched_control", "x", 1.0))
    taken.take(generation("matched_control", "a", 2.0, id="gen_user"))
    (pair,) = taken.choose()
    assert pair.candidate is not None
    assert pair.control is not None
    assert (pair.candidate.id, pair.control.id, pair.control.match) == (shadow.id, "gen_user", "same request")


def test_the_search_ends_once_nothing_worse_can_come_and_controls_are_at_hand() -> None:
    taken = shortlist(SCHEMA)
    for index in range(9):
        taken.take(generation("candidate", f"u{index}", 0.0))
    for index in range(600):
        taken.take(generation("matched_control", f"c{index}", 1.0))
    taken.take(generation("candidate", "u8", 0.0))
    assert not taken.enough  # nine units
    taken.take(generation("candidate", "u9", 0.0))
    assert taken.enough


def test_the_search_ends_at_its_limit() -> None:
    taken = shortlist(most=50)
    for index in range(50):
        assert not taken.enough
        taken.take(generation("candidate", f"u{index}", 1.0))
    assert (taken.enough, taken.exhausted, taken.looked_at) == (True, True, 50)


def test_one_delivered_twice_counts_once_and_what_the_caller_broke_off_not_at_all() -> None:
    taken = shortlist()
    event = generation("candidate", "a", 1.0)
    for one in (event, event, generation("candidate", "b", 9.0, status="aborted")):
        taken.take(one)
    assert [pair.candidate.unit for pair in taken.choose() if pair.candidate] == ["a"]
    assert taken.looked_at == 1


def test_without_a_candidate_the_newest_controls_are_shown() -> None:
    taken = shortlist()
    for index in range(20):
        taken.take(generation("matched_control", f"u{index}", 1.0))
    pairs = taken.choose()
    assert [pair.candidate for pair in pairs] == [None] * 10
    assert [pair.control.unit for pair in pairs if pair.control] == [f"u{index}" for index in range(10)]


@pytest.mark.parametrize(
    ("value", "spec", "shown"),
    [
        (0.0, SCHEMA, "bad"),
        (1.0, SCHEMA, "good"),
        (1240.4, LATENCY, "1,240 ms"),
        (0.7, SCHEMA, "0.7"),
    ],
)
def test_a_measurement_is_told_in_words(value: float, spec: MetricSpec, shown: str) -> None:
    taken = shortlist(spec)
    taken.take(generation("candidate", "a", value))
    (pair,) = taken.choose()
    assert pair.candidate is not None
    assert pair.candidate.measured == shown


@given(st.text(max_size=300), st.integers(10, 100))
def test_excerpts_fit_and_are_the_text_itself_where_it_fits(text: str, most: int) -> None:
    for cut in (ends_with(text, most), starts_with(text, most)):
        assert len(cut) <= most
        assert cut.strip("…") in text.strip() or cut == text.strip()
    if len(text.strip()) <= most:
        assert ends_with(text, most) == starts_with(text, most) == text.strip()


def test_excerpts_are_cut_at_words() -> None:
    text = "the quick brown fox jumps over the lazy dog"
    assert ends_with(text, 20) == "…over the lazy dog"
    assert starts_with(text, 20) == "the quick brown fox…"


def test_inputs_and_answers_of_every_shape_are_readable() -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:..."}}]
    assert (
        input_of(generation("stable", "u", 1.0, messages=[{"role": "user", "content": parts}])) == "look\n[image_url]"
    )
    result = [{"type": "tool_result", "content": [{"type": "text", "text": "42"}]}]
    assert input_of(generation("stable", "u", 1.0, messages=[{"role": "user", "content": result}])) == "42"
    assert input_of(generation("stable", "u", 1.0, variables={"a": 1})) == '{"a":1}'
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": '{"n":1}'}}
    assert output_of(generation("stable", "u", 1.0, output="Wait.", tool_calls=[call])) == (
        'Wait.\n[asks for find({"n":1})]'
    )
