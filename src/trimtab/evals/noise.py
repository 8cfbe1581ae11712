"""How much a release differs from itself: the floor below which a difference between two releases says nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["NoiseFloor", "noise_floor"]


class NoiseFloor(msgspec.Struct, frozen=True, kw_only=True):
    """From items that were answered at least twice."""

    items: int
    flip_rate: float | None = None
    """Of a binary metric: the chance that two answers of one release to one item end differently."""
    spread: float | None = None
    """Of a numeric metric: standard deviation between answers of one release to one item."""


def noise_floor(values: Mapping[str, Sequence[float]], *, binary: bool) -> NoiseFloor | None:
    """Return the noise of a metric from its values by item; `None` where no item was answered twice.

    Both are unbiased for any number of answers: of n answers of which k passed, 2·k·(n-k) / (n·(n-1)) is the share of
    pairs that end differently.
    """
    repeated = [list(each) for each in values.values() if len(each) > 1]
    if not repeated:
        return None
    if binary:
        rates = [2.0 * sum(each) * (len(each) - sum(each)) / (len(each) * (len(each) - 1)) for each in repeated]
        return NoiseFloor(items=len(repeated), flip_rate=math.fsum(rates) / len(rates))
    variances = [_variance(each) for each in repeated]
    return NoiseFloor(items=len(repeated), spread=math.sqrt(math.fsum(variances) / len(variances)))


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
