from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.stats import Level, bootstrap_interval, krippendorff_alpha

OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
UNITS = list(zip(*OBSERVERS, strict=True))
"""Krippendorff (2011), example C: four observers, twelve units, gaps."""

values = st.lists(st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=1, max_size=4), min_size=1, max_size=12)


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_the_example_of_the_paper(level: Level, alpha: float) -> None:
    found = krippendorff_alpha(UNITS, level=level)
    assert found == pytest.approx(alpha, abs=5e-4)


def by_definition(units: list[list[int | None]], level: Level) -> float | None:
    """Alpha as it is defined, over a matrix of coincidences."""
    pairable = [[v for v in unit if v is not None] for unit in units]
    pairable = [unit for unit in pairable if len(unit) > 1]
    coincidences: dict[tuple[int, int], float] = {}
    for unit in pairable:
        for a, b in itertools.permutations(range(len(unit)), 2):
            key = unit[a], unit[b]
            coincidences[key] = coincidences.get(key, 0.0) + 1 / (len(unit) - 1)
    totals = {c: sum(n for (a, _), n in coincidences.items() if a == c) for c in range(5)}

    def distance(a: int, b: int) -> float:
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return float((a - b) ** 2)
        low, high = min(a, b), max(a, b)
        return float((sum(totals[g] for g in range(low, high + 1)) - (totals[a] + totals[b]) / 2) ** 2)

    count = sum(totals.values())
    expected = sum(totals[a] * totals[b] * distance(a, b) for a in totals for b in totals)
    if not expected:
        return None
    return 1 - (count - 1) * sum(n * distance(a, b) for (a, b), n in coincidences.items()) / expected


@given(units=values, level=st.sampled_from(get_args(Level)))
def test_it_is_what_the_definition_gives(units: list[list[int | None]], level: Level) -> None:
    assert krippendorff_alpha(units, level=level) == pytest.approx(by_definition(units, level), abs=1e-9)


def test_labels_may_be_words_and_order_needs_numbers() -> None:
    assert krippendorff_alpha([("a", "a"), ("b", "b")]) == 1.0
    assert krippendorff_alpha([("a", "b"), ("b", "a")]) == pytest.approx(-0.5)
    with pytest.raises(InputError, match="no place on a scale"):
        krippendorff_alpha([("a", "b")], level="ordinal")


def test_no_pairs_or_no_variety_say_nothing() -> None:
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha([("a", None), (None, "b")]) is None
    assert krippendorff_alpha([("a", "a"), ("a", "a")], level="nominal") is None


def test_a_bootstrap_interval_holds_the_estimate_and_repeats_itself() -> None:
    interval = bootstrap_interval(UNITS, krippendorff_alpha, resamples=300)
    assert interval == bootstrap_interval(UNITS, krippendorff_alpha, resamples=300)
    assert interval is not None
    assert 0.3 < interval.low < 0.743 < interval.high <= 1.0


def test_a_bootstrap_of_a_mean_is_about_as_wide_as_theory_says() -> None:
    sample = [float(value) for value in range(100)]
    interval = bootstrap_interval(sample, lambda units: sum(units) / len(units), resamples=1000)
    assert interval is not None
    assert interval.low == pytest.approx(49.5 - 1.96 * 2.887, abs=0.8)
    assert interval.high == pytest.approx(49.5 + 1.96 * 2.887, abs=0.8)


def test_what_cannot_be_resampled_has_no_interval() -> None:
    assert bootstrap_interval([1.0], lambda units: units[0]) is None
    assert bootstrap_interval([1.0, 2.0], lambda _: None, resamples=10) is None
    with pytest.raises(InputError, match="resamples"):
        bootstrap_interval([1.0, 2.0], lambda _: 1.0, resamples=0)
