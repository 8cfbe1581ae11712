"""Intervals of statistics that have no formula, by resampling whole units (Efron 1979)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

from trimtab.core.errors import InputError
from trimtab.stats.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["bootstrap_interval"]

_Unit = TypeVar("_Unit")


def bootstrap_interval(
    units: Sequence[_Unit],
    statistic: Callable[[Sequence[_Unit]], float | None],
    *,
    alpha: float = 0.05,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval | None:
    """Return the percentile interval of a statistic of independent units; the same seed gives the same interval.

    Resamples on which the statistic is `None` are drawn again, at most once each on average; `None` where that does
    not suffice, or there are fewer than two units. To respect clusters, let the units be clusters.
    """
    if resamples < 1 or not 0.0 < alpha < 1.0:
        raise InputError("invalid_bootstrap", f"{resamples} resamples at alpha {alpha:g}", param="resamples")
    if len(units) < 2:  # noqa: PLR2004 - one unit resampled is itself
        return None
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    found: list[float] = []
    for _ in range(2 * resamples):
        value = statistic(draw.choices(units, k=len(units)))
        if value is not None:
            found.append(value)
        if len(found) == resamples:
            found.sort()
            return Interval(_at(found, alpha / 2.0), _at(found, 1.0 - alpha / 2.0))
    return None


def _at(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
