from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.analysis.evidence import EvidenceState, decode_evidence, encode_evidence
from trimtab.analysis.ledger import Ledger, margins_of
from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.analysis.scorers import ScorerLibrary
from trimtab.analysis.scoring import LEARNING_UNITS
from trimtab.events import Generation

SPECS = (MetricSpec(name="error", margin=0.02), MetricSpec(name="latency", margin=0.1))
SECOND = 1000


def ledger(*, specs: tuple[MetricSpec, ...] = SPECS, state: EvidenceState | None = None, shadow: int = 0) -> Ledger:
    return Ledger(
        state or EvidenceState.start(margins_of(specs)),
        meters=ScorerLibrary().meters(specs),
        window_ms=10 * SECOND,
        shadow_stages=frozenset(range(shadow)),
        counted=set(),
    )


def seen(identity: str, **fields: Any) -> Generation:
    given: dict[str, Any] = {"unit": identity, "stage": 1, "arm": "candidate"} | fields
    given.setdefault("id", f"gen_{identity}")
    given.setdefault("at_ms", 0)
    return Generation(feature="f", environment="e", release="r", **given)


def test_a_unit_counts_once_with_the_mean_of_its_window() -> None:
    book = ledger()
    for index, status in enumerate(["ok", "ok", "error", "ok"]):
        book.add(seen("ann", id=f"g{index}", at_ms=index * SECOND, status=status), None, now_ms=index * SECOND)
    assert book.close(9 * SECOND) == []
    assert len(book.close(10 * SECOND)) == 1
    metric = book.state.phases["live"].metrics["error"]
    assert (metric.candidate.count, metric.candidate.mean) == (1, 0.75)
    assert book.state.phases["live"].units.candidate == 1


def test_a_second_window_of_a_unit_is_not_counted() -> None:
    book = ledger()
    book.add(seen("ann"), None, now_ms=0)
    book.close(10 * SECOND)
    book.add(seen("ann", id="later", at_ms=60 * SECOND, status="error"), None, now_ms=60 * SECOND)
    assert book.close(90 * SECOND) == []
    assert book.state.phases["live"].metrics["error"].candidate.mean == 1.0
    assert book.state.windows == {}


def test_an_event_delivered_twice_counts_once() -> None:
    book = ledger()
    for identity, status in [("a", "error"), ("a", "error"), ("b", "ok")]:
        book.add(seen("ann", id=identity, status=status), None, now_ms=0)
    book.close(10 * SECOND)
    assert book.state.phases["live"].metrics["error"].candidate.mean == 0.5


def test_what_comes_after_the_window_does_not_belong_to_it() -> None:
    book = ledger()
    book.add(seen("ann", id="in", at_ms=0), None, now_ms=0)
    book.add(seen("ann", id="out", at_ms=10 * SECOND, status="error"), None, now_ms=11 * SECOND)
    book.close(11 * SECOND)
    assert book.state.phases["live"].metrics["error"].candidate.mean == 1.0


def test_generations_without_a_unit_are_units_of_their_own() -> None:
    book = ledger()
    for index in range(3):
        book.add(seen("", id=f"g{index}"), None, now_ms=0)
    assert len(book.close(10 * SECOND)) == 3


def test_aborted_generations_and_plain_stable_ones_are_no_evidence() -> None:
    book = ledger()
    book.add(seen("ann", status="aborted"), None, now_ms=0)
    book.add(seen("bob", arm="stable"), None, now_ms=0)
    assert book.state.windows == {}
    assert book.state.generations == {}


def test_scores_of_different_stages_never_meet() -> None:
    book = ledger()
    book.add(seen("control", arm="matched_control", stage=1), None, now_ms=0)
    book.add(seen("candidate", stage=2), None, now_ms=0)
    book.close(10 * SECOND)
    metric = book.state.phases["live"].metrics["error"]
    assert (metric.control.count, metric.candidate.count, metric.harm.pairs) == (1, 1, 0)


def test_a_shadow_pairs_both_answers_of_one_unit() -> None:
    book = ledger(shadow=1)
    for unit, status in [("ann", "error"), ("bob", "ok")]:
        book.add(seen(unit, id=f"s-{unit}", arm="matched_control", stage=0), None, now_ms=0)
        book.add(seen(unit, id=f"c-{unit}", mirrors=f"s-{unit}", arm="shadow", stage=0, status=status), None, now_ms=0)
    book.close(10 * SECOND)
    phase = book.state.phases["shadow"]
    assert (phase.units.control, phase.units.candidate, phase.metrics["error"].harm.pairs) == (2, 2, 2)
    assert phase.metrics["error"].candidate.mean == 0.5
    assert book.state.phases["live"].units.candidate == 0


def test_in_shadow_only_requests_that_both_answered_are_held_against_each_other() -> None:
    book = ledger(shadow=1)
    for index in range(10):  # of ten requests of one user, stable fails in the five that are never mirrored
        status = "error" if index >= 5 else "ok"
        book.add(seen("ann", id=f"s{index}", arm="matched_control", stage=0, status=status), None, now_ms=0)
    for index in range(5):
        book.add(seen("ann", id=f"c{index}", mirrors=f"s{index}", arm="shadow", stage=0), None, now_ms=0)
    book.close(10 * SECOND)
    error = book.state.phases["shadow"].metrics["error"]
    assert (error.control.mean, error.candidate.mean, error.harm.pairs) == (1.0, 1.0, 1)


