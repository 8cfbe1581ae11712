"""Are two arms' answers drawn from one distribution? A bet that may be looked at after every pair.

The bettor keeps the mean difference between the arms' points (the witness of the maximum mean discrepancy of a kernel
whose features the points are) and stakes on the next pair lying along it: where the arms differ, the witness learns to
tell them apart and wins. Where they do not, a pair's two points are exchangeable given everything before, so any odd
function of their difference has mean zero and wealth is a martingale: the chance that it *ever* reaches 1/alpha is at
most alpha.

Method: Shekhar & Ramdas, "Nonparametric two-sample testing by betting" (IEEE Transactions on Information Theory 2024,
arXiv 2112.09162); payoffs divided by their running size and clipped, which keeps them odd. Stakes on a fixed grid
instead of an online Newton step, as in :mod:`trimtab.stats.betting`.

A difference is not a harm: this may pause a rollout, never roll it back. Give it one point per user: exchangeable are
users, not requests of one user.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from trimtab.core.errors import InputError
from trimtab.stats.text_features import DIMENSIONS

__all__ = ["TwoSampleBetting"]

_STAKES = (0.8, 0.4, 0.2, 0.1, 0.05)
_WAITING_LIMIT = 8
_REACH = 2.0
"""A payoff counts for at most this many times the usual one."""
_MAX_EXPONENT = 700.0


class TwoSampleBetting(msgspec.Struct, kw_only=True):
    """Wealth of the bet that control and candidate answer differently; its size does not grow with what it has seen."""

    features: Literal[1] = 1
    """How points are made (:mod:`trimtab.stats.text_features`): sums of other points mean nothing here."""
    witness: list[float] = msgspec.field(default_factory=lambda: [0.0] * DIMENSIONS)
    """Sum of candidate points minus control points over all pairs."""
    payoffs: float = 0.0
    """Sum of squared payoffs before they are scaled."""
    log_wealth: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(_STAKES))
    log_peak: float = 0.0
    pairs: int = 0
    waiting: list[list[float]] = []
    """Points of one arm that wait for the other, first come first served; the oldest goes when too many wait."""
    waiting_side: Literal["control", "candidate"] = "control"

    def add(self, side: Literal["control", "candidate"], point: list[float]) -> None:
        """Take one user's point and bet on the pair it completes, if it does.

        Which points meet depends on the order of arrival alone. Raises `InputError` for a point of another length.
        """
        if len(point) != DIMENSIONS:
            raise InputError("invalid_point", f"a point has {DIMENSIONS} numbers, not {len(point)}", param="point")
        if not self.waiting or self.waiting_side == side:
            self.waiting_side = side
            self.waiting.append(point)
            del self.waiting[:-_WAITING_LIMIT]
            return
        other = self.waiting.pop(0)
        control, candidate = (other, point) if side == "candidate" else (point, other)
        self._bet([after - before for before, after in zip(control, candidate, strict=True)])

    def _bet(self, difference: list[float]) -> None:
        length = math.sqrt(math.fsum(w * w for w in self.witness))
        if length > 0.0:
            payoff = math.fsum(w * d for w, d in zip(self.witness, difference, strict=True)) / length
            usual = math.sqrt(self.payoffs / self.pairs) if self.payoffs > 0.0 else 1.0
            share = min(max(payoff / (_REACH * usual), -1.0), 1.0)
            self.log_wealth = [k + math.log1p(s * share) for k, s in zip(self.log_wealth, _STAKES, strict=True)]
            self.log_peak = max(self.log_peak, self.log_value)
            self.payoffs += payoff * payoff
        self.witness = [w + d for w, d in zip(self.witness, difference, strict=True)]
        self.pairs += 1

    @property
    def log_value(self) -> float:
        """Natural logarithm of the wealth."""
        top = max(self.log_wealth)
        return top + math.log(math.fsum(math.exp(k - top) for k in self.log_wealth) / len(_STAKES))

    @property
    def value(self) -> float:
        """Wealth now: how many to one the pairs so far speak for a difference."""
        return math.exp(min(self.log_value, _MAX_EXPONENT))

    @property
    def peak(self) -> float:
        """Largest wealth so far; the alarm is raised when it reaches 1/alpha."""
        return math.exp(min(self.log_peak, _MAX_EXPONENT))
