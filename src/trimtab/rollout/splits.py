"""How users who are met for the first time divide between candidate and matched control, step by step. Pure.

Up to one half both arms have the same weight and grow alike at each step: whoever comes into the comparison is on the
candidate's side with probability 1/2, whether it was served plain stable before or never came.

Above one half control gives way. A user who was served plain stable at a smaller weight lay between the arms of that
weight, so where it falls now is no fair draw any more. Whether somebody was served plain stable before is not
remembered, but whoever lies within an arm of the *smallest* weight was not: there, who is met for the first time is
new. Only those are counted; the split says so by its `fringe`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.analysis.sample_ratio import Split
from trimtab.rollout.moves import weight_at

if TYPE_CHECKING:
    from trimtab.rollout.spec import RolloutPlan

__all__ = ["splits_of"]

_HALF = 0.5


def splits_of(plan: RolloutPlan) -> dict[int, Split]:
    """Return the split of each step in which both arms are served, by the step's index; none where it is off."""
    found: dict[int, Split] = {}
    if not plan.srm.enabled:
        return found
    smallest, level = 1.0, -1
    for stage, step in enumerate(plan.steps):
        weight = weight_at(plan, stage)
        if step.set_weight is not None or step.bake is not None:
            level = stage
        if 0.0 < weight < 1.0:
            found[stage] = _split(level, weight, smallest)
            smallest = min(smallest, weight)
    return found


def _split(level: int, weight: float, smallest: float) -> Split:
    if weight <= _HALF:
        return Split(level=level, weight=weight, candidate=_HALF)
    fringe = min(smallest, _HALF)
    candidate = fringe + max(0.0, weight - (1.0 - fringe))
    control = 1.0 - max(weight, 1.0 - fringe)
    return Split(level=level, weight=weight, candidate=candidate / (candidate + control), fringe=fringe)
