"""How often each side declines, once the rule that detects it is calibrated on labelled answers of that side.

A rule finds the refusals of a model that says "I cannot help with that" and misses those of one that lectures; the
difference between their rates is then the rule's. Labels tell how often the rule is right of each side, and the rates
are corrected for it (Rogan & Gladen, American Journal of Epidemiology 107, 1978, 71-76).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.refusal import is_refusal
from trimtab.stats.beta import clopper_pearson
from trimtab.stats.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.behaviour.model import Output, Pair

__all__ = ["RefusalRate", "Refusals", "refusals_of"]

_FEWEST_LABELS = 5
"""Of refusals, and of answers, before a rule is calibrated."""


class RefusalRate(msgspec.Struct, frozen=True, kw_only=True):
    """Of one side."""

    outputs: int
    detected: float
    """Share that the rule takes for refusals."""
    labelled: int
    found: float
    """Share of the labelled refusals that the rule finds (its sensitivity)."""
    found_interval: Interval
    false: float
    """Share of the labelled answers that the rule takes for refusals."""
    corrected: float
    """The share that declines, as calibrated, within [0, 1]."""


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """Of both sides."""

    old: RefusalRate
    new: RefusalRate

    @property
    def change(self) -> float:
        """New minus old, as calibrated."""
        return self.new.corrected - self.old.corrected


def refusals_of(pairs: Sequence[Pair]) -> Refusals | None:
    """Return calibrated rates; `None` where a side has fewer than five labelled refusals or answers."""
    old, new = _rate([pair.old for pair in pairs]), _rate([pair.new for pair in pairs])
    return None if old is None or new is None else Refusals(old=old, new=new)


def _rate(outputs: Sequence[Output]) -> RefusalRate | None:
    taken = [is_refusal(output.text, output.finish_reason) for output in outputs]
    refused = [detected for output, detected in zip(outputs, taken, strict=True) if output.refused is True]
    answered = [detected for output, detected in zip(outputs, taken, strict=True) if output.refused is False]
    if min(len(refused), len(answered)) < _FEWEST_LABELS:
        return None
    detected, found, false = sum(taken) / len(taken), sum(refused) / len(refused), sum(answered) / len(answered)
    if found <= false:
        return None  # a rule that tells nothing apart corrects nothing
    return RefusalRate(
        outputs=len(outputs),
        detected=detected,
        labelled=len(refused) + len(answered),
        found=found,
        found_interval=clopper_pearson(sum(refused), len(refused)),
        false=false,
        corrected=min(max((detected - false) / (found - false), 0.0), 1.0),
    )
