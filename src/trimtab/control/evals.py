"""Records what test suites said of releases, so that rollouts can wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.control.datasets import datasets_of, find_dataset
from trimtab.core.errors import InputError, NotFoundError
from trimtab.core.ids import DIGEST_PREFIX, check_name
from trimtab.evals.report import judged, read_report
from trimtab.evals.tally import Tally
from trimtab.releases.eval_result import EvalResult, EvalSource
from trimtab.rollout.spec import decode_plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.releases.model import Release
    from trimtab.releases.ports import RegistryTransaction
    from trimtab.rollout.ports import ControlTransaction

__all__ = ["EvalOutcome", "awaited_suites", "check_pins", "counted", "record_eval", "reported", "stated"]

_LONGEST_DETAIL = 500


class EvalOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a suite ended, whoever says so."""

    passed: bool
    source: EvalSource
    detail: str = ""
    tally: Tally | None = None
    threshold: float | None = None
    dataset: str = ""
    """`name@v3`; empty where nobody said."""
    dataset_digest: str = ""
    split: str = ""
    """Which part of the dataset; empty for all of it."""


def stated(*, passed: bool, reason: str) -> EvalOutcome:
    """Return an outcome on somebody's word."""
    return EvalOutcome(passed=passed, source="stated", detail=reason)


def reported(report: bytes, *, threshold: float) -> EvalOutcome:
    """Return the outcome of a suite's report; raises `InputError` for one that cannot be read or holds no case."""
    read = read_report(report)
    return msgspec.structs.replace(counted(read.tally, threshold=threshold), source=read.format)


def counted(tally: Tally, *, threshold: float) -> EvalOutcome:
    """Return the outcome of counted cases; raises `InputError` where none ran, or for a threshold that is no share."""
    if not 0 < threshold <= 1:
        message = f"{threshold:g} is no share of the cases"
        raise InputError("malformed_threshold", message, param="threshold", hint="1 is all of them, 0.9 nine in ten")
    if min(tally.passed, tally.failed, tally.errors, tally.skipped) < 0 or not tally.ran:
        raise InputError("empty_report", "no case of this suite ran, so it says nothing", param="cases")
    wanted = "" if threshold == 1 else f"; {100 * threshold:g} % had to"
    return EvalOutcome(
        passed=judged(tally, threshold),
        source="counts",
        detail=tally.text + wanted,
        tally=tally,
        threshold=threshold,
    )


def record_eval(
    tx: RegistryTransaction, release: Release, suite: str, outcome: EvalOutcome, *, actor: str, now_ms: int
) -> EvalResult:
    """Store an outcome as the latest result of a suite for a release, and audit it.

    Raises `InputError` (`missing_reason`) for a pass on somebody's word alone who does not say why: it may override a
    failure that was measured.
    """
    check_name(suite, what="suite")
    if outcome.passed and outcome.source == "stated" and not outcome.detail.strip():
        message = f"`{suite}` passes on your word only with a reason, which is kept with it"
        raise InputError("missing_reason", message, param="reason", hint="say what it is based on: --reason '...'")
    if not actor:
        raise InputError("missing_actor", "a result is recorded by somebody", param="actor", hint="say who records it")
    before = [one for one in tx.eval_results(release.digest) if one.suite == suite]
    last = max(before, key=lambda one: one.number, default=None)
    result = EvalResult(
        feature=release.feature,
        release=release.digest,
        suite=suite,
        number=1 if last is None else last.number + 1,
        passed=outcome.passed,
        source=outcome.source,
        detail=" ".join(outcome.detail.split())[:_LONGEST_DETAIL],
        cases=None if outcome.tally is None else outcome.tally.ran,
        cases_passed=None if outcome.tally is None else outcome.tally.passed,
        threshold=outcome.threshold,
        dataset=outcome.dataset,
        dataset_digest=outcome.dataset_digest,
        split=outcome.split,
        overrides=_failure_before(before) if outcome.passed and outcome.source == "stated" else "",
        at_ms=now_ms,
        actor=actor,
    )
    tx.add_eval_result(result)
    detail = {"release": result.release, "passed": result.passed, "source": result.source, "detail": result.detail}
    more = {"dataset": result.dataset_digest, "overrides": result.overrides}
    tx.append_audit(
        at_ms=now_ms,
        actor=actor,
        action="eval.record",
        subject=f"{release.feature}#{release.number}/{suite}/{result.number}",
        detail=detail | {name: value for name, value in more.items() if value},
    )
    return result


def check_pins(tx: ControlTransaction, feature: str) -> None:
    """Raise `NotFoundError` where the feature's plan waits for results over a dataset that is not stored."""
    stored = tx.plan(feature)
    for step in [] if stored is None else decode_plan(stored.source).steps:
        pin = None if step.offline_eval is None else step.offline_eval.dataset
        if pin is not None and pin.startswith(DIGEST_PREFIX):
            if pin not in {one.digest for one in datasets_of(tx, feature)}:
                message = f"the plan waits for results over dataset {pin}, which `{feature}` does not have"
                hint = f"`trimtab dataset list {feature}` tells what there is"
                raise NotFoundError("unknown_dataset", message, param="dataset", hint=hint)
        elif pin is not None:
            find_dataset(tx, feature, pin)


def _failure_before(results: Iterable[EvalResult]) -> str:
    """Return what failed last and was not passed since but on somebody's word; empty where nothing did."""
    for one in sorted(results, key=lambda result: -result.number):
        if not one.passed:
            return f"result {one.number}, by {one.actor}: {one.detail or 'failed'}"[:_LONGEST_DETAIL]
        if one.source != "stated":
            return ""
    return ""


def awaited_suites(tx: ControlTransaction, feature: str) -> dict[str, list[str]]:
    """Return the suites that the feature's plan and its rollouts under way wait for, with the datasets they pin.

    The dataset is empty for a step that pins none.
    """
    stored = tx.plan(feature)
    plans = [] if stored is None else [decode_plan(stored.source)]
    plans += [decode_plan(one.plan) for one in tx.active_rollouts() if one.feature == feature]
    found: dict[str, list[str]] = {}
    for step in (step.offline_eval for plan in plans for step in plan.steps):
        if step is not None:
            found.setdefault(step.suite, []).append(step.dataset or "")
    return found
