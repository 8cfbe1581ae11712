"""When a step that waits for a test suite ends. Pure.

Results may come before the rollout or after it began, and again after a failure: the latest one counts, once it is of
this very release, over the dataset that the step pins, and young enough. A failed one is acted upon once: whoever
resumes waits for another run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.rollout.moves import enter, move, pause
from trimtab.rollout.spec import seconds

if TYPE_CHECKING:
    from trimtab.releases.eval_result import EvalResult
    from trimtab.releases.ports import RegistryTransaction
    from trimtab.rollout.effects import Observation
    from trimtab.rollout.model import Rollout
    from trimtab.rollout.moves import Change
    from trimtab.rollout.spec import OfflineEvalStep, RolloutPlan

__all__ = ["awaited_result", "counts", "evaluate"]


def counts(result: EvalResult, step: OfflineEvalStep) -> bool:
    """Whether a result of the step's suite is over what the step pins: all of the dataset, or what is held out of it.

    Items to train on say nothing where the release was made with them.
    """
    if step.dataset is None:
        return True
    return step.dataset in {result.dataset, result.dataset_digest} and result.split != "train"


def awaited_result(tx: RegistryTransaction, release: str, step: OfflineEvalStep) -> EvalResult | None:
    """Return the last result of a release that a step looks at."""
    if step.dataset is None:
        return tx.latest_eval_result(release, step.suite)
    found = [one for one in tx.eval_results(release) if one.suite == step.suite and counts(one, step)]
    return max(found, key=lambda one: one.number, default=None)


def evaluate(rollout: Rollout, step: OfflineEvalStep, plan: RolloutPlan, seen: Observation, now_ms: int) -> Change:
    """Go on where the suite passed, stop where it failed or nobody says in time."""
    result = seen.evaluation
    fresh = result is not None and now_ms - result.at_ms <= 1000 * seconds(step.max_age)
    if result is not None and fresh and result.passed:
        return enter(rollout, plan, rollout.stage + 1, now_ms, reason=result.text)
    if result is not None and fresh and rollout.failed_eval != _named(result):
        seen_once = msgspec.structs.replace(rollout, failed_eval=_named(result))
        return _failed(seen_once, step, now_ms, result.text)
    if now_ms - rollout.stage_entered_ms >= 1000 * seconds(step.timeout):
        on = "" if step.dataset is None else f" on {step.dataset}"
        late = f"`{step.suite}` was not passed{on} within {step.timeout}: {_last(result, step)}"
        return _failed(rollout, step, now_ms, late)
    return rollout, []


def _named(result: EvalResult) -> str:
    return f"{result.suite}/{result.number}"


def _last(result: EvalResult | None, step: OfflineEvalStep) -> str:
    if result is None:
        of_it = "it" if step.dataset is None else "it over this dataset"
        return f"no result of {of_it} is on record for this release"
    if result.passed:
        return f"its last result is older than {step.max_age}"
    return f"its last result is still: {result.text}"


def _failed(rollout: Rollout, step: OfflineEvalStep, now_ms: int, reason: str) -> Change:
    if step.on_failure == "rollback":
        return move(rollout, "rolling_back", now_ms, reason=reason)
    return pause(rollout, now_ms, "eval", reason)
