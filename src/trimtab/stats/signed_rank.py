"""Wilcoxon's signed-rank test for paired numbers, with zero differences as Pratt has them.

Wilcoxon dropped zeros before ranking. Pratt (JASA 54, 1959, 655-667) ranks them and drops their ranks afterwards, so
that the smallest of few differences does not count for next to nothing beside the largest: it too is more than nearly
all items moved.
"""

from __future__ import annotations

import math
from itertools import groupby
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SignedRank", "signed_rank"]

_EXACT_UP_TO = 40
"""Differences other than zero, below which every assignment of signs is counted; beyond, the normal is near enough."""


class SignedRank(msgspec.Struct, frozen=True, kw_only=True):
    """What the test found."""

    positive: float
    """Sum of the ranks of positive differences."""
    negative: float
    p_value: float
    """Two-sided."""
    method: Literal["exact", "normal"]

    @property
    def effect(self) -> float:
        """Rank-biserial correlation, from -1 (all worse) to 1 (all better); 0 where nothing differs (Kerby 2014)."""
        total = self.positive + self.negative
        return (self.positive - self.negative) / total if total else 0.0


def signed_rank(differences: Sequence[float]) -> SignedRank:
    """Test that differences are symmetric around zero. Ties share their mean rank.

    Up to 40 differences other than zero the p-value is exact given ties and zeros; beyond it is normal, without
    continuity correction.
    """
    doubled = _doubled_ranks(differences)
    moved = [(difference, rank) for difference, rank in zip(differences, doubled, strict=True) if difference]
    up = sum(rank for difference, rank in moved if difference > 0)
    ranks = [rank for _, rank in moved]
    exact = len(ranks) <= _EXACT_UP_TO
    p_value = _exact(ranks, up) if exact else _normal(ranks, up)
    return SignedRank(
        positive=up / 2, negative=(sum(ranks) - up) / 2, p_value=p_value, method="exact" if exact else "normal"
    )


def _doubled_ranks(differences: Sequence[float]) -> list[int]:
    """Return twice the mid-ranks of the absolute values: whole numbers, ties or not."""
    order = sorted(range(len(differences)), key=lambda index: abs(differences[index]))
    ranks = [0] * len(differences)
    before = 0
    for _, group in groupby(order, key=lambda index: abs(differences[index])):
        tied = list(group)
        for index in tied:
            ranks[index] = 2 * before + len(tied) + 1
        before += len(tied)
    return ranks


def _exact(ranks: Sequence[int], up: int) -> float:
    total = sum(ranks)
    ways = [1] + [0] * total
    reached = 0
    for rank in ranks:
        reached += rank
        for value in range(reached, rank - 1, -1):
            ways[value] += ways[value - rank]
    fewer = min(up, total - up)
    return min(1.0, math.ldexp(float(sum(ways[: fewer + 1])), 1 - len(ranks)))


def _normal(ranks: Sequence[int], up: int) -> float:
    spread = math.sqrt(sum(rank * rank for rank in ranks))  # of the sum of signed ranks
    z = (2 * up - sum(ranks)) / spread
    return 2.0 * NormalDist().cdf(-abs(z))
