"""Does the new one answer differently at all, in a way no detector names? An alarm: different, not worse.

The maximum mean discrepancy of a kernel on hashed words and shape (:mod:`trimtab.stats.text_features`), as a bet: both
outputs of an item are exchangeable where nothing changed, so wealth is a martingale and reaches 1/alpha with a
probability of at most alpha (:mod:`trimtab.stats.two_sample`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.stats.text_features import text_features
from trimtab.stats.two_sample import TwoSampleBetting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trimtab.behaviour.model import Pair

__all__ = ["Alarm", "alarm_of", "points_of", "wealth_of"]

_MOST_PAIRS = 2000
"""Evenly spread ones are looked at where there are more: they are enough for an alarm."""


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Whether texts look different, in words, length or format."""

    pairs: int
    odds: float
    """Evidence for a difference, as odds to one."""
    limit: float
    raised: bool


def alarm_of(pairs: Sequence[Pair], *, alpha: float) -> Alarm:
    """Compare the texts of pairs; where nothing changed the alarm is raised with a probability of at most `alpha`."""
    points = points_of(pairs)
    odds, limit = wealth_of(points), 1.0 / alpha
    return Alarm(pairs=len(points), odds=odds, limit=limit, raised=odds >= limit)


def points_of(pairs: Sequence[Pair]) -> list[tuple[list[float], list[float]]]:
    """Return the points of both texts of evenly spread pairs, at most 2,000."""
    every = -(-len(pairs) // _MOST_PAIRS) or 1
    return [(text_features(pair.old.text), text_features(pair.new.text)) for pair in pairs[::every]]


def wealth_of(points: Iterable[tuple[list[float], list[float]]]) -> float:
    """Return the largest wealth of the bet that the second points differ from the first, as odds to one."""
    bet = TwoSampleBetting()
    for old, new in points:
        bet.add("control", old)
        bet.add("candidate", new)
    return bet.peak
