"""Worlds: who comes, what they meet in either arm, and what is true of it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import msgspec

from trimtab.analysis.model import MetricSpec
from trimtab.events import Generation
from trimtab.stats.betting import CURRENT_GRID, Grid

__all__ = ["ALPHA", "DETECTION", "MARGINS", "NULLS", "Outcome", "Stage", "World", "binary", "cost"]

ALPHA = 0.05


class Outcome(msgspec.Struct, frozen=True):
    """What an arm does: `of_user` draws a user's own level at a moment (0: start, 1: end), `answer` one request."""

    of_user: Callable[[random.Random, float], float]
    answer: Callable[[random.Random, float], Generation]


class Stage(msgspec.Struct, frozen=True):
    """A step of the ramp: weight of the candidate, and how many of its users come in it."""

    weight: float
    users: int


class World(msgspec.Struct, frozen=True, kw_only=True):
    """One situation, told by what is true in it."""

    name: str
    metric: MetricSpec
    control: Outcome
    candidate: Outcome
    stages: list[Stage]
    requests: int = 1
    """Per user."""
    everybody: bool = False
    """Whether the naive test pools all of stable's users over all steps, instead of the matched control's."""
    naive_margin: float | None = None
    """The margin of the naive test that looks on, where one does."""
    stop: bool = False
    """Whether the run ends with the rollback."""
    grid: Grid = CURRENT_GRID


def _generation(**content: Any) -> Generation:
    return Generation(id="", at_ms=0, feature="", environment="", release="", **content)


_ANSWERS = {
    "error": (_generation(status="error"), _generation(status="ok")),
    "format": (
        _generation(output="```json\n{}\n```", messages=[{"role": "user"}]),
        _generation(output="Yes.", messages=[{"role": "user"}]),
    ),
}


def binary(metric: str, good: float, *, end: float | None = None, icc: float = 0.0) -> Outcome:
    """Answers that are good with a chance that may drift to `end`; users differ so that the ICC is as given."""
    answers = _ANSWERS[metric]
    last = good if end is None else end

    def of_user(source: random.Random, progress: float) -> float:
        mean = good + (last - good) * progress
        if not icc:
            return mean
        spread = 1.0 / icc - 1.0
        return source.betavariate(mean * spread, (1.0 - mean) * spread)

    def answer(source: random.Random, level: float) -> Generation:
        return answers[source.random() < level]

    return Outcome(of_user, answer)


def cost(factor: float, *, sigma: float = 0.5) -> Outcome:
    """Log-normal costs around 0.2 cents, times a factor."""
    centre = math.log(0.002 * factor)
    return Outcome(
        lambda _source, _progress: centre,
        lambda source, level: _generation(cost_usd=source.lognormvariate(level, sigma)),
    )


def _canary(users: int) -> list[Stage]:
    return [Stage(0.05, users)]


def _even(users: int) -> list[Stage]:
    """Half of the users in either arm: what is fair does not depend on the weight, and nobody is drawn in vain."""
    return [Stage(0.5, users)]


def _metric(name: str, margin: float) -> MetricSpec:
    return MetricSpec(name=name, margin=margin)


NULLS = [
    World(
        name="unchanged, one request a user",
        metric=_metric("error", 0.02),
        control=binary("error", 0.9),
        candidate=binary("error", 0.9),
        stages=_even(1500),
        naive_margin=0.0,
    ),
    World(
        name="unchanged, baseline falls from 95 to 75 % while weights rise",
        metric=_metric("error", 0.02),
        control=binary("error", 0.95, end=0.75),
        candidate=binary("error", 0.95, end=0.75),
        stages=[Stage(0.05, 50), Stage(0.25, 250), Stage(0.5, 500)],
        everybody=True,
        naive_margin=0.0,
    ),
    World(
        name="unchanged, 8 requests a user, ICC 0.3",
        metric=_metric("error", 0.02),
        control=binary("error", 0.9, icc=0.3),
        candidate=binary("error", 0.9, icc=0.3),
        stages=_even(600),
        requests=8,
        naive_margin=0.0,
    ),
]
"""Nothing here may be rolled back in more than alpha of the runs, however often it is looked at."""

MARGINS = [
    World(
        name=f"worse by exactly the margin, {100 * before:.0f} to {100 * after:.0f} %",
        metric=_metric("error", margin),
        control=binary("error", before),
        candidate=binary("error", after),
        stages=_even(1500),
        naive_margin=margin,
    )
    for before, after, margin in ((0.9, 0.88, 0.02), (0.7, 0.5, 0.2))
]
"""Neither rolled back nor promoted in more than alpha of the runs: the edge of both promises."""


def _detection(name: str, margin: float, arms: tuple[Outcome, Outcome], requests: int) -> World:
    metric = _metric("cost" if name.startswith("cost") else "format" if name.startswith("parse") else "error", margin)
    return World(
        name=name,
        metric=metric,
        control=arms[0],
        candidate=arms[1],
        stages=_canary(8000),
        requests=requests,
        stop=True,
    )


def _fall(metric: str, before: float, after: float, icc: float) -> tuple[Outcome, Outcome]:
    return binary(metric, before, icc=icc), binary(metric, after, icc=icc)


DETECTION = [
    _detection("success 90 to 85 %, 8 requests a user", 0.0025, _fall("error", 0.9, 0.85, 0.3), 8),
    _detection("success 90 to 85 %, 1 request a user", 0.0025, _fall("error", 0.9, 0.85, 0.0), 1),
    _detection("parse failures 1 to 3 %, 8 requests a user", 0.002, _fall("format", 0.99, 0.97, 0.3), 8),
    _detection("parse failures 1 to 3 %, 1 request a user", 0.002, _fall("format", 0.99, 0.97, 0.0), 1),
    _detection("cost 20 % up, 1 request a user", 0.02, (cost(1.0), cost(1.2)), 1),
]
"""How many candidate users it takes."""
