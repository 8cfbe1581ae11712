"""Records what test suites said of releases, so that rollouts can wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import InputError
from trimtab.core.ids import check_name
from trimtab.evals.report import judged, read_report
from trimtab.evals.tally import Tally
from trimtab.releases.eval_result import EvalResult, EvalSource

if TYPE_CHECKING:
    from trimtab.releases.model import Release
    from trimtab.releases.ports import RegistryTransaction

__all__ = ["EvalOutcome", "counted", "record_eval", "reported", "stated"]

_LONGEST_DETAIL = 500


class EvalOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a suite ended, whoever says so."""

    passed: bool
    source: EvalSource
    detail: str = ""
    tally: Tally | None = None
    threshold: float | None = None


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
    """Store an outcome as the latest result of a suite for a release, and audit it."""
    check_name(suite, what="suite")
    if not actor:
        raise InputError("missing_actor", "a result is recorded by somebody", param="actor", hint="say who records it")
    last = tx.latest_eval_result(release.digest, suite)
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
        at_ms=now_ms,
        actor=actor,
    )
    tx.add_eval_result(result)
    tx.append_audit(
        at_ms=now_ms,
        actor=actor,
        action="eval.record",
        subject=f"{release.feature}#{release.number}/{suite}/{result.number}",
        detail={"release": release.digest, "passed": result.passed, "source": result.source, "detail": result.detail},
    )
    return result
