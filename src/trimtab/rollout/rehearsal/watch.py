"""When it is worth to look: which moments and which changes of the evidence the state machine could mind."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import msgspec

from trimtab.rollout.steps import DURATION_PATTERN, seconds
from trimtab.stats.betting import WAITING_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.analysis.evidence import EvidenceState, Phase, PhaseState
    from trimtab.analysis.model import MetricSpec
    from trimtab.analysis.verdict import Limits
    from trimtab.rollout.spec import RolloutPlan, Step
    from trimtab.stats import PairedBetting

__all__ = ["Watch", "has_waiting", "spans"]


class Watch:
    """Notices when a bet reaches a limit, or the units a step asks for are there. Wealth keeps its peak, units grow."""

    def __init__(self, state: EvidenceState, plan: RolloutPlan, metrics: Sequence[MetricSpec], limits: Limits) -> None:
        self._state = state
        self._needed = [plan.min_units if step.min_units is None else step.min_units for step in plan.steps]
        self._bets: dict[Phase, list[tuple[PairedBetting, float]]] = {
            phase: [
                bet
                for spec in metrics
                for bet in (
                    (of.metrics[spec.name].harm, math.log(limits.alarm if spec.role == "signal" else limits.rollback)),
                    (of.metrics[spec.name].non_inferior, math.log(limits.promotion)),
                )
            ]
            for phase, of in state.phases.items()
        }

    def crossed(self, phase: Phase) -> bool:
        """Return whether a bet of a phase has reached its limit since this was last asked; says so once."""
        for bet, limit in self._bets[phase]:
            if bet.log_peak >= limit:
                self._bets[phase] = [one for one in self._bets[phase] if one[0].log_peak < one[1]]
                return True
        return False

    def completed(self, phase: Phase, stage: int) -> bool:
        """Return whether the unit just counted in a phase was the last that a step needs of an arm."""
        units, needed = self._state.phases[phase].units, self._needed[stage]
        return needed in (units.control, units.candidate)


def has_waiting(phase: PhaseState, stage: int, names: Sequence[str]) -> bool:
    """Return whether no bet on these metrics wants another candidate: as many as may wait for a control do so already.

    Then one more would push out the oldest of them. Scores are drawn independently, so that one is as good as the
    other, and need not be drawn at all.
    """
    for name in names:
        queue = phase.metrics[name].pending.get(stage)
        if queue is None or len(queue.waiting) < WAITING_LIMIT:
            return False
    return True


def spans(step: Step) -> list[float]:
    """Return the seconds of every duration that a step names, whatever it is for."""
    parts = [getattr(step, name) for name in step.__struct_fields__]
    named = [
        getattr(part, name) for part in parts if isinstance(part, msgspec.Struct) for name in part.__struct_fields__
    ]
    return [seconds(text) for text in named if isinstance(text, str) and re.fullmatch(DURATION_PATTERN, text)]
