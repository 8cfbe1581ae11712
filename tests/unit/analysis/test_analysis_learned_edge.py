"""What stable teaches a cap: room enough above it that what is worse can be seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.analysis.model import MetricSpec
from trimtab.analysis.scoring import learned_edge

TOKENS = MetricSpec(name="tokens")


def test_a_stable_whose_values_are_all_alike_leaves_room_for_worse_ones() -> None:
    cap = learned_edge([45.0] * 100, TOKENS)
    assert cap == 90.0
    share = min(1215.0, cap) / cap - 45.0 / cap
    assert share > TOKENS.tolerance, "27 times as many tokens must not look like as many"


@given(st.lists(st.floats(0.1, 1e6), min_size=100, max_size=100))
def test_a_value_twice_the_median_never_scores_as_the_median(sample: list[float]) -> None:
    cap = learned_edge(sample, TOKENS)
    median = sorted(sample)[49]
    assert cap >= 2 * median
    assert cap >= sorted(sample)[98]


def test_where_more_is_better_the_99th_percentile_is_the_cap() -> None:
    spec = MetricSpec(name="saved", of="tokens", direction="higher")
    assert learned_edge([45.0] * 100, spec) == 45.0


def test_only_zeros_leave_the_scale_defined() -> None:
    assert learned_edge([0.0] * 100, TOKENS) > 0


def test_a_quantile_learns_its_own_share() -> None:
    spec = MetricSpec(name="latency", type="quantile", quantile=0.95)
    assert learned_edge([float(number) for number in range(1, 101)], spec) == pytest.approx(95.0)
