"""How many items a paired comparison needs, and what the items at hand can show.

For the one-sided test of non-inferiority with margin m at level alpha: the mean of paired differences d with variance v
is shown to lie above -m with probability `power` where the true mean is d, if

    n >= (z(1-alpha) + z(power))² · v / (m + d)²

For items that pass or fail, v = ψ - d² with the share ψ of items on which the two runs disagree (Nam, Biometrics 53,
1997; Tango 1998; Lachenbruch, Statistics in Medicine 11, 1992, for the test of equality). ψ = 10 %, m = 5 points,
alpha = 5 % and 90 % power need 343 items.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from trimtab.core.errors import InputError

__all__ = ["binary_variance", "detectable_margin", "items_needed", "power_of"]

_standard = NormalDist()


def binary_variance(discordance: float, difference: float = 0.0) -> float:
    """Return the variance of one pair's difference, of -1, 0 and 1, from the share of pairs that disagree.

    Raises `InputError` for a difference that so few disagreements cannot make.
    """
    if not (0.0 <= discordance <= 1.0 and abs(difference) <= discordance):
        message = f"a difference of {difference:g} takes at least as many disagreements, not {discordance:g}"
        raise InputError("impossible_discordance", message, param="discordance", hint="both are shares in [0, 1]")
    return discordance - difference * difference


def items_needed(
    variance: float, *, margin: float, difference: float = 0.0, alpha: float = 0.05, power: float = 0.9
) -> int:
    """Return how many items show non-inferiority within `margin` with probability `power`. At least 2.

    `variance` is that of one item's paired difference, `difference` the true mean; both in the metric's units.
    Raises `InputError` where no number of them could.
    """
    distance = margin + difference
    if margin < 0.0 or distance <= 0.0:
        message = f"no number of items shows a true difference of {difference:g} to be within {margin:g}"
        raise InputError("impossible_margin", message, param="margin", hint="the margin has to be larger")
    return max(2, math.ceil(_spread(alpha, power) ** 2 * variance / distance**2 - 1e-9))


def power_of(items: int, variance: float, *, margin: float, difference: float = 0.0, alpha: float = 0.05) -> float:
    """Return the probability with which so many items show non-inferiority within `margin`."""
    if items <= 0:
        return 0.0
    if variance <= 0.0:
        return 1.0 if margin + difference > 0.0 else 0.0
    return _standard.cdf((margin + difference) * math.sqrt(items / variance) - _standard.inv_cdf(1.0 - alpha))


def detectable_margin(items: int, variance: float, *, alpha: float = 0.05, power: float = 0.9) -> float:
    """Return the smallest margin within which so many items can show equal runs to be non-inferior."""
    return _spread(alpha, power) * math.sqrt(variance / items) if items > 0 else math.inf


def _spread(alpha: float, power: float) -> float:
    if not (0.0 < alpha < 1.0 and 0.0 < power < 1.0):
        raise InputError("invalid_power", f"alpha {alpha:g} and power {power:g} have to lie in (0, 1)", param="power")
    return max(_standard.inv_cdf(1.0 - alpha) + _standard.inv_cdf(power), 0.0)
