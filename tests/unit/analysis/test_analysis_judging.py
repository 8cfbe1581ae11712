"""Metrics that a judge scores and people label here and there: who counts, when, and that no judge decides alone."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.analysis.evidence import EvidenceState, MetricState, decode_evidence, encode_evidence
from trimtab.analysis.judging import LEAST_LABELS
from trimtab.analysis.ledger import Ledger, margins_of
from trimtab.analysis.model import FeedbackSpec, JudgeSpec, MetricSpec, ScorerSpec
from trimtab.analysis.scorers import ScorerLibrary
from trimtab.analysis.segments import SegmentSpec
from trimtab.analysis.verdict import Limits, Verdict, judge
from trimtab.events import Generation, Score

SECOND = 1000
WINDOW, WITHIN = 10 * SECOND, 100 * SECOND
OVER = WINDOW + WITHIN + 120 * SECOND
"""When a unit that came at 0 is counted."""
ERROR = MetricSpec(name="error")
JUDGE = JudgeSpec(score="judge-helpful", label="human-helpful", within="100s")
HELPFUL = MetricSpec(name="helpful", margin=0.05, judge=JUDGE)


def ledger(*specs: MetricSpec, state: EvidenceState | None = None, counted: set[str] | None = None) -> Ledger:
    return Ledger(
        state or EvidenceState.start(margins_of(specs)),
        meters=ScorerLibrary().meters(specs),
        window_ms=WINDOW,
        shadow_stages=frozenset({0}),
        counted=counted if counted is not None else set(),
        segments=[SegmentSpec(name="team", by="team")],
        told=specs,
    )


def seen(unit: str, **fields: Any) -> Generation:
    given_: dict[str, Any] = {"id": f"gen_{unit}", "at_ms": 0, "unit": unit, "stage": 1, "arm": "candidate"} | fields
    return Generation(feature="f", environment="e", release="r", **given_)


def said(unit: str, name: str, value: float, **fields: Any) -> Score:
    given_: dict[str, Any] = {"id": f"s_{name}_{unit}", "at_ms": 5 * SECOND, "generation": f"gen_{unit}"} | fields
    return Score(feature="f", environment="e", name=name, value=value, source="judge:m", **given_)


def told(book: Ledger, unit: str, *, judge_says: float | None = None, label: float | None = None, **at: Any) -> None:
    for name, value in (("judge-helpful", judge_says), ("human-helpful", label)):
        if value is not None:
            book.cohorts.tell(said(unit, name, value, **at), now_ms=5 * SECOND)


def close(book: Ledger, now_ms: int) -> None:
    book.close(now_ms)
    book.cohorts.close(now_ms)


def metric(book: Ledger) -> MetricState:
    return book.state.phases["live"].metrics["helpful"]


def verdict(book: Ledger, *specs: MetricSpec, alpha: float = 0.05) -> Verdict:
    return judge(book.state, specs, limits=Limits.of(specs, alpha=alpha, phases=1), phase="live")


def words(book: Ledger, *specs: MetricSpec) -> str:
    return next(one.words for one in verdict(book, *specs).metrics if one.name == "helpful")


def traffic(
    seed: int,
    users: int,
    *,
    control: float = 0.85,
    candidate: float = 0.85,
    bias: float = 0.0,
    labelled: float = 0.2,
    spec: MetricSpec = HELPFUL,
) -> Ledger:
    """Users come in both arms; `bias` is the share of the candidate's answers that the judge hates for no reason."""
    source, book = random.Random(seed), ledger(ERROR, spec)
    for index in range(users):
        arm = source.choice(("candidate", "matched_control"))
        book.add(seen(f"u{index}", arm=arm, at_ms=index), None, now_ms=index)
        human = float(source.random() < (candidate if arm == "candidate" else control))
        says = human if source.random() < 0.95 else 1.0 - human
        if arm == "candidate" and source.random() < bias:
            says = 0.0
        told(book, f"u{index}", judge_says=says, label=human if source.random() < labelled else None)
    close(book, OVER + users)
    return book


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "error"}, "needs a name of its own"),
        ({"name": "x", "of": "latency"}, "told, not measured"),
        ({"name": "x", "scorer": ScorerSpec(regex="a")}, "told, not measured"),
        ({"name": "x", "feedback": FeedbackSpec(name="a")}, "told, not measured"),
        ({"name": "x", "cap": 5.0}, "it takes no `cap`"),
        ({"name": "x", "type": "binary"}, "cannot be of type `binary`"),
    ],
)
def test_what_contradicts_a_judge_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MetricSpec(judge=JUDGE, **fields)


