"""Metrics that are told, not measured: a unit scores when the time in which feedback may come is over, not before."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

from trimtab.analysis.cohorts import MAX_FOLLOWED

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from trimtab.analysis.evidence import PhaseState, Side
    from trimtab.analysis.model import MetricSpec
    from trimtab.rollout.rehearsal.faults import Fault
    from trimtab.rollout.rehearsal.outcomes import Baseline

__all__ = ["Told"]


class Told:
    """Live units that are followed, as many at a time as the engine follows."""

    def __init__(self, metrics: Sequence[MetricSpec], baseline: Baseline, faults: Mapping[str, Fault]) -> None:
        self.metrics = [
            (spec.name, spec.within_ms / 1000, baseline[spec.name], faults.get(spec.name))
            for spec in metrics
            if spec.feedback is not None
        ]
        self.due_at = math.inf
        """When the next unit's time is over; infinite where none is followed."""
        self._waiting: list[tuple[float, int, int, Side, int]] = []
        self._followed = 0

    def follow(self, side: Side, stage: int, now: float) -> None:
        """A unit's window closed now."""
        if len(self._waiting) >= MAX_FOLLOWED * len(self.metrics):
            return
        for index, (_, within, _, _) in enumerate(self.metrics):
            self._followed += 1
            heapq.heappush(self._waiting, (now + within, self._followed, index, side, stage))
        self.due_at = self._waiting[0][0]

    def tell(self, phase: PhaseState, draw: random.Random) -> None:
        """Let the unit that is due score: one word was said of it."""
        _, _, index, side, stage = heapq.heappop(self._waiting)
        self.due_at = self._waiting[0][0] if self._waiting else math.inf
        name, _, metric, fault = self.metrics[index]
        phase.metrics[name].add_unit(side, metric.score(draw, 1, fault if side == "candidate" else None), stage)
