"""Intervals for people to look at. No decision depends on them: decisions read e-processes."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Literal

import msgspec

from trimtab.core.errors import InputError

__all__ = [
    "Interval",
    "Moments",
    "Sides",
    "difference_half_width",
    "mean_difference_sequence",
    "normal_mixture_bound",
    "normal_mixture_log",
    "normal_mixture_rho",
    "wilson_interval",
]

Sides = Literal["one", "two"]
_TUNED_FOR = 500.0
"""Units, of both arms together, at which the interval of a difference is tightest."""
_ROOT_STEPS = 80
"""Halvings of an interval: more than a double has bits to tell apart."""
_standard = NormalDist()


class Interval(msgspec.Struct, frozen=True):
    """A closed interval."""

    low: float
    high: float


class Moments(msgspec.Struct):
    """Count, mean and sum of squared deviations, updated one value at a time (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Take one more value into account."""
        self.count += 1
        delta = value - self.mean
        self.mean += delta / self.count
        self.squares += delta * (value - self.mean)

    @property
    def variance(self) -> float:
        """Sample variance; 0 below two values."""
        return self.squares / (self.count - 1) if self.count > 1 else 0.0


def wilson_interval(successes: float, trials: int, *, alpha: float = 0.05) -> Interval:
    """Return the score interval of a proportion, for one look (Wilson 1927). [0, 1] where nothing was tried."""
    if trials <= 0:
        return Interval(0.0, 1.0)
    z = _standard.inv_cdf(1.0 - alpha / 2.0)
    share = successes / trials
    denominator = 1.0 + z * z / trials
    centre = (share + z * z / (2 * trials)) / denominator
    half = z / denominator * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def share_difference_interval(first: tuple[int, int], second: tuple[int, int], *, alpha: float = 0.05) -> Interval:
    """Return the interval of the first proportion less the second, each (successes, trials), of independent samples.

    Hybrid score interval: Newcombe, "Interval estimation for the difference between independent proportions"
    (Statistics in Medicine 1998), method 10. [-1, 1] where one of them was not tried.
    """
    if min(first[1], second[1]) <= 0:
        return Interval(-1.0, 1.0)
    shares = first[0] / first[1], second[0] / second[1]
    one, other = (wilson_interval(*each, alpha=alpha) for each in (first, second))
    difference = shares[0] - shares[1]
    below = math.hypot(shares[0] - one.low, other.high - shares[1])
    above = math.hypot(one.high - shares[0], shares[1] - other.low)
    return Interval(max(-1.0, difference - below), min(1.0, difference + above))


def normal_mixture_rho(v_opt: float, *, alpha: float = 0.05, sides: Sides = "two") -> float:
    """Return the rho for which the normal-mixture boundary is (nearly) tightest at intrinsic time `v_opt`.

    Howard, Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences" (Annals of
    Statistics 2021, arXiv 1810.08240), section 3.5, with the lower branch of Lambert's W approximated as in confseq.
    """
    both = alpha if sides == "two" else 2.0 * alpha
    if not (v_opt > 0.0 and 0.0 < both < 1.0):
        raise InputError("invalid_boundary", f"no boundary for v_opt {v_opt} and alpha {alpha}", param="v_opt")
    odds = -2.0 * math.log(both)
    return v_opt / (odds + math.log1p(odds))


def normal_mixture_log(s: float, v: float, *, rho: float, sides: Sides = "two") -> float:
    """Return ln of the normal-mixture supermartingale where the centred sum is `s` and its variance process is `v`."""
    scale = v + rho
    log = 0.5 * math.log(rho / scale) + s * s / (2.0 * scale)
    return log if sides == "two" else log + math.log(2.0 * _standard.cdf(s / math.sqrt(scale)))


def normal_mixture_bound(
    v: float, alpha: float, v_opt: float, *, alpha_opt: float = 0.05, sides: Sides = "two"
) -> float:
    """Return what a centred sum with variance process `v` exceeds at *any* time with probability at most `alpha`.

    One side: the sum itself; two sides: its absolute value. Howard et al. 2021, propositions 5 and 6 with l0 = 1.
    """
    rho = normal_mixture_rho(v_opt, alpha=alpha_opt, sides=sides)
    two_sided = math.sqrt((v + rho) * (math.log1p(v / rho) - 2.0 * math.log(alpha)))
    if sides == "two":
        return two_sided
    low, high = 0.0, two_sided  # one side is a mixture over half as many slopes: its boundary lies lower
    for _ in range(_ROOT_STEPS):
        middle = (low + high) / 2.0
        if normal_mixture_log(middle, v, rho=rho, sides="one") < -math.log(alpha):
            low = middle
        else:
            high = middle
    return high


def difference_half_width(
    standard_error: float, count: int, *, alpha: float = 0.05, tuned_for: float = _TUNED_FOR
) -> float:
    """Return the half width, valid at any look, of a difference of means over `count` units of both arms together.

    Asymptotic confidence sequence: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory
    and asymptotic confidence sequences" (Annals of Statistics 2024, arXiv 2103.06476). Its Gaussian mixture is the
    boundary of :func:`normal_mixture_bound` in units of the standard deviation of one unit's share in the difference.
    """
    bound = normal_mixture_bound(float(count), alpha, tuned_for, alpha_opt=alpha)
    return standard_error * bound / math.sqrt(count)


def mean_difference_sequence(control: Moments, candidate: Moments, *, alpha: float = 0.05) -> Interval | None:
    """Return an interval for mean(candidate) - mean(control) that may be looked at any time; `None` below 2 a side.

    For scores in [0, 1]. The arms are taken as independent: in shadow, where they share users, it is wider than needed.
    """
    if control.count < 2 or candidate.count < 2:  # noqa: PLR2004 - a variance needs two values
        return None
    centre = candidate.mean - control.mean
    error = math.sqrt(_error_variance(control) + _error_variance(candidate))
    half = difference_half_width(error, control.count + candidate.count, alpha=alpha)
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def _error_variance(moments: Moments) -> float:
    """Of a mean. One deviation as large as there can be is added: a failure that nobody has met yet.

    Without it ten scores alike would be certainty, and 12 % of the sequences over (1.0, 0.9) missed the difference.
    """
    return (moments.variance + 1.0 / moments.count) / moments.count