def test_a_judge_cannot_correct_itself() -> None:
    with pytest.raises(ValueError, match="cannot correct itself"):
        JudgeSpec(score="helpful", label="helpful")


def test_a_unit_counts_once_it_has_a_label_and_its_time_is_over() -> None:
    book = ledger(ERROR, HELPFUL)
    for at_ms, unit in enumerate(("ann", "bob", "cid")):
        book.add(seen(unit, at_ms=at_ms), None, now_ms=at_ms)
    told(book, "ann", judge_says=0.2)
    told(book, "bob", judge_says=0.4, label=1.0)
    told(book, "cid", label=0.5)
    close(book, OVER - 1)
    assert metric(book).candidate.count == 0
    close(book, OVER + 2)
    # before any label the judge is wholly believed: bob's label, and what ann's score is below the mean of both
    assert metric(book).candidate.count == 2
    assert metric(book).candidate.mean == pytest.approx(((1.0 - (0.4 - 0.3)) + 0.5) / 2)
    assert book.state.judged["helpful"].units.candidate == 2
    assert book.state.following.cohorts == {}


def test_of_a_unit_the_last_words_are_averaged_and_late_or_impossible_ones_are_not_heard() -> None:
    book = ledger(ERROR, HELPFUL)
    for name in ("g1", "g2"):
        book.add(seen("ann", id=name), None, now_ms=0)
    for generation, value, at_ms in (("g1", 0.0, 1), ("g1", 1.0, 2), ("g2", 0.5, 3), ("g2", 7.0, 4)):
        told(book, "", label=value, generation=generation, at_ms=at_ms, id=f"{generation}{at_ms}")
    told(book, "", label=0.0, generation="g1", at_ms=WINDOW + WITHIN, id="late")
    close(book, OVER)
    assert metric(book).candidate.mean == 0.75
    assert "which is not between 0 and 1" in book.state.last_scorer_error["helpful"]


def test_a_judge_alone_proves_nothing_however_much_it_hates_the_candidate() -> None:
    book = traffic(1, 600, bias=1.0, labelled=0.0)
    found = verdict(book, ERROR, HELPFUL)
    assert (found.status, found.alarms) == ("inconclusive", [])
    assert metric(book).harm.pairs == 0
    assert "not yet judged; people labelled 0 candidate" in words(book, ERROR, HELPFUL)
    assert "decides nothing alone" in words(book, ERROR, HELPFUL)


def test_below_the_least_number_of_labels_nothing_fails_and_nothing_passes() -> None:
    few = traffic(2, 4 * LEAST_LABELS, candidate=0.0, control=1.0, labelled=0.4)
    assert 0 < metric(few).candidate.count < LEAST_LABELS
    wide = MetricSpec(name="helpful", margin=0.9, judge=JUDGE)
    for spec in (HELPFUL, wide):
        found = judge(few.state, [ERROR, spec], limits=Limits(rollback=1.01, alarm=1.01, promotion=1.0), phase="live")
        (said_of,) = [one for one in found.metrics if one.name == "helpful"]
        assert (said_of.failed, said_of.passed) == (False, False)
    many = traffic(2, 12 * LEAST_LABELS, candidate=0.0, control=1.0, labelled=0.4)
    assert verdict(many, ERROR, HELPFUL).status == "failed"
    assert "`helpful` fell from" in words(many, ERROR, HELPFUL)


