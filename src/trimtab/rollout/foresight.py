"""When the step in force can be expected to decide: until its units are there, and until its evidence is. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.analysis.experiment_evidence import CANDIDATE
from trimtab.analysis.forecast import Forecast, forecast, last_of, seconds_to_limit

if TYPE_CHECKING:
    from trimtab.analysis.evidence import EvidenceState
    from trimtab.analysis.experiment import ExperimentVerdict
    from trimtab.analysis.verdict import Limits
    from trimtab.rollout.spec import ExperimentStep, RolloutPlan

__all__ = ["foresee"]


def foresee(
    plan: RolloutPlan, stage: int, state: EvidenceState, experiment: ExperimentVerdict | None, *, limits: Limits
) -> Forecast | None:
    """Return when the analysis or experiment of a step may be expected to decide; `None` for every other step."""
    if stage < 0:
        return None
    step = plan.steps[stage]
    if step.experiment is not None:
        return _of_experiment(plan, step.experiment, stage, state, experiment)
    if step.analysis is None:
        return None
    pace = state.paces.get(stage)
    speed = 0.0 if pace is None else pace.pairs_per_second
    live = state.phases["live"]
    times = [_until_units(plan, step.analysis.min_units, min(live.units.control, live.units.candidate), speed)]
    if step.analysis.mode == "nonInferior":
        needed = [spec for spec in plan.metrics if spec.role != "signal" and not spec.dry_run]
        times += [
            seconds_to_limit(
                live.metrics[spec.name].non_inferior, limits.promotion, pairs_per_second=0.0 if spec.judge else speed
            )
            for spec in needed
        ]
    return forecast(last_of(times))


def _of_experiment(
    plan: RolloutPlan, step: ExperimentStep, stage: int, state: EvidenceState, found: ExperimentVerdict | None
) -> Forecast:
    if found is None:
        return forecast(None)
    pace = state.paces.get(stage)
    speed = 0.0 if pace is None else pace.pairs_per_second
    running = [arm for arm in found.arms if not arm.harmed]
    fewest = min(found.control_units, *(arm.units for arm in running))
    promotable = [arm for arm in running if step.promote == "winner" or arm.arm == CANDIDATE]
    foreseen = [arm.forecast.seconds for arm in promotable if arm.forecast.seconds is not None]
    soonest = min(foreseen) if foreseen else None
    return forecast(last_of([_until_units(plan, step.min_units, fewest, speed), soonest]))


def _until_units(plan: RolloutPlan, own: int | None, measured: int, per_second: float) -> float | None:
    missing = (plan.min_units if own is None else own) - measured
    if missing <= 0:
        return 0.0
    return missing / per_second if per_second > 0 else None
