"""States `shadow` to `cutover` on the rollout engine: what is rolled out, and what a rollout says of them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from trimtab.rollout.attempt import WITHDREW
from trimtab.rollout.machine import SKIPPED
from trimtab.rollout.model import TERMINAL_STATES
from trimtab.rollout.moves import CONTROLLER
from trimtab.rollout.spec import BakeStep, PauseStep, RolloutPlan, ShadowStep, Step, default_plan, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.rollout.model import Rollout, Transition

__all__ = ["RolloutView", "migration_rollout", "view"]

_FEW = 50.0
"""Per cent of users: a canary."""
_BEFORE = frozenset({"draft", "validating", "evaluating", "shadowing"})
_SHADOW = Step(shadow=ShadowStep(traffic=10.0, duration="1h", min_units=50))
_BAKE = Step(bake=BakeStep(duration="30m", control_weight=5.0))
_WEIGHTS = (
    Step(set_weight=5.0),
    Step(pause=PauseStep(duration="10m", min_units=50)),
    Step(set_weight=25.0),
    Step(pause=PauseStep(duration="20m", min_units=200)),
)


class RolloutView(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollout says of the states that follow it."""

    phase: Literal["shadow", "canary", "cutover", "promoted", "ending", "ended"]
    says: str
    harmful: bool = False
    """Of one that ended: the engine took the candidate back, rather than a person."""
    skipped_by: str = ""
    """The person who promoted it past its evidence."""
    promoted_ms: int = 0
    until_ms: int | None = None
    """When the step in force may end, or must, where it has a time."""


def migration_rollout(plan: RolloutPlan | None) -> RolloutPlan:
    """Return the plan that a migration rolls out: the feature's own, with the parts a migration cannot do without.

    A shadow goes before the first weight, some weights before most users, and a bake at the end.
    """
    plan = plan or default_plan()
    steps = list(plan.steps)
    if not any(step.set_weight is not None and step.set_weight <= _FEW for step in steps):
        place = next((i for i, step in enumerate(steps) if step.bake or step.set_weight), len(steps))
        steps[place:place] = _WEIGHTS
    if not any(step.shadow is not None for step in steps):
        place = next(i for i, step in enumerate(steps) if step.set_weight is not None)
        steps.insert(place, _SHADOW)
    if steps[-1].bake is None:
        top = max((step.set_weight or 0.0 for step in steps), default=0.0)
        if top < 100.0 - 5.0:
            steps.append(_BAKE)
    return msgspec.structs.replace(plan, steps=steps)


def view(rollout: Rollout, plan: RolloutPlan, transitions: Sequence[Transition]) -> RolloutView:
    """Return what a rollout says now."""
    says = f"rollout {rollout.id} is {rollout.state}: {rollout.reason}"
    if rollout.state == "promoted":
        skipped = transitions[-1].actor if transitions and rollout.reason.startswith(SKIPPED) else ""
        return RolloutView(phase="promoted", says=says, skipped_by=skipped, promoted_ms=rollout.ended_at_ms or 0)
    if rollout.state == "rolling_back":
        return RolloutView(phase="ending", says=says)
    if rollout.state in TERMINAL_STATES:
        undone = [one for one in transitions if one.to_state == "rolling_back"]
        by_engine = bool(undone) and undone[-1].actor == CONTROLLER
        proven = rollout.verdict.get("status") == "failed" or WITHDREW in rollout.reason
        return RolloutView(phase="ended", says=says, harmful=by_engine and proven)
    paused = rollout.state == "paused"
    return RolloutView(
        phase=_phase(rollout, plan),
        says=f"rollout {rollout.id} is paused ({rollout.pause_reason}): {rollout.reason}" if paused else says,
        until_ms=None if paused else _until_ms(rollout, plan),
    )


def _until_ms(rollout: Rollout, plan: RolloutPlan) -> int | None:
    if not 0 <= rollout.stage < len(plan.steps):
        return None
    step = plan.steps[rollout.stage]
    timed = step.shadow or step.pause or step.bake
    duration = timed.duration if timed is not None else None
    if (longest := step.analysis or step.experiment) is not None:
        duration = longest.max_duration
    if (asked := step.offline_eval or step.gate) is not None:
        duration = asked.timeout
    return None if duration is None else rollout.stage_entered_ms + round(1000 * seconds(duration))


def _phase(rollout: Rollout, plan: RolloutPlan) -> Literal["shadow", "canary", "cutover"]:
    if rollout.state in _BEFORE or rollout.stage < 0:
        return "shadow"
    steps = plan.steps[: rollout.stage + 1]
    if steps[-1].bake is not None:
        return "cutover"
    return "canary" if any(step.set_weight is not None for step in steps) else "shadow"
