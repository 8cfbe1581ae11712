from __future__ import annotations

import math
import random
import statistics

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.stats import PairedBetting, RatioScale, quantile, ratio_margin, ratio_scale, within

amounts = st.floats(min_value=0.01, max_value=1e6)
sums = st.tuples(amounts, amounts)


@given(sample=st.lists(amounts, min_size=1, max_size=200), share=st.floats(min_value=0.01, max_value=1.0))
def test_at_least_the_share_lies_within_the_quantile_and_no_smaller_value_does(
    sample: list[float], share: float
) -> None:
    limit = quantile(sample, share)
    assert limit in sample
    assert sum(value <= limit for value in sample) >= share * len(sample) * (1 - 1e-12)
    assert sum(value < limit for value in sample) < share * len(sample)


def test_the_quantile_of_textbook_samples() -> None:
    # Hyndman & Fan (1996), definition 1: the inverse of the empirical distribution
    assert quantile([3.0, 6.0, 7.0, 8.0, 8.0, 10.0, 13.0, 15.0, 16.0, 20.0], 0.25) == 7.0
    assert quantile([3.0, 6.0, 7.0, 8.0, 8.0, 10.0, 13.0, 15.0, 16.0, 20.0], 0.75) == 15.0
    assert quantile([1.0], 0.95) == 1.0


@pytest.mark.parametrize(("sample", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.5), ([1.0], math.nan)])
def test_no_quantile_of_nothing_and_none_beyond_the_sample(sample: list[float], share: float) -> None:
    with pytest.raises(InputError):
        quantile(sample, share)


@given(value=amounts, limit=amounts)
def test_a_measurement_keeps_to_the_limit_or_does_not(value: float, limit: float) -> None:
    assert within(value, limit) == (1.0 if value <= limit else 0.0)
    assert within(limit, limit) == within(limit, limit, lower_is_better=False) == 1.0
    if value != limit:
        assert within(value, limit) + within(value, limit, lower_is_better=False) == 1.0


def test_a_badly_learned_limit_costs_power_but_raises_no_alarm() -> None:
    """Both arms are held to the same limit, so equal arms stay equal even where it is far from the 95th percentile."""
    runs, alpha, alarms = 300, 0.1, 0
    for seed in range(runs):
        source = random.Random(seed)
        limit = quantile([source.lognormvariate(0, 1) for _ in range(10)], 0.95)
        betting = PairedBetting.start("harm", 0.01)
        for _ in range(150):
            control, candidate = (within(source.lognormvariate(0, 1), limit) for _ in range(2))
            betting.update(control=control, candidate=candidate)
        alarms += betting.peak >= 1 / alpha
    assert alarms / runs <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_a_slower_tail_is_found_though_the_mean_hardly_moves() -> None:
    """One answer in eight hangs for 30 s; the rest is a little quicker, so that the mean is nearly what it was."""
    source = random.Random(5)
    limit = quantile([source.lognormvariate(0, 0.5) for _ in range(200)], 0.95)
    betting = PairedBetting.start("harm", 0.02)
    for _ in range(600):
        hangs = source.random() < 1 / 8
        candidate = 30.0 if hangs else source.lognormvariate(0, 0.5) * 0.7
        betting.update(control=within(source.lognormvariate(0, 0.5), limit), candidate=within(candidate, limit))
    assert betting.peak > 20


@given(units=st.lists(sums, min_size=1, max_size=50), unit=sums, worse=st.sampled_from([1.5, 1 / 1.5]))
def test_ratio_scores_are_between_0_and_1_and_worse_with_a_worse_numerator(
    units: list[tuple[float, float]], unit: tuple[float, float], worse: float
) -> None:
    scale = ratio_scale(units)
    lower_is_better = worse > 1
    score = scale.score(*unit, lower_is_better=lower_is_better)
    assert 0.0 <= scale.score(unit[0] * worse, unit[1], lower_is_better=lower_is_better) <= score <= 1.0


@given(units=st.lists(sums, min_size=1, max_size=50))
def test_stable_itself_scores_one_half_on_average_before_clipping(units: list[tuple[float, float]]) -> None:
    scale = ratio_scale(units, reach=1e9)  # so far that nothing is clipped
    mean = statistics.fmean(scale.score(*unit) - 0.5 for unit in units)
    assert mean * 1e9 == pytest.approx(0.0, abs=1e-3)


@given(units=st.lists(sums, min_size=1, max_size=50), unit=sums, unit_of_money=st.sampled_from([0.25, 4.0, 1024.0]))
def test_the_unit_of_measure_does_not_matter(
    units: list[tuple[float, float]], unit: tuple[float, float], unit_of_money: float
) -> None:
    scale = ratio_scale(units)
    other = ratio_scale([(above * unit_of_money, below) for above, below in units])
    assert other.score(unit[0] * unit_of_money, unit[1]) == pytest.approx(scale.score(*unit), abs=1e-9)


@given(
    denominators=st.lists(st.floats(min_value=1.0, max_value=20.0), min_size=5, max_size=50),
    relative=st.floats(min_value=0.01, max_value=0.5),
)
def test_a_ratio_worse_by_a_share_costs_the_margin_of_that_share(denominators: list[float], relative: float) -> None:
    units = [(0.002 * below, below) for below in denominators]
    scale = ratio_scale(units, reach=50.0)
    fall = statistics.fmean(0.5 - scale.score(above * (1 + relative), below) for above, below in units)
    assert fall == pytest.approx(ratio_margin(relative, reach=50.0), rel=1e-9)


def test_scores_of_a_worked_example() -> None:
    # stable: 30 cents over 300 tokens, so 0.1 a token and 10 an average unit; reach 2: the score falls 1/40 a cent
    scale = ratio_scale([(5.0, 100.0), (10.0, 100.0), (15.0, 100.0)])
    assert scale == RatioScale(ratio=0.1, denominator=100.0, reach=2.0)
    assert scale.score(10.0, 100.0) == pytest.approx(0.5)
    assert scale.score(12.0, 100.0) == pytest.approx(0.45)
    assert scale.score(12.0, 100.0, lower_is_better=False) == pytest.approx(0.55)
    assert scale.score(500.0, 100.0) == 0.0
    assert scale.score(0.0, 1000.0) == 1.0
    assert ratio_margin(0.2) == pytest.approx(0.05)


@pytest.mark.parametrize("units", [[], [(0.0, 5.0)], [(3.0, 0.0)], [(-4.0, 2.0)], [(math.nan, 1.0)]])
def test_no_scale_without_a_ratio(units: list[tuple[float, float]]) -> None:
    with pytest.raises(InputError):
        ratio_scale(units)


def test_a_scale_survives_serialisation() -> None:
    scale = ratio_scale([(5.0, 100.0), (7.0, 90.0)])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(scale), type=RatioScale) == scale
