"""Evidence that may be looked at after every observation: the paired-betting e-process.

Two arms are compared by pairs (x̄, y) of scores in [0, 1]. A bettor starts with wealth 1 and stakes a share λ of it on
the difference D of each pair; under the null hypothesis E[D | past] ≤ 0, so wealth is a non-negative supermartingale,
and by Ville's inequality the chance that it *ever* reaches 1/alpha is at most alpha, whatever the stopping rule. The
weighted average over a grid of λ is again such a process, as long as the weights are fixed beforehand.

Method: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (arXiv 2010.09686).

Plain floats, not arrays: for a grid of eight an update costs about 1.9 µs in pure Python and 2.6 µs through numpy
(`benchmarks/analysis.py`), and the result does not depend on how observations are batched.
"""

from __future__ import annotations

import math
from functools import lru_cache
from operator import mul
from typing import Literal

import msgspec

from trimtab.core.errors import InputError

__all__ = ["Bet", "Grid", "PairedBetting", "PendingPairs", "betting_grid", "betting_weights"]

Bet = Literal["harm", "non_inferior", "superior"]
"""`harm` bets that the candidate is worse by more than the margin, `non_inferior` that it is not, `superior` that it is
better: non-inferiority with no margin at all."""

Grid = Literal[1, 2]
"""Which stakes and weights a bettor was started with. Stored wealth keeps to its own: the bound on a purse holds for
stakes and weights that were fixed before the first pair."""
CURRENT_GRID: Grid = 2

_TOP = 0.98
_SHAPES: dict[Grid, tuple[float, int]] = {1: (0.6, 8), 2: (0.55, 7)}
"""Ratio of the geometric steps, number of stakes."""
_WEIGHTS: dict[Grid, dict[Bet, tuple[int, ...]]] = {
    1: {"harm": (1,) * 8, "non_inferior": (1,) * 8, "superior": (1,) * 8},
    2: {"harm": (15, 15, 12, 4, 2, 1, 1), "non_inferior": (4, 4, 4, 3, 3, 2, 1), "superior": (4, 4, 4, 3, 3, 2, 1)},
}
"""How wealth is spread over the stakes at the start, largest stake first.

Harm bets mostly on the upper three: a harm worth waking somebody for has its best stake between 0.2 and 1, and wealth
that waits on smaller ones is lost for it (medians of both grids: docs/explanation/statistics.md). A candidate that is
just as good earns its proof slowly, with stakes of a tenth, so that bet is spread more evenly.
"""
_MAX_EXPONENT = 700.0
"""exp(700) ≈ 1e304: wealth beyond it is reported as that, so that it stays a finite JSON number."""
WAITING_LIMIT = 16
"""Candidates that wait for a control. Older ones are dropped: a pair must be concurrent to mean anything."""


@lru_cache(maxsize=256)
def betting_grid(margin: float, grid: Grid = CURRENT_GRID) -> tuple[float, ...]:
    """Return the stakes λ_j ∈ (0, 1/(1 + margin)), largest first, in geometric steps.

    The bound keeps 1 + λD positive for the worst pair, D = -(1 + margin): wealth never reaches zero.
    """
    if not 0.0 <= margin < 1.0:
        raise InputError("invalid_margin", f"a margin of {margin} is not in [0, 1)", param="margin")
    ratio, size = _SHAPES[grid]
    top = _TOP / (1.0 + margin)
    return tuple(top * ratio**index for index in range(size))


@lru_cache(maxsize=8)
def betting_weights(bet: Bet, grid: Grid = CURRENT_GRID) -> tuple[float, ...]:
    """Return the share of the wealth that each stake of :func:`betting_grid` starts with; they add up to 1."""
    weights = _WEIGHTS[grid][bet]
    return tuple(weight / sum(weights) for weight in weights)


class PairedBetting(msgspec.Struct, kw_only=True):
    """Wealth of one bet on one metric; O(1) state that serialises as it is.

    `margin` is δ in the units of the score. Use :meth:`start` to make one, :meth:`update` per pair.
    """

    bet: Bet
    margin: float
    log_wealth: list[float]
    """ln K_j, one per λ_j of :func:`betting_grid`; each begins at 0, weights come in with the mean."""
    log_peak: float = 0.0
    """ln of the largest E so far: a crossing between two looks is not missed."""
    pairs: int = 0
    grid: Grid = 1
    """1 where nothing else is stored: wealth older than this field."""

    @classmethod
    def start(cls, bet: Bet, margin: float = 0.0) -> PairedBetting:
        """Return a bettor with wealth 1 on the current grid.

        `superior` has no margin, the others must have one: without it, noise alone would prove an equal candidate
        worse, or leave it unproven for ever. Raises `InputError`.
        """
        if (bet == "superior") != (margin == 0.0):
            raise InputError("invalid_margin", f"a bet on `{bet}` takes no margin of {margin}", param="margin")
        return cls(bet=bet, margin=margin, log_wealth=[0.0] * len(betting_grid(margin)), grid=CURRENT_GRID)

    def update(self, *, control: float, candidate: float) -> None:
        """Stake on one pair of scores in [0, 1]."""
        difference = control - candidate - self.margin if self.bet == "harm" else candidate - control + self.margin
        log1p = math.log1p
        stakes = betting_grid(self.margin, self.grid)
        wealth = [k + log1p(stake * difference) for k, stake in zip(self.log_wealth, stakes, strict=True)]
        self.log_wealth = wealth
        self.pairs += 1
        if max(wealth) > self.log_peak:  # the mean is at most the largest: only then can the peak move
            self.log_peak = max(self.log_peak, self.log_value)

    @property
    def log_value(self) -> float:
        """Natural logarithm of E, where E is the weighted mean of K_j."""
        top = max(self.log_wealth)
        weights = betting_weights(self.bet, self.grid)
        if abs(top) < _MAX_EXPONENT:  # nothing that counts over- or underflows
            return math.log(sum(map(mul, weights, map(math.exp, self.log_wealth))))
        terms = (weight * math.exp(k - top) for weight, k in zip(weights, self.log_wealth, strict=True))
        return top + math.log(math.fsum(terms))

    @property
    def value(self) -> float:
        """E: how many to one the pairs so far speak for the bet."""
        return math.exp(min(self.log_value, _MAX_EXPONENT))

    @property
    def peak(self) -> float:
        """Largest E so far; the bet is won when it reaches 1/alpha."""
        return math.exp(min(self.log_peak, _MAX_EXPONENT))


class PendingPairs(msgspec.Struct):
    """Scores of one stage that wait for the other arm.

    Each candidate score is paired with the mean of the controls since the last pair; where there is none it waits for
    the next control, first come first served. Which scores meet depends on the order of arrival alone, never on their
    values, so pairing cannot favour an arm. Stages have one of these each: a pair never spans a change of weights.
    """

    control_sum: float = 0.0
    control_count: int = 0
    waiting: list[float] = []

    def add_control(self, score: float) -> tuple[float, float] | None:
        """Return the pair (control, candidate) that this control completes, if a candidate waits."""
        if self.waiting:
            return score, self.waiting.pop(0)
        self.control_sum += score
        self.control_count += 1
        return None

    def add_candidate(self, score: float) -> tuple[float, float] | None:
        """Return the pair (control, candidate) that this candidate completes, if controls wait."""
        if self.control_count:
            mean = self.control_sum / self.control_count
            self.control_sum, self.control_count = 0.0, 0
            return mean, score
        self.waiting.append(score)
        del self.waiting[:-WAITING_LIMIT]
        return None
