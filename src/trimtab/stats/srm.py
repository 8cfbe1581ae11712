"""Whether arms get the units they should: the Dirichlet-multinomial test, valid under a look after every unit.

Under the null hypothesis each unit falls into arm i with probability θ_i, whatever came before. The alternative is a
Dirichlet prior centred on θ, with `concentration` imagined units. The Bayes factor of the two is one product over
units, each factor with mean 1 under the null, hence a test martingale: the chance that it *ever* reaches 1/alpha is at
most alpha (Ville). Its reciprocal, 1/E at its peak, is a p-value that may be looked at any time.

Method: Lindon & Malek, "Anytime-valid inference for multinomial count data" (arXiv 2011.03567).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CONCENTRATION", "SampleRatio", "log_bayes_factor"]

CONCENTRATION = 100.0
"""Imagined units of the prior: more finds small mismatches in long runs, fewer finds large ones a little sooner."""
_MAX_EXPONENT = 700.0
_SUM_TOLERANCE = 1e-9


def log_bayes_factor(
    counts: Sequence[int], expected: Sequence[float], *, concentration: float = CONCENTRATION
) -> float:
    """Return the natural logarithm of how many to one the counts speak against the expected shares.

    `expected` are probabilities in (0, 1) that add up to 1. Raises `InputError` for anything else.
    """
    if len(counts) != len(expected) or any(not 0 < share < 1 for share in expected):
        raise InputError("invalid_shares", f"{list(expected)} are no shares of {len(counts)} arms", param="expected")
    if abs(math.fsum(expected) - 1) > _SUM_TOLERANCE:
        raise InputError("invalid_shares", f"the shares {list(expected)} do not add up to 1", param="expected")
    prior = [concentration * share for share in expected]
    posterior = [imagined + seen for imagined, seen in zip(prior, counts, strict=True)]
    null = math.fsum(seen * math.log(share) for seen, share in zip(counts, expected, strict=True))
    return _log_beta(posterior) - _log_beta(prior) - null


def _log_beta(weights: Sequence[float]) -> float:
    return math.fsum(map(math.lgamma, weights)) - math.lgamma(math.fsum(weights))


class SampleRatio(msgspec.Struct, kw_only=True):
    """Counts per arm and what they say against the expected shares; O(1) state that serialises as it is."""

    expected: list[float]
    counts: list[int]
    log_peak: float = 0.0
    """ln of the largest E so far."""

    @classmethod
    def start(cls, expected: Sequence[float]) -> SampleRatio:
        """Return a test that has seen nothing; `expected` are the arms' shares, which add up to 1."""
        log_bayes_factor([0] * len(expected), expected)  # refuses shares that are none
        return cls(expected=list(expected), counts=[0] * len(expected))

    def add(self, counts: Sequence[int]) -> None:
        """Take more units into account, one or many: looking less often is valid too."""
        self.counts = [before + more for before, more in zip(self.counts, counts, strict=True)]
        self.log_peak = max(self.log_peak, self.log_value)

    @property
    def units(self) -> int:
        """How many units were seen."""
        return sum(self.counts)

    @property
    def log_value(self) -> float:
        """Natural logarithm of E, the evidence against the expected shares."""
        return log_bayes_factor(self.counts, self.expected)

    @property
    def value(self) -> float:
        """E: how many to one the units so far speak against the expected shares."""
        return math.exp(min(self.log_value, _MAX_EXPONENT))

    @property
    def peak(self) -> float:
        """Largest E so far; a mismatch is proven when it reaches 1/alpha."""
        return math.exp(min(self.log_peak, _MAX_EXPONENT))

    @property
    def p_value(self) -> float:
        """The chance, at most, of so much evidence ever under the expected shares."""
        return math.exp(-self.log_peak)
