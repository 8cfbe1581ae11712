"""Beta, binomial and Student's t distributions, in plain floats."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trimtab.core.errors import InputError
from trimtab.stats.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["beta_cdf", "beta_quantile", "binomial_cdf", "clopper_pearson", "falling_root", "t_quantile", "t_tail"]

_TINY = 1e-300
_TERMS = 10_000
"""More than the continued fraction ever takes: it needs about the root of the larger parameter."""
_PRECISION = 1e-15
_HALVINGS = 64
_FARTHEST_T = 1e9


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) for a, b > 0 (continued fraction, DLMF 8.17.22)."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    front = math.exp(log_front)
    if x < (a + 1.0) / (a + b + 2.0):
        return min(front * _fraction(x, a, b) / a, 1.0)
    return max(1.0 - front * _fraction(1.0 - x, b, a) / b, 0.0)


def _fraction(x: float, a: float, b: float) -> float:
    """Evaluate the continued fraction (Lentz 1976)."""
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d)
            c = _away_from_zero(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < _PRECISION:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return the x in [0, 1] with I_x(a, b) = `probability`."""
    return falling_root(lambda x: probability - beta_cdf(x, a, b), 0.0, 1.0)


def binomial_cdf(successes: int, trials: int, share: float) -> float:
    """Return the probability of at most so many successes."""
    if successes < 0:
        return 0.0
    if successes >= trials:
        return 1.0
    return beta_cdf(1.0 - share, trials - successes, successes + 1.0)


def clopper_pearson(successes: int, trials: int, *, alpha: float = 0.05) -> Interval:
    """Return the exact interval of a proportion (Clopper & Pearson 1934): it covers with at least 1 - alpha.

    [0, 1] where nothing was tried. Raises `InputError` for counts that are none.
    """
    if not 0 <= successes <= max(trials, 0):
        raise InputError("invalid_counts", f"{successes} of {trials} is no proportion", param="successes")
    low = beta_quantile(alpha / 2.0, successes, trials - successes + 1.0) if successes else 0.0
    high = beta_quantile(1.0 - alpha / 2.0, successes + 1.0, trials - successes) if successes < trials else 1.0
    return Interval(low, high)


def t_tail(t: float, degrees: float) -> float:
    """Return the probability that Student's t with `degrees` > 0 of freedom exceeds `t`."""
    half = beta_cdf(degrees / (degrees + t * t), degrees / 2.0, 0.5) / 2.0
    return half if t >= 0.0 else 1.0 - half


def t_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t for a probability in (0, 1)."""
    if probability < 0.5:  # noqa: PLR2004 - the middle
        return -t_quantile(1.0 - probability, degrees)
    tail = 1.0 - probability
    # the root of a tail that may lie anywhere: its distance from 0 on a scale of its own
    return math.expm1(falling_root(lambda s: t_tail(math.expm1(s), degrees) - tail, 0.0, math.log(_FARTHEST_T)))


def falling_root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function that falls from above 0 to below it crosses 0, by halving."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if function(middle) > 0.0:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0
