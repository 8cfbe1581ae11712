from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.stats import clopper_pearson
from trimtab.stats.beta import beta_cdf, beta_quantile, binomial_cdf, t_quantile, t_tail


def test_distributions_agree_with_scipy() -> None:
    """Oracle: scipy 1.17.1."""
    assert beta_cdf(0.2, 3, 40) == pytest.approx(0.994443826977619, rel=1e-12)
    assert beta_cdf(0.5, 5000, 5100) == pytest.approx(0.8401528708121381, rel=1e-9)
    assert beta_quantile(0.3, 2.5, 0.7) == pytest.approx(0.7097758912148804, rel=1e-12)
    assert t_tail(2.1, 7.3) == pytest.approx(0.0361233567124267, rel=1e-12)
    quantiles = [t_quantile(0.975, degrees) for degrees in (1, 2, 2.5, 10, 1e6)]
    assert quantiles == pytest.approx([12.70620474, 4.30265273, 3.57465484, 2.22813885, 1.95996636], rel=1e-8)
    assert t_quantile(0.6, 3) == pytest.approx(0.2766706623326898, rel=1e-12)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 20, 0.0, 0.16843347098308534),
        (1, 10, 0.0025285785444617848, 0.4450161170281953),
        (81, 263, 0.25273674558527126, 0.3676219226013514),
        (15, 148, 0.05784401008344857, 0.161650490349479),
        (9990, 10000, 0.9981617358657894, 0.9995203602762289),
    ],
)
def test_clopper_pearson_agrees_with_statsmodels(successes: int, trials: int, low: float, high: float) -> None:
    """Oracle: statsmodels 0.15.0, `proportion_confint(method="beta")`; 81/263 and 15/148 are Newcombe's (1998)."""
    found = clopper_pearson(successes, trials)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


@given(trials=st.integers(0, 60), data=st.data())
def test_the_ends_of_clopper_pearson_leave_half_of_alpha_each(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    found = clopper_pearson(successes, trials, alpha=0.1)
    if successes:
        assert 1.0 - binomial_cdf(successes - 1, trials, found.low) == pytest.approx(0.05, abs=1e-9)
    if successes < trials:
        assert binomial_cdf(successes, trials, found.high) == pytest.approx(0.05, abs=1e-9)


@given(trials=st.integers(1, 200), share=st.floats(0.01, 0.99), data=st.data())
def test_the_binomial_is_the_sum_of_its_terms(trials: int, share: float, data: st.DataObject) -> None:
    successes = data.draw(st.integers(-1, trials + 1))
    terms = [math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(min(successes, trials) + 1)]
    assert binomial_cdf(successes, trials, share) == pytest.approx(math.fsum(terms), abs=1e-10)


@given(probability=st.floats(0.001, 0.999), degrees=st.floats(1.0, 500.0))
def test_quantiles_of_t_invert_its_tail(probability: float, degrees: float) -> None:
    assert 1.0 - t_tail(t_quantile(probability, degrees), degrees) == pytest.approx(probability, abs=1e-9)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3), (1, 0), (1, -1)])
def test_counts_that_are_none_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(InputError, match="is no proportion"):
        clopper_pearson(successes, trials)
