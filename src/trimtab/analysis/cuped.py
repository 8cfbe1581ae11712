"""CUPED: less noise in an experiment by what is known of a unit from before it.

A user whose questions are easy does well on any release. Taking out what the user's own past foretells leaves less
noise, so the same difference is proven with fewer users: where past and present correlate by r, the variance falls by a
share r². Method: Deng, Xu, Kohavi & Walker, "Improving the sensitivity of online controlled experiments by utilizing
pre-experiment data" (WSDM 2013, doi 10.1145/2433396.2433413).

The covariate x is the unit's mean score of the same metric while it was served plain stable, which no arm can have
changed. Instead of y the bet reads

    s = (y + θ·(1 - x)) / (1 + θ)        that is y - θ·(x - x̄), moved and rescaled into [0, 1]

with θ in [0, 1] and the mean x̄ both learned from stable alone, and frozen before the experiment's first unit. The scale
is the same for every unit and x has the same mean in all arms, so equal arms have equal means of s whatever θ is:
clipping y - θ·(x - x̄) instead would not keep that promise. A unit without a past counts with x = x̄.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Adjustment", "Past", "Slope", "freeze", "take_past"]

_FEWEST_ANSWERS = 100
"""From fewer, θ would be mostly chance; it is then 0, which adjusts nothing."""


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """θ and x̄ of one goal, frozen."""

    theta: float
    mean: float
    answers: int
    """Of stable, from which they were learned."""

    def score(self, value: float, past: float | None) -> float:
        """Return the adjusted score of a unit in [0, 1]."""
        return (value + self.theta * (1.0 - (self.mean if past is None else past))) / (1.0 + self.theta)


class Slope(msgspec.Struct, kw_only=True):
    """Least squares of an answer's score on the unit's mean before it, one pair at a time (Welford 1962)."""

    count: int = 0
    mean_x: float = 0.0
    mean_y: float = 0.0
    squares: float = 0.0
    products: float = 0.0

    def add(self, x: float, y: float) -> None:
        """Take one more pair into account."""
        self.count += 1
        before = x - self.mean_x
        self.mean_x += before / self.count
        self.mean_y += (y - self.mean_y) / self.count
        self.squares += before * (x - self.mean_x)
        self.products += before * (y - self.mean_y)


class Past(msgspec.Struct, array_like=True):
    """What a unit scored on stable by one goal: in windows that are over, and in the one that is open."""

    opened_ms: int
    before: float = 0.0
    """Sum of scores in windows that are over."""
    answers_before: int = 0
    now: float = 0.0
    answers_now: int = 0

    @property
    def mean(self) -> float | None:
        """Mean of all scores; `None` where there is none."""
        answers = self.answers_before + self.answers_now
        return (self.before + self.now) / answers if answers else None


def take_past(
    past: dict[str, Past], slopes: dict[str, Slope], scores: Iterable[tuple[str, float]], at_ms: int, *, window_ms: int
) -> None:
    """Take the scores of one answer of stable into a unit's past, and learn how the past foretells them.

    Only windows that are over foretell: answers to one question and its follow-up resemble each other more than today's
    and last week's do.
    """
    for goal, score in scores:
        known = past.setdefault(goal, Past(opened_ms=at_ms))
        if at_ms >= known.opened_ms + window_ms:
            known.before += known.now
            known.answers_before += known.answers_now
            known.opened_ms, known.now, known.answers_now = at_ms, 0.0, 0
        if known.answers_before:
            slopes.setdefault(goal, Slope()).add(known.before / known.answers_before, score)
        known.now += score
        known.answers_now += 1


def freeze(slopes: Mapping[str, Slope], goals: Iterable[str]) -> dict[str, Adjustment]:
    """Return the adjustment of each goal by what was learned so far."""
    frozen = {}
    for goal in goals:
        slope = slopes.get(goal, Slope())
        theta = 0.0
        if slope.count >= _FEWEST_ANSWERS and slope.squares > 0.0:
            theta = min(max(slope.products / slope.squares, 0.0), 1.0)
        frozen[goal] = Adjustment(theta=theta, mean=slope.mean_x, answers=slope.count)
    return frozen
