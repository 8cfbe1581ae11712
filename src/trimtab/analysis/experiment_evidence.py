"""Evidence of an experiment: whether an arm is better than the concurrent control by its goals.

Beside the candidate an experiment may serve challengers, releases of their own. Every arm is compared with the same
controls, each pair of them by a bet of its own without any margin. Only units that are met for the first time in the
experiment count in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.cuped import Adjustment
from trimtab.stats import Moments, PairedBetting, PendingPairs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CANDIDATE", "ArmState", "ExperimentDesign", "ExperimentState", "GoalState"]

CANDIDATE = "candidate"
"""Key of the candidate among the arms; challengers go by digest."""


class ExperimentDesign(msgspec.Struct, frozen=True, kw_only=True):
    """What an `experiment` step compares."""

    goals: tuple[str, ...]
    """Metrics by which an arm must be better, all of them."""
    challengers: tuple[str, ...] = ()
    """Digests."""
    fresh_from: float = 0.0
    """Only units whose position is at least this, and less than 1 minus it, count; 0 counts all."""
    cuped: bool = False
    """Whether what is known of units from before takes noise out."""

    @property
    def arms(self) -> tuple[str, ...]:
        """Keys of all arms but control."""
        return (CANDIDATE, *self.challengers)


class GoalState(msgspec.Struct, kw_only=True):
    """One arm's bet on one goal, and the unit scores behind it."""

    superior: PairedBetting
    pending: PendingPairs
    control: Moments
    arm: Moments
    """Of unit scores as they were measured; with CUPED the bet reads adjusted ones, whose moments follow."""
    adjusted_control: Moments
    adjusted_arm: Moments

    @classmethod
    def start(cls) -> GoalState:
        """Return a goal about which nothing is known."""
        return cls(
            superior=PairedBetting.start("superior"),
            pending=PendingPairs(),
            control=Moments(),
            arm=Moments(),
            adjusted_control=Moments(),
            adjusted_arm=Moments(),
        )

    def add(self, score: float, adjusted: float, *, is_control: bool) -> None:
        """Take a unit's score and bet on the pair it completes, if it does."""
        (self.control if is_control else self.arm).add(score)
        (self.adjusted_control if is_control else self.adjusted_arm).add(adjusted)
        pair = self.pending.add_control(adjusted) if is_control else self.pending.add_candidate(adjusted)
        if pair is not None:
            self.superior.update(control=pair[0], candidate=pair[1])

    def variance_left(self, adjustment: Adjustment) -> float | None:
        """Return which share of the arms' variance the adjustment leaves; `None` while nothing varies."""
        before = self.control.variance + self.arm.variance
        after = self.adjusted_control.variance + self.adjusted_arm.variance
        return after * (1.0 + adjustment.theta) ** 2 / before if before > 0.0 else None


class ArmState(msgspec.Struct, kw_only=True):
    """One arm against the concurrent control."""

    units: int
    goals: dict[str, GoalState]


class ExperimentState(msgspec.Struct, kw_only=True):
    """What an experiment saw."""

    arms: dict[str, ArmState]
    adjustments: dict[str, Adjustment] = {}
    """By goal, frozen before the first unit; none without CUPED."""
    control_units: int = 0

    @classmethod
    def start(cls, design: ExperimentDesign, adjustments: dict[str, Adjustment] | None = None) -> ExperimentState:
        """Return an experiment that has seen nobody."""
        return cls(
            arms={
                arm: ArmState(units=0, goals={goal: GoalState.start() for goal in design.goals}) for arm in design.arms
            },
            adjustments=adjustments or {},
        )

    def count_control(self, scores: Mapping[str, float], past: Mapping[str, float | None] | None = None) -> None:
        """Take in a unit of the control, by metric: every arm is compared with it. `past` is the unit's from before."""
        self.control_units += 1
        self.add_to_control(scores, past or {})

    def count_arm(self, name: str, scores: Mapping[str, float], past: Mapping[str, float | None] | None = None) -> None:
        """Take in a unit of an arm, by metric; one that the experiment does not have is none of its."""
        if name in self.arms:
            self.arms[name].units += 1
            self.add_to_arm(name, scores, past or {})

    def add_to_control(self, scores: Mapping[str, float], past: Mapping[str, float | None]) -> None:
        """Take in scores of a control that is counted already, or will be."""
        for arm in self.arms.values():
            self._add(arm, scores, past, is_control=True)

    def add_to_arm(self, name: str, scores: Mapping[str, float], past: Mapping[str, float | None]) -> None:
        """Take in scores of a unit that is counted already, or will be."""
        if name in self.arms:
            self._add(self.arms[name], scores, past, is_control=False)

    def _add(
        self, arm: ArmState, scores: Mapping[str, float], past: Mapping[str, float | None], *, is_control: bool
    ) -> None:
        for name, goal in arm.goals.items():
            if name in scores:
                score, adjustment = scores[name], self.adjustments.get(name)
                adjusted = score if adjustment is None else adjustment.score(score, past.get(name))
                goal.add(score, adjusted, is_control=is_control)
