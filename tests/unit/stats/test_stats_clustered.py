from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.stats import clustered_mean


def grouped(seed: int) -> tuple[list[float], list[int]]:
    draw = random.Random(seed)
    [round(draw.gauss(0.2, 1), 1) for _ in range(120)]
    values = [draw.gauss(0, 1) + group * 0.3 for group in range(8) for _ in range(5)]
    return values, [group for group in range(8) for _ in range(5)]


def test_equal_clusters_agree_with_statsmodels() -> None:
    """Oracle: statsmodels 0.15.0, `OLS(values, 1).fit(cov_type="cluster")`: with equal clusters CR1 is CR2."""
    found = clustered_mean(*grouped(7))
    assert found is not None
    assert found.value == pytest.approx(1.17973338, abs=1e-8)
    assert found.standard_error == pytest.approx(0.21497161, abs=1e-8)
    assert found.degrees == pytest.approx(7.0)
    assert found.design_effect > 1.0


@given(values=st.lists(st.floats(-10, 10), min_size=2, max_size=40))
def test_each_item_for_itself_is_the_usual_standard_error(values: list[float]) -> None:
    found = clustered_mean(values)
    assert found is not None
    assert found.standard_error == pytest.approx(statistics.stdev(values) / math.sqrt(len(values)), abs=1e-9)
    assert found.degrees == pytest.approx(len(values) - 1)
    assert found.standard_error == pytest.approx(found.naive_error, abs=1e-9)


@given(values=st.lists(st.floats(-1, 1), min_size=4, max_size=12), times=st.integers(2, 4))
def test_saying_everything_again_within_its_cluster_adds_nothing(values: list[float], times: int) -> None:
    once = clustered_mean(values)
    again = clustered_mean(
        [value for value in values for _ in range(times)], [index for index in range(len(values)) for _ in range(times)]
    )
    assert once is not None
    assert again is not None
    assert again.standard_error == pytest.approx(once.standard_error, abs=1e-9)
    assert again.degrees == pytest.approx(once.degrees)


def test_unequal_clusters_are_covered_as_often_as_promised() -> None:
    draw, sizes, runs = random.Random(3), (1, 1, 2, 2, 3, 4, 6, 8, 12, 15), 1500
    clusters = [index for index, size in enumerate(sizes) for _ in range(size)]
    covered = naive = 0
    for _ in range(runs):
        shift = [draw.gauss(0, 1) for _ in sizes]
        found = clustered_mean([shift[cluster] + draw.gauss(0, 1) for cluster in clusters], clusters)
        assert found is not None
        interval = found.interval()
        covered += interval.low <= 0.0 <= interval.high
        naive += abs(found.value) <= 1.96 * found.naive_error
    assert covered / runs > 0.92
    assert naive / runs < 0.75  # what items taken for independent would have promised as 95 %


def test_p_values_fit_the_interval() -> None:
    found = clustered_mean([0.1, 0.4, -0.2, 0.3, 0.2])
    assert found is not None
    p_value = found.p_value()
    edge = found.interval(alpha=p_value)
    assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0.0, abs=1e-9)
    assert found.above(edge.low) == pytest.approx(p_value / 2)


def test_no_spread_is_certainty_and_one_cluster_is_nothing() -> None:
    same = clustered_mean([1.0, 1.0, 1.0])
    assert same is not None
    assert (same.p_value(), same.above(0.5), same.above(1.0)) == (0.0, 0.0, 1.0)
    assert clustered_mean([1.0, 2.0], ["a", "a"]) is None
    assert clustered_mean([1.0]) is None
    with pytest.raises(InputError, match="2 clusters for 1 values"):
        clustered_mean([1.0], ["a", "b"])