def test_in_shadow_it_is_no_matter_which_side_is_read_first() -> None:
    book = ledger(shadow=1)
    book.add(seen("ann", id="c", mirrors="s", arm="shadow", stage=0, status="error"), None, now_ms=0)
    book.add(seen("ann", id="s", arm="matched_control", stage=0), None, now_ms=0)
    book.add(seen("ann", id="s", arm="matched_control", stage=0), None, now_ms=0)  # delivered twice
    book.close(10 * SECOND)
    error = book.state.phases["shadow"].metrics["error"]
    assert (error.control.mean, error.candidate.mean, error.harm.pairs) == (1.0, 0.0, 1)


def test_a_slow_shadow_is_waited_for_and_one_that_never_comes_is_dropped() -> None:
    book = ledger(shadow=1)
    book.add(seen("ann", id="s", arm="matched_control", stage=0), None, now_ms=0)
    book.add(seen("bob", id="t", arm="matched_control", stage=0), None, now_ms=0)
    assert book.close(30 * SECOND) == []
    book.add(seen("ann", id="c", mirrors="s", arm="shadow", stage=0, at_ms=SECOND), None, now_ms=40 * SECOND)
    assert len(book.close(40 * SECOND)) == 1
    assert len(book.close(71 * SECOND)) == 1
    assert book.state.unpaired == 1
    assert book.state.phases["shadow"].metrics["error"].harm.pairs == 1


def test_shadow_and_live_count_the_same_unit_apart() -> None:
    book = ledger(shadow=1)
    book.add(seen("ann", id="s", arm="matched_control", stage=0), None, now_ms=0)
    book.add(seen("ann", id="c", arm="shadow", stage=0), None, now_ms=0)
    book.close(10 * SECOND)
    book.add(seen("ann", id="l", stage=2, at_ms=20 * SECOND), None, now_ms=20 * SECOND)
    book.close(30 * SECOND)
    assert book.state.phases["live"].units.candidate == 1


def test_an_unbounded_metric_bets_only_after_its_cap_is_frozen() -> None:
    book = ledger()
    for index in range(LEARNING_UNITS):
        assert book.state.caps["latency"].value is None
        book.add(seen(f"u{index}", arm="stable", latency_ms=float(index + 1)), None, now_ms=0)
        book.add(seen(f"u{index}", id=f"again{index}", arm="stable", latency_ms=1e6), None, now_ms=0)
    assert book.state.caps["latency"].value == 100.0  # twice the median, which is more than the 99th percentile
    book.add(seen("slow", latency_ms=5000.0), None, now_ms=0)
    book.add(seen("middling", latency_ms=50.0), None, now_ms=0)
    book.close(10 * SECOND)
    latency = book.state.phases["live"].metrics["latency"].candidate
    assert latency.count == 2
    assert latency.mean == pytest.approx(0.25)


def test_an_explicit_cap_and_direction_are_used_at_once() -> None:
    specs = (
        MetricSpec(name="tokens", cap=200.0),
        MetricSpec(name="length", cap=10.0, direction="higher"),
        MetricSpec(name="mine", scorer=ScorerSpec(regex="x"), direction="lower"),
    )
    book = ledger(specs=specs)
    book.add(seen("ann", output_tokens=50, output="xxxx", messages=[{}]), None, now_ms=0)
    book.close(10 * SECOND)
    means = {name: metric.candidate.mean for name, metric in book.state.phases["live"].metrics.items()}
    assert means == {"tokens": 0.75, "length": 0.4, "mine": 0.0}


def test_registered_scorers_report_what_they_said_and_built_ins_do_not() -> None:
    book = ledger(specs=(MetricSpec(name="error"), MetricSpec(name="mine", scorer=ScorerSpec(regex="x"))))
    book.add(seen("ann", output="x"), None, now_ms=0)
    assert [(result.name, result.value) for result in book.scoring.results] == [("mine", 1.0)]


def test_a_clock_ahead_of_ours_does_not_hold_a_window_open() -> None:
    book = ledger()
    book.add(seen("ann", at_ms=10**12), None, now_ms=0)
    assert len(book.close(10 * SECOND)) == 1


@given(
    events=st.lists(
        st.tuples(
            st.integers(0, 12), st.sampled_from(["candidate", "matched_control"]), st.sampled_from(["ok", "error"])
        ),
        max_size=60,
    ),
    cuts=st.sets(st.integers(0, 60)),
)
def test_wealth_does_not_depend_on_how_events_are_batched_or_how_often_state_is_stored(
    events: list[tuple[int, Any, Any]], cuts: set[int]
) -> None:
    once, often = ledger(), ledger()
    for index, (unit, arm, status) in enumerate(events):
        generation = seen(f"{arm}{unit}", id=f"g{index}", at_ms=index * SECOND, arm=arm, status=status)
        now_ms = index * SECOND
        for book in (once, often):
            book.add(generation, None, now_ms=now_ms)
            book.close(now_ms)
        if index in cuts:
            counted = often.counted
            often = ledger(state=decode_evidence(encode_evidence(often.state)))
            often.counted = counted
            often.add(generation, None, now_ms=now_ms)  # delivered again
    once.close(10**9)
    often.close(10**9)
    assert often.state.phases == once.state.phases
