from __future__ import annotations

import math
import random
import statistics
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.stats import Moments, mean_difference_sequence, share_difference_interval, wilson_interval
from trimtab.stats.intervals import (
    Sides,
    difference_half_width,
    normal_mixture_bound,
    normal_mixture_log,
    normal_mixture_rho,
)


def moments(total: float, squares: float, count: int) -> Moments:
    """Moments as others publish them: sum and sum of squares."""
    return Moments(count=count, mean=total / count, squares=squares - total * total / count)


def test_wilson_agrees_with_published_values() -> None:
    # Newcombe (1998), table I, method 3: 81/263 and 15/148
    assert wilson_interval(81, 263).low == pytest.approx(0.2553, abs=5e-5)
    assert wilson_interval(81, 263).high == pytest.approx(0.3662, abs=5e-5)
    assert wilson_interval(15, 148).low == pytest.approx(0.0624, abs=5e-5)
    assert wilson_interval(15, 148).high == pytest.approx(0.1605, abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_a_difference_of_shares_agrees_with_published_values(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    # Newcombe (1998, differences of independent proportions), table II, method 10
    found = share_difference_interval(first, second)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    turned = share_difference_interval(second, first)
    assert (turned.low, turned.high) == pytest.approx((-high, -low), abs=5e-5)


def test_a_difference_from_nothing_may_be_any() -> None:
    found = share_difference_interval((0, 0), (9, 10))
    assert (found.low, found.high) == (-1.0, 1.0)


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


def test_normal_mixtures_agree_with_confseq() -> None:
    """Oracle: the unit tests of the confseq package (Howard, Waudby-Smith & Ramdas), which took them from R."""
    assert normal_mixture_rho(100) == pytest.approx(12.60056, abs=1e-5)
    assert normal_mixture_log(10, 100, rho=normal_mixture_rho(100)) == pytest.approx(-0.6510052, abs=5e-8)
    assert normal_mixture_bound(100, 0.05, 100) == pytest.approx(30.35209, abs=5e-6)
    one_sided = normal_mixture_rho(100, sides="one")
    assert normal_mixture_log(10, 100, rho=one_sided, sides="one") == pytest.approx(-0.06502391, abs=5e-9)
    assert normal_mixture_bound(100, 0.05, 100, sides="one") == pytest.approx(27.66071, abs=5e-6)


def test_the_half_width_agrees_with_gbstats_on_a_relative_difference_of_means() -> None:
    # GrowthBook, packages/stats/tests/frequentist/test_tests.py, TestSequentialTTest.test_sequential_test_runs:
    # sums and sums of squares of 3,000 and 3,461 units, tuned for 1,000; interval (-0.55844, 1.56516)
    control, candidate = moments(1396.87, 52377.9767, 3000), moments(2422.7, 134698.29, 3461)
    ratio = candidate.mean / control.mean
    error = math.hypot(
        math.sqrt(candidate.variance / candidate.count) / control.mean,
        math.sqrt(control.variance / control.count) * ratio / control.mean,
    )
    half = difference_half_width(error, 6461, tuned_for=1000)
    assert error == pytest.approx(0.33341, abs=5e-6)
    assert ratio - 1 - half == pytest.approx(-0.55844, abs=5e-6)
    assert ratio - 1 + half == pytest.approx(1.56516, abs=5e-6)


def test_the_half_width_agrees_with_gbstats_on_a_relative_difference_of_shares() -> None:
    # the same file, test_sequential_test_runs_prop: 1,396 of 3,000 and 2,422 of 3,461, tuned for 5,000
    before, after = 1396 / 3000, 2422 / 3461
    error = math.sqrt(after * (1 - after) / 3461 + before * (1 - before) / 3000 * (after / before) ** 2) / before
    half = difference_half_width(error, 6461, tuned_for=5000)
    assert after / before - 1 - half == pytest.approx(0.40098, abs=5e-6)
    assert after / before - 1 + half == pytest.approx(0.60675, abs=5e-6)


@pytest.mark.parametrize(("v_opt", "alpha", "sides"), [(0.0, 0.05, "two"), (100, 1.0, "two"), (100, 0.5, "one")])
def test_a_boundary_that_does_not_exist_is_refused(v_opt: float, alpha: float, sides: Sides) -> None:
    with pytest.raises(InputError):
        normal_mixture_rho(v_opt, alpha=alpha, sides=sides)


@given(v=st.floats(min_value=1, max_value=1e6), v_opt=st.floats(min_value=1, max_value=1e6))
def test_the_boundary_is_where_the_supermartingale_reaches_its_limit(v: float, v_opt: float) -> None:
    for sides in get_args(Sides):
        rho = normal_mixture_rho(v_opt, sides=sides)
        bound = normal_mixture_bound(v, 0.05, v_opt, sides=sides)
        assert normal_mixture_log(bound, v, rho=rho, sides=sides) == pytest.approx(math.log(20), rel=1e-9)


@pytest.mark.parametrize(
    ("control", "candidate"), [(0.8, 0.7), (0.5, 0.5), (1.0, 0.9), (0.995, 0.9), (0.99, 0.99), (1.0, 0.98)]
)
def test_the_sequence_holds_the_true_difference_at_every_look(control: float, candidate: float) -> None:
    """From the second user on, and where failures are so rare that both arms look alike for long."""
    runs, missed = 150, 0
    for seed in range(runs):
        source = random.Random(seed)
        before, after = Moments(), Moments()
        for _ in range(300):
            before.add(float(source.random() < control))
            after.add(float(source.random() < candidate))
            interval = mean_difference_sequence(before, after)
            if interval is not None and not interval.low <= candidate - control <= interval.high:
                missed += 1
                break
    assert missed / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_no_interval_before_both_sides_have_two_values() -> None:
    one, many = Moments(), Moments()
    one.add(0.5)
    for value in (0.1, 0.5, 0.9):
        many.add(value)
    assert mean_difference_sequence(one, many) is None
    assert mean_difference_sequence(many, many) is not None
