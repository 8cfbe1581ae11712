"""Pairs of passed and failed."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.stats import PairedCounts, mcnemar, newcombe_interval, non_inferiority, tango_interval

counts = st.builds(
    PairedCounts,
    both_passed=st.integers(0, 80),
    lost=st.integers(0, 40),
    gained=st.integers(0, 40),
    both_failed=st.integers(0, 80),
)
AIRWAYS = PairedCounts(both_passed=1, gained=1, lost=7, both_failed=12)
"""Bentur et al. (2009), the example of Fagerland, Lydersen & Laake (2014)."""
RESPONSE = PairedCounts(both_passed=59, gained=6, lost=16, both_failed=80)
"""Cavo et al. (2012), the same."""


def test_mcnemar_agrees_with_published_values() -> None:
    """Fagerland, Lydersen & Laake (2013): exact 0.070, mid-p 0.039; further digits and Cavo's: statsmodels 0.15.0."""
    assert mcnemar(AIRWAYS) == pytest.approx(0.0703125, abs=1e-12)
    assert mcnemar(AIRWAYS, mid=True) == pytest.approx(0.0390625, abs=1e-12)
    assert mcnemar(RESPONSE) == pytest.approx(0.052478790283203125, abs=1e-12)
    approval = PairedCounts(both_passed=794, gained=86, lost=150, both_failed=570)  # Agresti
    assert mcnemar(approval) == pytest.approx(3.7159361395713866e-05, rel=1e-9)


def test_intervals_agree_with_published_values() -> None:
    """Fagerland, Lydersen & Laake (2014); the tests of R's contingencytables; PropCIs' `scoreci.mp(25, 28, 618)`."""
    tango, newcombe = tango_interval(AIRWAYS), newcombe_interval(AIRWAYS)
    assert (tango.low, tango.high) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert (newcombe.low, newcombe.high) == pytest.approx((-0.507, -0.026), abs=5e-4)
    newcombe = newcombe_interval(RESPONSE)
    assert (newcombe.low, newcombe.high) == pytest.approx((-0.1186, -0.0046), abs=5e-5)
    tango = tango_interval(PairedCounts(lost=25, gained=28, both_passed=565), alpha=0.1)
    assert (tango.low, tango.high) == pytest.approx((-0.0148, 0.0247), abs=5e-5)


@given(counts=counts)
def test_mcnemar_is_twice_the_smaller_tail(counts: PairedCounts) -> None:
    disagreeing, fewer = counts.lost + counts.gained, min(counts.lost, counts.gained)
    ways = sum(math.comb(disagreeing, k) for k in range(fewer + 1))
    assert mcnemar(counts) == pytest.approx(min(1.0, 2 * ways / 2**disagreeing), abs=1e-9)
    assert 0.0 < mcnemar(counts, mid=True) <= mcnemar(counts)


@given(counts=counts)
def test_swapping_the_runs_swaps_the_answer(counts: PairedCounts) -> None:
    swapped = PairedCounts(
        both_passed=counts.both_passed, lost=counts.gained, gained=counts.lost, both_failed=counts.both_failed
    )
    assert mcnemar(counts) == pytest.approx(mcnemar(swapped))
    for interval in (newcombe_interval, tango_interval):
        one, other = interval(counts), interval(swapped)
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-9)
        assert -1.0 <= one.low <= counts.difference + 1e-12
        assert counts.difference - 1e-12 <= one.high <= 1.0


@given(counts=counts, margin=st.floats(0.01, 0.5))
def test_non_inferior_is_where_the_interval_lies_above_the_margin(counts: PairedCounts, margin: float) -> None:
    p_value = non_inferiority(counts, margin=margin)
    low = tango_interval(counts, alpha=0.1).low
    if abs(p_value - 0.05) > 1e-6:
        assert (p_value < 0.05) == (low > -margin)


def test_without_items_nothing_is_known() -> None:
    nothing = PairedCounts()
    assert mcnemar(nothing) == 1.0
    assert non_inferiority(nothing, margin=0.05) == 1.0
    assert tango_interval(nothing).low == newcombe_interval(nothing).low == -1.0


def test_no_disagreement_on_few_items_does_not_prove_non_inferiority() -> None:
    assert non_inferiority(PairedCounts(both_passed=20), margin=0.05) > 0.05
    assert non_inferiority(PairedCounts(both_passed=200), margin=0.05) < 0.05


@pytest.mark.parametrize("discordance", [0.05, 0.2])
def test_at_the_margin_non_inferiority_is_concluded_no_oftener_than_alpha(discordance: float) -> None:
    draw, margin, items, runs = random.Random(1), 0.05, 250, 1500
    lost = (discordance + margin) / 2
    wrong = 0
    for _ in range(runs):
        kinds = draw.choices(("lost", "gained", "both_passed"), (lost, lost - margin, 1 - discordance), k=items)
        seen = PairedCounts(**{kind: kinds.count(kind) for kind in set(kinds)})
        wrong += non_inferiority(seen, margin=margin) < 0.05
    assert wrong / runs < 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert wrong / runs > 0.02  # and it is not merely timid


def test_pairs_are_counted_by_how_both_ended() -> None:
    pairs = [(True, True), (True, False), (False, True), (False, False), (True, False)]
    counted = PairedCounts.of(pairs)
    assert counted == PairedCounts(both_passed=1, lost=2, gained=1, both_failed=1)
    assert (counted.baseline, counted.candidate, counted.discordance) == (0.6, 0.4, 0.6)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="negative"):
        PairedCounts(lost=-1)
    with pytest.raises(InputError, match="margin"):
        non_inferiority(AIRWAYS, margin=0.0)
