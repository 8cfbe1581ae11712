"""When a decision can be expected: from how fast units come, and how fast the evidence grew so far.

ln of a bet's wealth grows by about the same amount with every pair, so what is missing to the limit, divided by the
mean increment so far, is how many more pairs it takes. It is an estimate for people, and no decision reads it: by
chance the growth so far may well be larger than it will be. Where the wealth has not grown, nothing can be foreseen.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from trimtab.stats import betting_weights

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.stats import PairedBetting

__all__ = ["Forecast", "forecast", "last_of", "seconds_to_limit", "span"]

_FEWEST_PAIRS = 20
"""Before so many pairs the growth is mostly chance."""
_HORIZON_SECONDS = 365 * 86_400.0
_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """When the evidence at hand is expected to decide."""

    seconds: float | None
    """From the last measured unit; `None` where it cannot be foreseen."""
    words: str


def seconds_to_limit(bet: PairedBetting, limit: float, *, pairs_per_second: float) -> float | None:
    """Return in how many seconds a bet may be expected to reach its limit; 0: it has, `None`: who knows."""
    missing = math.log(limit)
    if bet.log_peak >= missing:
        return 0.0
    if bet.pairs < _FEWEST_PAIRS or pairs_per_second <= 0.0:
        return None
    best = max(bet.log_wealth)
    if best <= 0.0:
        return None
    # E is the mean over the stakes; in the long run it is what the best one owns of it
    share = betting_weights(bet.bet, bet.grid)[bet.log_wealth.index(best)]
    pairs = (missing - math.log(share) - best) * bet.pairs / best
    seconds = max(pairs, 1.0) / pairs_per_second
    return seconds if seconds <= _HORIZON_SECONDS else None


def last_of(times: Iterable[float | None]) -> float | None:
    """Return when all of them are there: the latest, `None` where one cannot be foreseen or there are none."""
    latest = None
    for time in times:
        if time is None:
            return None
        latest = time if latest is None else max(latest, time)
    return latest


def forecast(seconds: float | None) -> Forecast:
    """Return a time to a decision with its words."""
    if seconds is None:
        return Forecast(seconds=None, words="not foreseeable: the evidence does not grow, or too little was seen")
    if seconds == 0.0:
        return Forecast(seconds=0.0, words="decided")
    return Forecast(seconds=seconds, words=f"about {span(seconds)} at the present traffic and difference")


def span(seconds: float) -> str:
    """Return a duration for people, rounded: `1 min`, `3 h`, `2.5 d`."""
    for size, name in _UNITS:
        if seconds >= size:
            many = seconds / size
            return f"{many:.0f} {name}" if many >= 10 or round(many, 1) == round(many) else f"{many:.1f} {name}"  # noqa: PLR2004 - two digits
    return "1 min"
