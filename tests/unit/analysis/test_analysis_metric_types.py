"""Shares, means, quantiles and ratios: what a plan may say, how each becomes a score, and that bets on them hold."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.analysis.evidence import EvidenceState, decode_evidence, encode_evidence
from trimtab.analysis.ledger import Ledger, margins_of
from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.analysis.scorers import Meter, ScorerLibrary
from trimtab.analysis.scoring import LEARNING_UNITS
from trimtab.analysis.verdict import Limits, Verdict, judge
from trimtab.events import Generation

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND = 1000
P95 = MetricSpec(name="latency", type="quantile")
COST = MetricSpec(name="cost-per-token", of="cost", per="tokens")


def ledger(*specs: MetricSpec, state: EvidenceState | None = None) -> Ledger:
    return Ledger(
        state or EvidenceState.start(margins_of(specs)),
        meters=ScorerLibrary().meters(specs),
        window_ms=10 * SECOND,
        shadow_stages=frozenset(),
        counted=set(),
    )


def seen(unit: str, **fields: Any) -> Generation:
    given: dict[str, Any] = {"id": f"gen_{unit}", "at_ms": 0, "unit": unit, "stage": 1, "arm": "candidate"} | fields
    return Generation(feature="f", environment="e", release="r", **given)


def verdict(book: Ledger, *specs: MetricSpec, alpha: float = 0.05) -> Verdict:
    return judge(book.state, specs, limits=Limits.of(specs, alpha=alpha, phases=1), phase="live")


@pytest.mark.parametrize(
    ("spec", "kind", "tolerance"),
    [
        (MetricSpec(name="error"), "binary", 0.02),
        (MetricSpec(name="latency"), "mean", 0.1),
        (P95, "quantile", 0.05),
        (MetricSpec(name="slow", of="latency", limit=2000.0), "quantile", 0.05),
        (COST, "ratio", 0.025),
        (MetricSpec(name="mine", scorer=ScorerSpec(regex="x")), "binary", 0.02),
        (MetricSpec(name="mine", scorer=ScorerSpec(python="m:f")), "mean", 0.02),
    ],
)
def test_the_type_follows_from_the_other_fields(spec: MetricSpec, kind: str, tolerance: float) -> None:
    assert (spec.kind, spec.tolerance) == (kind, tolerance)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "error", "type": "quantile"}, "a quantile is taken of numbers"),
        ({"name": "latency", "type": "binary"}, "binary is what is 0 or 1"),
        ({"name": "latency", "type": "ratio"}, "`of` one `per` another"),
        ({"name": "latency", "per": "tokens"}, "`of` one `per` another"),
        ({"name": "latency", "of": "tokens"}, "nor a built-in's name"),
        ({"name": "x", "of": "cost", "per": "tokens", "cap": 1.0}, "`cap` is for means"),
        ({"name": "x", "of": "cost", "per": "tokens", "quantile": 0.9}, "for metrics of `type: quantile`"),
        ({"name": "latency", "quantile": 0.9, "limit": 3.0}, "`quantile` or `limit`"),
        ({"name": "latency", "quantile": 0.9, "type": "mean"}, "for metrics of `type: quantile`"),
        ({"name": "mine", "scorer": ScorerSpec(regex="x"), "type": "mean"}, "a mean is taken of numbers"),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MetricSpec(**fields)


def test_a_quantile_is_how_many_requests_exceed_stables_frozen_limit() -> None:
    book = ledger(P95)
    for index in range(LEARNING_UNITS):
        assert "it learns of stable from" in verdict(book, P95).metrics[0].words
        book.add(seen(f"s{index}", arm="stable", latency_ms=float(index + 1)), None, now_ms=0)
    assert book.state.caps["latency"].value == 95.0
    for index, latency in enumerate([95.0, 95.1, 10.0, 10_000.0]):
        book.add(seen("ann", id=f"g{index}", latency_ms=latency), None, now_ms=0)
    book.add(seen("bob", arm="matched_control", latency_ms=40.0), None, now_ms=0)
    book.close(10 * SECOND)
    assert book.state.phases["live"].metrics["latency"].candidate.mean == 0.5
    assert "`latency` (requests within 95 ms, stable's 95 % quantile) fell from 100.0 % to 50.0 %" in (
        verdict(book, P95).metrics[0].words
    )


def test_a_limit_of_ones_own_needs_no_learning_and_more_may_be_better() -> None:
    quick = MetricSpec(name="quick", of="latency", limit=500.0)
    long = MetricSpec(name="long", of="length", quantile=0.9, direction="higher")
    book = ledger(quick, long)
    for index in range(LEARNING_UNITS):
        book.add(seen(f"s{index}", arm="stable", output="x" * (index + 1), messages=[{}]), None, now_ms=0)
    book.add(seen("ann", latency_ms=501.0, output="x" * 9, messages=[{}]), None, now_ms=0)
    book.add(seen("bob", latency_ms=500.0, output="x" * 10, messages=[{}]), None, now_ms=0)
    book.close(10 * SECOND)
    assert book.state.caps["long"].value == 10.0
    means = {name: metric.candidate.mean for name, metric in book.state.phases["live"].metrics.items()}
    assert means == {"quick": 0.5, "long": 0.5}


def learnt(book: Ledger, **fields: Any) -> Ledger:
    for index in range(LEARNING_UNITS):
        book.add(seen(f"s{index}", arm="stable", **fields), None, now_ms=0)
    return book


def test_a_ratio_is_scored_by_what_a_unit_spends_beyond_stables_ratio() -> None:
    book = learnt(ledger(COST), cost_usd=0.02, output_tokens=100)
    assert book.state.scales["cost-per-token"].scale is not None
    for unit, cost, tokens in [("same", 0.02, 100), ("double", 0.04, 100), ("longer", 0.06, 300), ("wild", 5.0, 1)]:
        book.add(seen(unit, cost_usd=cost, output_tokens=tokens), None, now_ms=0)
    book.add(seen("bob", arm="matched_control", cost_usd=0.02, output_tokens=100), None, now_ms=0)
    book.close(10 * SECOND)
    metric = book.state.phases["live"].metrics["cost-per-token"]
    assert metric.candidate.mean == pytest.approx((0.5 + 0.25 + 0.5 + 0.0) / 4)
    words = verdict(book, COST).metrics[0].words
    assert "`cost-per-token` rose from $0.2 per 1,000 tokens to $0.35 per 1,000 tokens" in words
    assert "'no worse than 10 % more'" in words


def test_a_ratio_clips_the_mean_of_a_window_not_its_requests() -> None:
    book = learnt(ledger(COST), cost_usd=0.02, output_tokens=100)
    for index, cost in enumerate([0.2, 0.002, 0.002, 0.002]):  # one dear request, three cheap ones
        book.add(seen("ann", id=f"g{index}", cost_usd=cost, output_tokens=100), None, now_ms=0)
    book.close(10 * SECOND)
    excess = (0.2 + 3 * 0.002) / 4 / 0.02 - 1
    assert book.state.phases["live"].metrics["cost-per-token"].candidate.mean == pytest.approx(0.5 - excess / 4)


def test_a_request_counts_in_a_ratio_only_where_both_are_known() -> None:
    book = learnt(ledger(COST), cost_usd=0.02, output_tokens=100)
    book.add(seen("free", cost_usd=0.0, output_tokens=100), None, now_ms=0)
    book.add(seen("failed", status="error"), None, now_ms=0)
    book.close(10 * SECOND)
    assert book.state.phases["live"].metrics["cost-per-token"].candidate.count == 0
    assert book.state.phases["live"].units.candidate == 2


def test_a_ratio_that_is_zero_in_stable_waits_and_says_so() -> None:
    failures = MetricSpec(name="errors-per-call", of="errors", per="attempts")
    book = learnt(ledger(failures), latency_ms=1.0)
    assert "stable's ratio is zero over its first 100 users" in verdict(book, failures).metrics[0].words
    book.add(seen("unlucky", arm="stable", status="error", attempts=3), None, now_ms=0)
    scale = book.state.scales["errors-per-call"].scale
    assert scale is not None
    assert scale.ratio == pytest.approx(1 / 103)


def test_what_was_learned_survives_storage_half_way() -> None:
    whole, halved = ledger(P95, COST), ledger(P95, COST)
    for index in range(LEARNING_UNITS):
        stable = seen(f"s{index}", arm="stable", latency_ms=index + 1.0, cost_usd=0.01 + index / 1e4, output_tokens=50)
        whole.add(stable, None, now_ms=0)
        halved.add(stable, None, now_ms=0)
        halved = ledger(P95, COST, state=decode_evidence(encode_evidence(halved.state)))
    assert halved.state == whole.state
    assert whole.state.scales["cost-per-token"].scale is not None


@pytest.mark.parametrize(
    ("spec", "returned", "error"),
    [
        (MetricSpec(name="m", scorer=ScorerSpec(python="m:f"), type="binary"), 0.5, "neither 0 nor 1"),
        (MetricSpec(name="m", scorer=ScorerSpec(python="m:f"), type="quantile"), math.inf, "not a finite number"),
        (MetricSpec(name="m", scorer=ScorerSpec(python="m:f"), type="quantile"), 7000.0, ""),
        (MetricSpec(name="m", scorer=ScorerSpec(python="m:f")), 7000.0, "not between 0 and 1"),
    ],
)
def test_scorers_are_held_to_the_type(spec: MetricSpec, returned: float, error: str) -> None:
    measured = Meter(spec, lambda _generation, _release: returned, foreign=True).measure(seen("ann"), None)
    assert error in measured.error
    assert (measured.value == returned) is not bool(error)


EVERY_TYPE = (
    MetricSpec(name="error", margin=0.05),
    MetricSpec(name="latency", cap=4000.0, margin=0.1),
    MetricSpec(name="slow", of="latency", limit=1000.0, margin=0.05),
    MetricSpec(name="cost-per-token", of="cost", per="tokens", margin=0.2),
)


def play(
    source: random.Random, specs: Sequence[MetricSpec], units: int, *, alpha: float = 0.05, **worse: float
) -> Verdict:
    """Users arrive in both arms; the candidate is worse by `worse` times what each metric tolerates."""
    book = ledger(*specs)
    for index in range(LEARNING_UNITS + 2 * units):
        arm: Any = "stable" if index < LEARNING_UNITS else source.choice(["candidate", "matched_control"])
        by = worse if arm == "candidate" else {}
        slow = source.random() < 0.05 + 0.05 * by.get("slow", 0)
        tokens = source.randint(50, 150)
        generation = seen(
            f"u{index}",
            at_ms=index,
            arm=arm,
            status="error" if source.random() < 0.03 + 0.05 * by.get("error", 0) else "ok",
            latency_ms=source.uniform(1000.1, 1500) if slow else source.uniform(100, 1000),
            output_tokens=tokens,
            cost_usd=tokens * source.uniform(1, 3) * 1e-5 * (1 + 0.2 * by.get("ratio", 0)),
        )
        book.add(generation, None, now_ms=index)
        book.close(index)
    book.close(10**9)
    return verdict(book, *specs, alpha=alpha)


@pytest.mark.parametrize("edge", ["error", "slow", "ratio"])
def test_at_the_edge_of_what_is_tolerated_a_guardrail_of_four_keeps_to_its_share_of_alpha(edge: str) -> None:
    """One guardrail worse by exactly its margin, three unchanged. A large alpha, so that it is reached at all."""
    source, runs, share = random.Random(4), 120, 0.4 / 4
    failed = sum(play(source, EVERY_TYPE, 250, alpha=0.4, **{edge: 1.0}).status == "failed" for _ in range(runs))
    assert failed / runs <= share + 3 * math.sqrt(share * (1 - share) / runs)


@pytest.mark.parametrize(("edge", "name"), [("error", "error"), ("slow", "slow"), ("ratio", "cost-per-token")])
def test_real_harm_in_one_type_is_found_and_named(edge: str, name: str) -> None:
    found = play(random.Random(6), EVERY_TYPE, 1200, **{edge: 4.0})
    assert found.status == "failed"
    assert [one.name for one in found.metrics if one.failed] == [name]
