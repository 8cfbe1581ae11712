"""Whether some users are harmed while the whole looks well."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trimtab.analysis.evidence import EvidenceState, decode_evidence, encode_evidence
from trimtab.analysis.ledger import Ledger, margins_of
from trimtab.analysis.model import MetricSpec
from trimtab.analysis.scorers import ScorerLibrary
from trimtab.analysis.segments import OTHER, UNKNOWN, SegmentSpec, weigh_segments
from trimtab.events import Generation

SECOND = 1000
ERROR = MetricSpec(name="error", margin=0.05)
LATENCY = MetricSpec(name="latency", cap=1000.0, margin=0.1)
LANGUAGE = SegmentSpec(name="language", by="attribute.language")
TEAM = SegmentSpec(name="team", by="team")


def ledger(*segments: SegmentSpec, state: EvidenceState | None = None) -> Ledger:
    specs = (ERROR, LATENCY)
    return Ledger(
        state or EvidenceState.start(margins_of(specs)),
        meters=ScorerLibrary().meters(specs),
        window_ms=10 * SECOND,
        shadow_stages=frozenset(),
        counted=set(),
        segments=segments,
    )


def seen(unit: str, language: str = "", **fields: Any) -> Generation:
    given: dict[str, Any] = {"id": f"gen_{unit}", "at_ms": 0, "unit": unit, "stage": 1, "arm": "candidate"} | fields
    attributes = {"language": language} if language else {}
    return Generation(feature="f", environment="e", release="r", latency_ms=100.0, attributes=attributes, **given)


def counts(book: Ledger, segment: str = "language") -> dict[str, int]:
    return {
        value: metrics["error"].candidate.count + metrics["error"].control.count
        for value, metrics in book.state.segments[segment].items()
        if metrics
    }


def crowd(source: random.Random, book: Ledger, units: int, *, harmed: str, share: float = 0.25) -> None:
    """Users of four languages; in one the candidate fails more often."""
    for index in range(units):
        language = source.choice(["de", "en", "fr", "it"])
        arm = source.choice(["candidate", "matched_control"])
        bad = 0.02 + (share if arm == "candidate" and language == harmed else 0.0)
        status: Any = "error" if source.random() < bad else "ok"
        book.add(seen(f"u{index}", language, at_ms=index, arm=arm, status=status, team="a"), None, now_ms=index)
    book.close(10**9)


def test_the_harmed_language_is_found_and_told_with_numbers() -> None:
    book = ledger(LANGUAGE, TEAM)
    crowd(random.Random(1), book, 1600, harmed="de")
    found = weigh_segments(book.state, [ERROR, LATENCY], alpha=0.05)
    assert [(one.key, one.harmed) for one in found] == [("language=de/error", True)]
    words = found[0].words
    assert words.startswith("language = de: `error` (requests without an error) fell from ")
    assert "concurrent control users" in words
    assert found[0].metric.harm >= found[0].metric.limit == 10 / 0.05  # five values, two metrics
    assert found[0].metric.candidate_units + found[0].metric.control_units == counts(book)["de"]


def test_without_harm_the_worst_is_told_and_not_called_harmed() -> None:
    book = ledger(LANGUAGE)
    crowd(random.Random(2), book, 800, harmed="")
    [worst] = weigh_segments(book.state, [ERROR, LATENCY], alpha=0.05)
    assert not worst.harmed
    assert worst.metric.harm < worst.metric.limit


def test_nothing_is_told_before_anybody_can_be_compared() -> None:
    book = ledger(LANGUAGE)
    book.add(seen("ann", "de"), None, now_ms=0)
    book.close(10**9)
    assert weigh_segments(book.state, [ERROR, LATENCY], alpha=0.05) == []


def test_a_unit_belongs_where_its_first_request_says_and_counts_there_once() -> None:
    book = ledger(LANGUAGE)
    for index, language in enumerate(["de", "en", ""]):
        book.add(seen("ann", language, id=f"g{index}", at_ms=index), None, now_ms=index)
    book.add(seen("bob"), None, now_ms=0)
    book.close(10**9)
    assert counts(book) == {"de": 1, UNKNOWN: 1}


def test_the_first_twenty_values_stand_for_themselves() -> None:
    book = ledger(LANGUAGE)
    for index in range(50):
        book.add(seen(f"u{index}", f"l{index % 25}"), None, now_ms=0)
    book.close(10**9)
    assert len(book.state.segments["language"]) == 21
    assert counts(book)["l0"] == 2
    assert counts(book)[OTHER] == 10


def test_pairs_never_span_values_or_steps() -> None:
    book = ledger(LANGUAGE)
    book.add(seen("a", "de"), None, now_ms=0)
    book.add(seen("b", "en", arm="matched_control"), None, now_ms=0)
    book.add(seen("c", "de", arm="matched_control", stage=2), None, now_ms=0)
    book.close(10**9)
    pairs = [metric.harm.pairs for values in book.state.segments["language"].values() for metric in values.values()]
    assert pairs == [0] * len(pairs)
    assert book.state.phases["live"].metrics["error"].harm.pairs == 1


def test_metrics_in_dry_run_flag_nobody() -> None:
    book = ledger(LANGUAGE)
    crowd(random.Random(1), book, 1600, harmed="de")
    dry = MetricSpec(name="error", margin=0.05, dry_run=True)
    assert not any(one.harmed for one in weigh_segments(book.state, [dry, LATENCY], alpha=0.05))


def test_false_flags_stay_below_alpha_when_looked_at_all_the_time() -> None:
    source, runs, alpha, flagged = random.Random(3), 60, 0.2, 0
    for _ in range(runs):
        book = ledger(LANGUAGE, TEAM)
        for index in range(300):
            arm = source.choice(["candidate", "matched_control"])
            bad = 0.30 if arm == "candidate" else 0.25  # worse by the margin itself, everywhere
            status: Any = "error" if source.random() < bad else "ok"
            language = source.choice("abcd")
            book.add(seen(f"u{index}", language, at_ms=index, arm=arm, status=status), None, now_ms=index)
            book.close(index - 10)
            if any(one.harmed for one in weigh_segments(book.state, [ERROR, LATENCY], alpha=alpha)):
                flagged += 1
                break
    assert flagged / runs <= alpha + 3 * (alpha * (1 - alpha) / runs) ** 0.5


@given(
    events=st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["de", "en", ""]), st.booleans()), max_size=40),
    cuts=st.sets(st.integers(0, 40)),
)
def test_segments_survive_storage_and_repeated_delivery(events: list[tuple[int, str, bool]], cuts: set[int]) -> None:
    once, often = ledger(LANGUAGE), ledger(LANGUAGE)
    for index, (unit, language, candidate) in enumerate(events):
        arm = "candidate" if candidate else "matched_control"
        generation = seen(f"{arm}{unit}", language, id=f"g{index}", at_ms=index * SECOND, arm=arm)
        for book in (once, often):
            book.add(generation, None, now_ms=index * SECOND)
            book.close(index * SECOND)
        if index in cuts:
            counted = often.counted
            often = ledger(LANGUAGE, state=decode_evidence(encode_evidence(often.state)))
            often.counted = counted
            often.add(generation, None, now_ms=index * SECOND)
    once.close(10**9)
    often.close(10**9)
    assert often.state.segments == once.state.segments
