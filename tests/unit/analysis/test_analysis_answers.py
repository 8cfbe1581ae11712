"""Whether the arms answer differently: what may be asked, what counts, and that equal arms raise no alarm."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.analysis.evidence import EvidenceState, decode_evidence, encode_evidence
from trimtab.analysis.ledger import Ledger, margins_of
from trimtab.analysis.model import MetricSpec
from trimtab.analysis.scorers import ScorerLibrary
from trimtab.analysis.segments import SegmentSpec, weigh_segments
from trimtab.analysis.verdict import Limits, Verdict, judge
from trimtab.events import Generation

SECOND = 1000
ERROR = MetricSpec(name="error")
DIFFER = MetricSpec(name="answers-differ", of="text", role="signal")
WORDS = ("please", "your", "order", "refund", "is", "on", "its", "way", "and", "we", "will", "write", "again", "soon")


def ledger(*specs: MetricSpec, state: EvidenceState | None = None, counted: set[str] | None = None) -> Ledger:
    return Ledger(
        state or EvidenceState.start(margins_of(specs)),
        meters=ScorerLibrary().meters(specs),
        window_ms=10 * SECOND,
        shadow_stages=frozenset({0}),
        counted=counted if counted is not None else set(),
        segments=[SegmentSpec(name="team", by="team")],
        told=specs,
    )


def seen(unit: str, **fields: Any) -> Generation:
    given_: dict[str, Any] = {
        "id": f"gen_{unit}_{fields.get('output', '')[:9]}",
        "at_ms": 0,
        "unit": unit,
        "stage": 1,
        "arm": "candidate",
        "messages": [{"role": "user", "content": "?"}],
    } | fields
    return Generation(feature="f", environment="e", release="r", **given_)


def verdict(book: Ledger, *specs: MetricSpec, phase: Any = "live", alpha: float = 0.05) -> Verdict:
    return judge(book.state, specs, limits=Limits.of(specs, alpha=alpha, phases=1), phase=phase)


def said(book: Ledger, *specs: MetricSpec) -> str:
    (found,) = [one for one in verdict(book, *specs).metrics if one.name == DIFFER.name]
    return found.words


def answer(source: random.Random, *, fenced: float) -> str:
    text = " ".join(source.choice(WORDS) for _ in range(max(1, round(25 * source.lognormvariate(0, 0.4)))))
    return f"```json\n{text}\n```" if source.random() < fenced else text


def traffic(seed: int, users: int, *, fenced: float) -> Ledger:
    """Users come in both arms, each with one answer; returns the book after all of them."""
    source, book = random.Random(seed), ledger(ERROR, DIFFER)
    for index in range(users):
        arm = source.choice(("candidate", "matched_control"))
        text = answer(source, fenced=fenced if arm == "candidate" else 0.02)
        book.add(seen(f"u{index}", arm=arm, output=text, at_ms=index), None, now_ms=index)
    return book


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"role": "guardrail"}, "different, not whether they are worse.*role: signal"),
        ({"role": "goal"}, "role: signal"),
        ({"role": "signal", "margin": 0.1}, "`margin` means nothing"),
        ({"role": "signal", "direction": "lower"}, "`direction` means nothing"),
        ({"role": "signal", "per": "tokens"}, "`per` means nothing"),
        ({"role": "signal", "type": "mean"}, "cannot be of type `mean`"),
        ({"role": "signal", "quantile": 0.9}, "for metrics of `type: quantile`"),
        ({"role": "signal", "cap": 3.0}, "`cap` is for means"),
    ],
)
def test_what_a_comparison_of_answers_cannot_use_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MetricSpec(name="answers-differ", of="text", **fields)


def test_only_texts_have_a_distribution() -> None:
    assert DIFFER.kind == "distribution"
    with pytest.raises(ValueError, match="`of: text`"):
        MetricSpec(name="latency", type="distribution", role="signal")


def test_equal_arms_raise_no_alarm_and_another_format_does_and_rolls_nothing_back() -> None:
    looked = [traffic(seed, 150, fenced=0.02) for seed in range(20)]
    assert sum(bool(verdict(book, ERROR, DIFFER).alarms) for book in looked) <= 3  # 1 expected at most
    book = traffic(1, 300, fenced=0.6)
    found = verdict(book, ERROR, DIFFER)
    assert (found.status, found.alarms) == ("inconclusive", ["answers-differ"])
    assert "look different" in said(book, ERROR, DIFFER)
    assert "Different, not worse." in said(book, ERROR, DIFFER)
    trial = MetricSpec(name="answers-differ", of="text", role="signal", dry_run=True)
    assert verdict(book, ERROR, trial).alarms == []
    assert "Dry run" in said(book, ERROR, trial)


def test_it_takes_its_share_of_alpha_from_the_other_signals() -> None:
    tokens = MetricSpec(name="tokens", role="signal")
    assert Limits.of([ERROR, tokens, DIFFER], alpha=0.05, phases=1).alarm == pytest.approx(40.0)


def test_one_answer_of_a_unit_counts_the_first_that_was_captured() -> None:
    book = ledger(ERROR, DIFFER)
    for fields in (
        {"id": "1", "status": "error"},
        {"id": "2", "tool_calls": [{"id": "c"}]},
        {"id": "3", "messages": []},
        {"id": "4", "output": "hello"},
        {"id": "5", "output": "other"},
    ):
        book.add(seen("ann", **fields), None, now_ms=0)
    book.close(20 * SECOND)
    book.add(seen("ann", id="6", output="later", at_ms=30 * SECOND), None, now_ms=30 * SECOND)
    known = book.state.answers["answers-differ"]
    assert (known.units.candidate, len(known.betting.waiting), known.uncaptured) == (1, 1, 1)
    twin = ledger(ERROR, DIFFER)
    twin.add(seen("bob", output="hello"), None, now_ms=0)
    assert twin.state.answers["answers-differ"].betting.waiting == known.betting.waiting


def test_without_captured_content_there_is_nothing_to_compare() -> None:
    book = ledger(ERROR, DIFFER)
    assert "nothing to compare yet" in said(book, ERROR, DIFFER)
    book.add(seen("ann", messages=[]), None, now_ms=0)
    assert said(book, ERROR, DIFFER) == "`answers-differ`: nothing to compare: content is not captured."
    book.add(seen("bob", output="hello"), None, now_ms=0)
    assert "nothing to compare yet" in said(book, ERROR, DIFFER)


def test_answers_of_different_steps_do_not_meet_nor_do_those_in_shadow_or_of_challengers() -> None:
    book = ledger(ERROR, DIFFER)
    book.add(seen("a", output="x", stage=1), None, now_ms=0)
    book.add(seen("b", output="x", stage=2, arm="matched_control"), None, now_ms=0)
    book.add(seen("c", output="x", stage=1), None, now_ms=0)
    assert book.state.answers["answers-differ"].betting.pairs == 0
    book.add(seen("d", output="x", stage=0, arm="shadow"), None, now_ms=0)
    book.add(seen("e", output="x", stage=2, arm="challenger"), None, now_ms=0)
    assert book.state.answers["answers-differ"].units.candidate == 1
    book.add(seen("f", output="x", stage=2), None, now_ms=0)
    assert book.state.answers["answers-differ"].betting.pairs == 1
    assert "look alike so far" in said(book, ERROR, DIFFER)
    assert [one.name for one in verdict(book, ERROR, DIFFER, phase="shadow").metrics] == ["error"]
    book.crown("r")
    assert "nothing to compare yet" in said(book, ERROR, DIFFER)


def test_segments_and_the_phases_know_nothing_of_it() -> None:
    book = traffic(3, 100, fenced=0.6)
    book.close(100 * SECOND)
    assert book.state.phases["live"].metrics.keys() == {"error"}
    assert {one.metric.name for one in weigh_segments(book.state, [ERROR, DIFFER], alpha=0.05)} == {"error"}


answers = st.tuples(
    st.integers(0, 30),
    st.sampled_from(["candidate", "matched_control"]),
    st.sampled_from(["hello you", "```json\n{}\n```", "", "a much longer answer " * 9]),
    st.integers(1, 3),
)


@given(script=st.lists(answers, max_size=60), stops=st.sets(st.integers(0, 60), max_size=5))
def test_a_restart_a_repetition_and_the_stored_form_change_nothing(
    script: list[tuple[int, Any, str, int]], stops: set[int]
) -> None:
    calm, tried = ledger(ERROR, DIFFER), ledger(ERROR, DIFFER)
    for index, (unit, arm, text, stage) in enumerate(script):
        event = seen(f"u{unit}", id=f"g{index}", arm=arm, output=text, stage=stage, at_ms=index * SECOND)
        for book in (calm, tried, tried):
            book.add(event, None, now_ms=index * SECOND)
        for book in (calm, tried):
            book.close(index * SECOND)
        if index in stops:
            state = decode_evidence(encode_evidence(tried.state))
            tried = ledger(ERROR, DIFFER, state=state, counted=tried.counted)
    assert tried.state.answers == calm.state.answers


def test_its_state_does_not_grow_with_traffic_and_older_evidence_opens() -> None:
    plain, book = ledger(ERROR), traffic(5, 400, fenced=0.1)
    book.close(1000 * SECOND)
    one_sided = ledger(ERROR, DIFFER)
    for index in range(200):
        one_sided.add(seen(f"u{index}", output=f"answer {index}"), None, now_ms=0)
    one_sided.close(1000 * SECOND)
    start = len(encode_evidence(plain.state))
    assert len(encode_evidence(one_sided.state)) - start < 8_000
    assert len(encode_evidence(book.state)) - start < 8_000
    old = plain.state
    found = verdict(ledger(ERROR, DIFFER, state=old), ERROR, DIFFER)
    assert [one.words for one in found.metrics if one.name == "answers-differ"] == [
        "`answers-differ`: nothing to compare yet."
    ]
