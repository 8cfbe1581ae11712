"""Many p-values at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["benjamini_hochberg", "holm"]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values: of those at most q, a share of at most q is expected to be false alarms.

    For independent or positively dependent tests (Benjamini & Hochberg, JRSS B 57, 1995; Benjamini & Yekutieli, Annals
    of Statistics 29, 2001). Raises `InputError` for what is no p-value.
    """
    _check(p_values)
    total = len(p_values)
    adjusted = [0.0] * total
    smallest = 1.0
    for rank, index in reversed(list(enumerate(_order(p_values), start=1))):
        smallest = min(smallest, p_values[index] * (total / rank))
        adjusted[index] = smallest
    return adjusted


def holm(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values: that any of those at most q is a false alarm has at most probability q.

    However the tests depend on each other (Holm, Scandinavian Journal of Statistics 6, 1979).
    """
    _check(p_values)
    total = len(p_values)
    adjusted = [0.0] * total
    largest = 0.0
    for rank, index in enumerate(_order(p_values)):
        largest = max(largest, min(1.0, p_values[index] * (total - rank)))
        adjusted[index] = largest
    return adjusted


def _order(p_values: Sequence[float]) -> list[int]:
    return sorted(range(len(p_values)), key=lambda index: (p_values[index], index))


def _check(p_values: Sequence[float]) -> None:
    for index, value in enumerate(p_values):
        if not 0.0 <= value <= 1.0:
            raise InputError("invalid_p_value", f"{value} is not in [0, 1]", param=f"p_values[{index}]")