def test_a_judge_with_a_taste_rolls_back_no_candidate_that_people_like_as_well() -> None:
    tight = MetricSpec(name="helpful", margin=0.02, judge=JUDGE)
    alarms = sum(
        verdict(traffic(seed, 500, bias=0.3, spec=tight), ERROR, tight).status == "failed" for seed in range(20)
    )
    assert alarms <= 2  # half of one expected at most


def test_harm_that_people_see_is_found_and_no_harm_is_proven() -> None:
    found = [verdict(traffic(seed, 1200, candidate=0.5), ERROR, HELPFUL).status for seed in range(5)]
    assert found.count("failed") >= 4
    wide = MetricSpec(name="helpful", role="goal", margin=0.2, judge=JUDGE)
    (goal,) = [one for one in verdict(traffic(1, 3000, spec=wide), ERROR, wide).metrics if one.name == "helpful"]
    assert goal.passed
    assert goal.margin == 0.2
    assert goal.candidate_mean == pytest.approx(0.85, abs=0.06)
    assert "20 points" in goal.words
    assert "whom people labelled; the judge scored 1," in goal.words


def test_where_less_is_better_both_words_are_turned() -> None:
    harmful = MetricSpec(name="helpful", direction="lower", judge=JUDGE)
    book = ledger(ERROR, harmful)
    book.add(seen("ann"), None, now_ms=0)
    told(book, "ann", judge_says=0.5, label=0.25)
    close(book, OVER)
    assert metric(book).candidate.mean == 0.75


def test_challengers_and_segments_do_not_count_and_another_candidate_begins_anew() -> None:
    book = ledger(ERROR, HELPFUL)
    book.add(seen("ann", arm="challenger"), None, now_ms=0)
    book.add(seen("bob", team="a"), None, now_ms=0)
    told(book, "ann", judge_says=0.5, label=1.0)
    told(book, "bob", judge_says=0.5, label=1.0)
    close(book, OVER)
    assert metric(book).candidate.count == 1
    assert all("helpful" not in known for values in book.state.segments.values() for known in values.values())
    book.crown("r")
    assert metric(book).candidate.count == 0
    assert book.state.judged == {}


steps = st.tuples(
    st.integers(0, 12),
    st.sampled_from(["candidate", "matched_control"]),
    st.sampled_from([None, 0.0, 0.25, 1.0]),
    st.sampled_from([None, None, 0.0, 1.0]),
    st.integers(1, 2),
    st.sampled_from([1, 20, 150]),
)


@given(script=st.lists(steps, max_size=40), stops=st.sets(st.integers(0, 40), max_size=4))
@settings(deadline=None)
def test_a_restart_a_repetition_and_the_stored_form_change_nothing(
    script: list[tuple[int, Any, float | None, float | None, int, int]], stops: set[int]
) -> None:
    calm, tried, now = ledger(ERROR, HELPFUL), ledger(ERROR, HELPFUL), 0
    for index, (unit, arm, says, label, stage, seconds) in enumerate(script):
        now += seconds * SECOND
        for book in (calm, tried, tried):
            book.add(seen(f"u{unit}", id=f"g{index}", arm=arm, stage=stage, at_ms=now), None, now_ms=now)
            told(book, f"{index}", judge_says=says, label=label, generation=f"g{index}", at_ms=now)
        for book in (calm, tried):
            close(book, now)
        if index in stops:
            state = decode_evidence(encode_evidence(tried.state))
            tried = ledger(ERROR, HELPFUL, state=state, counted=tried.counted)
    for book in (calm, tried):
        close(book, now + OVER)
    assert tried.state.judged == calm.state.judged
    assert tried.state.phases == calm.state.phases


def test_what_is_kept_does_not_grow_with_traffic() -> None:
    small, large = (len(encode_evidence(traffic(3, users).state)) for users in (200, 800))
    assert large - small < 500
