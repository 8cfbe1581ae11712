from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.stats import Moments, mean_difference_sequence, wilson_interval


def test_wilson_agrees_with_published_values() -> None:
    # Newcombe (1998), table I, method 3: 81/263 and 15/148
    assert wilson_interval(81, 263).low == pytest.approx(0.2553, abs=5e-5)
    assert wilson_interval(81, 263).high == pytest.approx(0.3662, abs=5e-5)
    assert wilson_interval(15, 148).low == pytest.approx(0.0624, abs=5e-5)
    assert wilson_interval(15, 148).high == pytest.approx(0.1605, abs=5e-5)


def test_wilson_of_nothing_is_everything_and_of_zero_successes_touches_zero() -> None:
    assert wilson_interval(0, 0).high == 1.0
    assert wilson_interval(0, 20).low == 0.0
    assert wilson_interval(0, 20).high == pytest.approx(0.1611, abs=5e-5)


@given(values=st.lists(st.floats(min_value=0, max_value=1), min_size=2, max_size=80))
def test_moments_agree_with_the_standard_library(values: list[float]) -> None:
    moments = Moments()
    for value in values:
        moments.add(value)
    assert moments.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert moments.variance == pytest.approx(statistics.variance(values), abs=1e-9)


def test_the_sequence_holds_the_true_difference_at_every_look() -> None:
    missed = 0
    for seed in range(60):
        source = random.Random(seed)
        control, candidate = Moments(), Moments()
        outside = False
        for look in range(400):
            control.add(float(source.random() < 0.8))
            candidate.add(float(source.random() < 0.7))
            interval = mean_difference_sequence(control, candidate)
            if look > 10 and interval is not None:
                outside = outside or not interval.low <= -0.1 <= interval.high
        missed += outside
    assert missed <= 3


def test_no_interval_before_both_sides_have_two_values() -> None:
    one, many = Moments(), Moments()
    one.add(0.5)
    for value in (0.1, 0.5, 0.9):
        many.add(value)
    assert mean_difference_sequence(one, many) is None
    assert mean_difference_sequence(many, many) is not None
