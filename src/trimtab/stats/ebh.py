"""Many hypotheses at once: which of them may be called false, by their e-values alone.

Method: Wang & Ramdas, "False discovery rate control with e-values" (arXiv 2009.02824; JRSS B 84, 2022).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["e_benjamini_hochberg"]


def e_benjamini_hochberg(log_e_values: Sequence[float], *, alpha: float) -> frozenset[int]:
    """Return the indices of the hypotheses rejected; of those, at most a share of alpha is expected to be true.

    `log_e_values` are natural logarithms of e-values, however they depend on each other. With K of them, the k largest
    are rejected for the largest k of which each is at least K / (k·alpha). Where the e-values are e-processes read at
    any stopping time, the bound holds at that time. Raises `InputError` for an alpha outside (0, 1].
    """
    if not 0.0 < alpha <= 1.0:
        raise InputError("invalid_alpha", f"alpha {alpha} is not in (0, 1]", param="alpha")
    total = len(log_e_values)
    order = sorted(range(total), key=lambda index: (-log_e_values[index], index))
    rejected = 0
    for rank, index in enumerate(order, start=1):
        if log_e_values[index] >= math.log(total / (rank * alpha)):
            rejected = rank
    return frozenset(order[:rejected])
