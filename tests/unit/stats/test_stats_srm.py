from __future__ import annotations

import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.stats import SampleRatio, log_bayes_factor


@pytest.mark.parametrize(("counts", "p_value"), [([10, 90], 0.548110), ([20, 180], 0.116720)])
def test_p_values_agree_with_another_implementation(counts: list[int], p_value: float) -> None:
    """savvi 0.3, `Multinomial(alpha, [0.05, 0.95], k=100)`: its p-value is the reciprocal of the Bayes factor."""
    test = SampleRatio.start([0.05, 0.95])
    test.add(counts)
    assert test.p_value == pytest.approx(p_value, abs=5e-7)
    assert test.value == pytest.approx(1 / p_value, rel=1e-5)


def test_one_unit_gives_the_evidence_computed_by_hand() -> None:
    # prior (25, 75) of 100: predicted 0.25 of the first, as expected; then 26/101 against 0.25
    assert log_bayes_factor([1, 0], [0.25, 0.75]) == pytest.approx(0.0, abs=1e-12)
    assert log_bayes_factor([2, 0], [0.25, 0.75]) == pytest.approx(math.log(26 / 101 / 0.25), rel=1e-9)
    assert log_bayes_factor([1, 1], [0.5, 0.5], concentration=2) == pytest.approx(math.log(1 / 6 / 0.25), rel=1e-9)


@given(
    units=st.lists(st.integers(0, 2), max_size=200),
    weights=st.tuples(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50)),
)
def test_evidence_is_the_product_of_what_was_predicted_over_what_was_expected(
    units: list[int], weights: tuple[int, int, int]
) -> None:
    expected = [weight / sum(weights) for weight in weights]
    test, product, seen = SampleRatio.start(expected), 0.0, [0, 0, 0]
    for arm in units:
        product += math.log((100 * expected[arm] + seen[arm]) / (100 + sum(seen)) / expected[arm])
        seen[arm] += 1
        test.add([int(arm == index) for index in range(3)])
        assert test.log_value == pytest.approx(product, abs=1e-8)
        assert test.log_peak >= test.log_value - 1e-12
    assert test.counts == seen
    assert 0 < test.p_value <= 1


@given(n=st.integers(1, 12), weight=st.integers(1, 9))
def test_under_the_expected_shares_mean_evidence_is_one(n: int, weight: int) -> None:
    """Exactly, over all outcomes: that is what makes it a test martingale."""
    share = weight / 10
    mean = math.fsum(
        math.comb(n, k) * share**k * (1 - share) ** (n - k) * math.exp(log_bayes_factor([k, n - k], [share, 1 - share]))
        for k in range(n + 1)
    )
    assert mean == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_look_after_every_unit_raises_a_false_alarm_in_at_most_alpha_of_the_runs(share: float) -> None:
    source, alpha, runs = random.Random(5), 0.1, 600
    alarms = 0
    for _ in range(runs):
        test = SampleRatio.start([share, 1 - share])
        for _ in range(400):
            test.add([1, 0] if source.random() < share else [0, 1])
            if test.peak >= 1 / alpha:
                alarms += 1
                break
    assert alarms / runs <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


@pytest.mark.parametrize(("actual", "within"), [(0.0, 60), (0.4, 1500), (0.45, 5000)])
def test_a_real_mismatch_is_found(actual: float, within: int) -> None:
    source = random.Random(9)
    for _ in range(10):
        test = SampleRatio.start([0.5, 0.5])
        while test.peak < 1000 and test.units < within:
            test.add([1, 0] if source.random() < actual else [0, 1])
        assert test.peak >= 1000


def test_evidence_of_very_many_units_stays_a_finite_number() -> None:
    test = SampleRatio.start([0.5, 0.5])
    test.add([10**9, 0])
    assert math.isfinite(test.peak)
    assert test.p_value == 0.0
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(test), type=SampleRatio)
    assert again == test


@pytest.mark.parametrize("shares", [[0.5, 0.6], [0.0, 1.0], [1.0, 0.0], [0.5, float("nan")]])
def test_shares_that_are_none_are_refused(shares: list[float]) -> None:
    with pytest.raises(InputError):
        SampleRatio.start(shares)
