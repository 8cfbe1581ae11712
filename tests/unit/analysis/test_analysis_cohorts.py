"""What is told of an answer hours later: counted when its time is over, whatever came when and how often."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.analysis import cohorts
from trimtab.analysis.evidence import EvidenceState, MetricState, decode_evidence, encode_evidence
from trimtab.analysis.ledger import Ledger, margins_of
from trimtab.analysis.model import FeedbackSpec, MetricSpec
from trimtab.analysis.scorers import ScorerLibrary
from trimtab.analysis.segments import SegmentSpec
from trimtab.analysis.verdict import Limits, judge
from trimtab.events import Feedback, Generation, Score

SECOND = 1000
WINDOW, WITHIN = 10 * SECOND, 100 * SECOND
OVER = WINDOW + WITHIN + 120 * SECOND
"""When a unit that came at 0 is counted."""
ERROR = MetricSpec(name="error")


def thumbs(absent: Any = "ignore", **fields: Any) -> MetricSpec:
    return MetricSpec(name="thumbs", feedback=FeedbackSpec(name="thumbs", within="100s", absent=absent), **fields)


def ledger(*specs: MetricSpec, state: EvidenceState | None = None, counted: set[str] | None = None) -> Ledger:
    return Ledger(
        state or EvidenceState.start(margins_of(specs)),
        meters=ScorerLibrary().meters(specs),
        window_ms=WINDOW,
        shadow_stages=frozenset({0}),
        counted=counted if counted is not None else set(),
        segments=[SegmentSpec(name="language", by="attribute.language")],
        told=specs,
    )


def seen(unit: str, **fields: Any) -> Generation:
    given: dict[str, Any] = {"id": f"gen_{unit}", "at_ms": 0, "unit": unit, "stage": 1, "arm": "candidate"} | fields
    return Generation(feature="f", environment="e", release="r", **given)


def said(unit: str, value: float, **fields: Any) -> Feedback:
    given: dict[str, Any] = {"id": "fbk_1", "at_ms": 5 * SECOND, "generation": f"gen_{unit}", "name": "thumbs"} | fields
    return Feedback(feature="f", environment="e", value=value, **given)


def metric(book: Ledger) -> MetricState:
    return book.state.phases["live"].metrics["thumbs"]


def close(book: Ledger, now_ms: int) -> None:
    book.close(now_ms)
    book.cohorts.close(now_ms)


def test_a_unit_counts_when_its_time_is_over_and_not_when_the_first_word_comes() -> None:
    book = ledger(thumbs(absent=0))
    book.add(seen("ann"), None, now_ms=0)
    book.add(seen("bob"), None, now_ms=0)
    book.cohorts.tell(said("ann", 1.0), now_ms=5 * SECOND)
    close(book, OVER - 1)
    assert metric(book).candidate.count == 0
    close(book, OVER)
    assert (metric(book).candidate.count, metric(book).candidate.mean) == (2, 0.5)
    assert book.state.following.cohorts == {}


@pytest.mark.parametrize(("absent", "count", "mean"), [("ignore", 0, 0.0), (0, 1, 0.0), (1, 1, 1.0)])
def test_what_nobody_said_counts_as_the_plan_says(absent: Any, count: int, mean: float) -> None:
    book = ledger(thumbs(absent=absent))
    book.add(seen("ann"), None, now_ms=0)
    close(book, OVER)
    assert (metric(book).candidate.count, metric(book).candidate.mean) == (count, mean)


def test_the_last_word_on_a_generation_counts_and_generations_are_averaged() -> None:
    book = ledger(thumbs())
    for name in ("g1", "g2"):
        book.add(seen("ann", id=name), None, now_ms=0)
    words = [("g1", 1.0, 1, "a"), ("g1", 0.0, 9, "b"), ("g1", 1.0, 5, "c"), ("g2", 1.0, 2, "d"), ("g1", 0.0, 9, "b")]
    for generation, value, at, identity in words:
        book.cohorts.tell(said("", value, generation=generation, at_ms=at, id=identity), now_ms=SECOND)
    close(book, OVER)
    assert metric(book).candidate.mean == 0.5


def test_what_is_said_too_late_is_not_heard() -> None:
    book = ledger(thumbs(absent=1))
    book.add(seen("ann"), None, now_ms=0)
    assert not book.cohorts.tell(said("ann", 0.0, at_ms=WINDOW + WITHIN), now_ms=WINDOW + WITHIN)
    assert book.cohorts.tell(said("ann", 0.5, at_ms=WINDOW + WITHIN - 1), now_ms=WINDOW + WITHIN)
    close(book, OVER)
    book.cohorts.tell(said("ann", 0.0), now_ms=OVER)
    close(book, 2 * OVER)
    assert metric(book).candidate.mean == 0.5


def test_a_word_may_be_read_before_its_generation_for_a_while() -> None:
    book = ledger(thumbs())
    assert book.cohorts.tell(said("ann", 1.0), now_ms=5 * SECOND)
    book.add(seen("ann"), None, now_ms=6 * SECOND)
    book.cohorts.tell(said("nobody", 1.0), now_ms=6 * SECOND)
    close(book, OVER)
    assert metric(book).candidate.mean == 1.0
    close(book, 1000 * SECOND)
    assert book.state.following.early == {}
    assert not book.cohorts.tell(said("nobody", 1.0), now_ms=1000 * SECOND)


def test_scores_of_judges_and_people_count_and_those_of_ones_own_scorers_do_not() -> None:
    book = ledger(thumbs())
    book.add(seen("ann"), None, now_ms=0)
    judged = Score(
        id="s", at_ms=1, feature="f", environment="e", generation="gen_ann", name="thumbs", value=0.25, source="judge:m"
    )
    own = Score(
        id="t", at_ms=9, feature="f", environment="e", generation="gen_ann", name="thumbs", value=1, source="scorer:x"
    )
    assert [book.cohorts.tell(event, now_ms=SECOND) for event in (judged, own)] == [True, False]
    close(book, OVER)
    assert metric(book).candidate.mean == 0.25


@pytest.mark.parametrize(
    ("fields", "value", "score"),
    [
        ({"cap": 5.0}, 4.0, 0.8),
        ({"cap": 5.0}, 9.0, 1.0),
        ({"direction": "lower"}, 0.25, 0.75),
        ({"type": "binary"}, 1.0, 1.0),
    ],
)
def test_values_become_scores(fields: dict[str, Any], value: float, score: float) -> None:
    book = ledger(thumbs(**fields))
    book.add(seen("ann"), None, now_ms=0)
    book.cohorts.tell(said("ann", value), now_ms=SECOND)
    close(book, OVER)
    assert metric(book).candidate.mean == pytest.approx(score)


@pytest.mark.parametrize(("fields", "value"), [({}, 4.0), ({}, -1.0), ({"type": "binary"}, 0.5)])
def test_values_that_are_none_of_the_metric_are_an_error_as_of_a_scorer(fields: dict[str, Any], value: float) -> None:
    spec = thumbs(**fields)
    book = ledger(spec)
    for index in range(12):
        book.add(seen(f"u{index}"), None, now_ms=0)
        book.cohorts.tell(said(f"u{index}", value), now_ms=SECOND)
    verdict = judge(book.state, [spec], limits=Limits.of([spec], alpha=0.05, phases=1), phase="live")
    assert verdict.status == "error"
    assert f"a value of {value:g}" in verdict.reason


def test_who_is_waited_for_is_told_and_belongs_to_its_segment() -> None:
    book = ledger(thumbs())
    book.add(seen("ann", attributes={"language": "de"}), None, now_ms=0)
    book.cohorts.tell(said("ann", 1.0), now_ms=SECOND)
    words = judge(book.state, [thumbs()], limits=Limits.of([thumbs()], alpha=0.05, phases=1), phase="live").metrics
    assert "1 more users have their 100s still" in words[0].words
    close(book, OVER)
    assert book.state.segments["language"]["de"]["thumbs"].candidate.count == 1


def test_shadows_and_plain_stable_are_not_followed() -> None:
    book = ledger(thumbs())
    book.add(seen("ann", stage=0, arm="matched_control"), None, now_ms=0)
    book.add(seen("bob", arm="stable"), None, now_ms=0)
    assert book.state.following.cohorts == {}


def test_no_more_are_followed_than_there_is_room_for_and_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohorts, "MAX_FOLLOWED", 3)
    book = ledger(thumbs(absent=0))
    for index in range(5):
        book.add(seen(f"u{index}"), None, now_ms=0)
    assert (len(book.state.following.cohorts), book.state.following.turned_away) == (3, 2)
    close(book, OVER)
    book.add(seen("later", at_ms=OVER), None, now_ms=OVER)
    assert len(book.state.following.cohorts) == 1
    assert metric(book).candidate.count == 3


words = st.tuples(
    st.integers(0, 9), st.integers(0, 200), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 3)
)  # unit, when it was said, value, id


@given(
    units=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), max_size=15),
    said_words=st.lists(words, max_size=30),
    seed=st.integers(0, 999),
    cuts=st.sets(st.integers(0, 60)),
)
def test_order_repetition_and_storage_change_nothing(
    units: list[tuple[int, int]], said_words: list[tuple[int, int, float, int]], seed: int, cuts: set[int]
) -> None:
    """What is told of a unit depends on what was said and when, not on when and how often it was read."""
    spec = thumbs(absent=0)
    arms = {unit: "candidate" if unit % 2 else "matched_control" for unit in range(10)}
    generations = [
        seen(f"{unit}", id=f"gen_{unit}", arm=arms[unit], at_ms=at * SECOND // 10) for unit, at in sorted(units)
    ]
    events = [
        said(f"{unit}", value, at_ms=at * SECOND, id=f"f{unit}.{at}.{identity}.{value}")
        for unit, at, value, identity in said_words
    ]
    calm, stormy = ledger(spec, ERROR), ledger(spec, ERROR)
    for generation in generations:
        calm.add(generation, None, now_ms=2 * SECOND)
    for word in events:
        calm.cohorts.tell(word, now_ms=2 * SECOND)
    source = random.Random(seed)
    shuffled = [*events, *events[: len(events) // 2]]
    source.shuffle(shuffled)
    early, late = shuffled[::2], shuffled[1::2]
    read: list[Generation | Feedback] = [*early, *generations, *late, *generations]
    for index, event in enumerate(read):
        if isinstance(event, Generation):
            stormy.add(event, None, now_ms=2 * SECOND)
        else:
            stormy.cohorts.tell(event, now_ms=2 * SECOND)
        if index in cuts:
            stormy = ledger(spec, ERROR, state=decode_evidence(encode_evidence(stormy.state)), counted=stormy.counted)
    for now_ms in (100 * SECOND, OVER, 2 * OVER):
        close(calm, now_ms)
        close(stormy, now_ms)
    assert stormy.state.phases == calm.state.phases
    assert stormy.state.following.cohorts == calm.state.following.cohorts == {}


def test_a_candidate_whose_unhappy_users_answer_late_is_not_taken_for_better() -> None:
    """Counted as they come, the candidate's quick thumbs up would prove it better; counted by cohort it is worse."""
    spec = thumbs(margin=0.05)
    source, book = random.Random(2), ledger(spec)
    events: list[tuple[int, Generation | Feedback]] = []
    for index in range(3000):
        at, arm = index * 10, source.choice(["candidate", "matched_control"])
        happy = source.random() < (0.4 if arm == "candidate" else 0.8)
        slow = 90 * SECOND if arm == "candidate" and not happy else SECOND
        events.append((at, seen(f"u{index}", arm=arm, at_ms=at)))
        events.append((at + slow, said(f"u{index}", float(happy), id=f"f{index}", at_ms=at + slow)))
    for now_ms, event in sorted(events, key=lambda item: item[0]):
        if isinstance(event, Generation):
            book.add(event, None, now_ms=now_ms)
        else:
            book.cohorts.tell(event, now_ms=now_ms)
        if now_ms % 1000 == 0:
            close(book, now_ms)
            assert metric(book).non_inferior.peak < 20
    close(book, 10**9)
    assert metric(book).harm.peak > 20
