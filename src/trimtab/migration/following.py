"""The work of the states that follow a rollout, and of the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.migration.events import RolloutEnded
from trimtab.migration.rollouts import RolloutView, view
from trimtab.migration.soak import retirement, soak
from trimtab.migration.states import info
from trimtab.migration.work import Result
from trimtab.rollout.spec import decode_plan

if TYPE_CHECKING:
    from trimtab.migration.work import Work
    from trimtab.rollout.model import Rollout

__all__ = ["canary_work", "cutover_work", "retire_work", "shadow_work"]

_HOUR_MS = 3_600_000
_PHASES = ("shadow", "canary", "cutover", "promoted")


def shadow_work(work: Work) -> Result:
    """Begin a rollout, and wait until its shadow steps have passed."""
    if not work.fork.rollout:
        with work.ports.store.read() as tx:
            pointer = tx.pointer(work.fork.name, work.plan.environment)
        if pointer is None or pointer.release != work.fork.release:
            return _overtaken(work, "" if pointer is None else pointer.release)
        return Result(gate="waiting", begins_rollout=True)
    return _until(work, "canary")


def _overtaken(work: Work, stable: str) -> Result:
    """The candidate was made of a release that is not in force any more: rolling it out would undo what came since."""
    fork, where = work.fork, work.plan.environment
    back = f"trimtab migration rollback {work.plan.id} --fork {fork.name} --to golden --reason ..."
    made_of = f"#{fork.release_number}, which the candidate was made of"
    return Result(
        gate="blocked",
        reasons=[f"`{where}` serves another release of `{fork.name}` than {made_of}; begin with it: {back}"],
        content={"stable": stable, "made_of": fork.release},
    )


def canary_work(work: Work) -> Result:
    """Wait until the rollout bakes."""
    return _until(work, "cutover")


def cutover_work(work: Work) -> Result:
    """Wait for the promotion and for the soak time; then ask whether the new release fails more often."""
    rollout, seen = _look(work)
    if seen.phase != "promoted":
        return _not_yet(work, seen)
    until_ms = seen.promoted_ms + round(work.plan.options.soak_hours * _HOUR_MS)
    if work.now_ms < until_ms:
        reasons = [f"promoted; soaking for {work.plan.options.soak_hours:g} h"]
        return Result(gate="waiting", reasons=reasons, until_ms=until_ms)
    with work.ports.store.read() as tx:
        pointer = tx.pointer(work.fork.name, work.plan.environment)
    span = (rollout.created_at_ms - (until_ms - seen.promoted_ms), work.now_ms + 1)
    rows = [
        row
        for model in (work.plan.source, work.plan.target)
        for row in work.ports.calls.traffic(work.plan.environment, model.provider, model.model, span)
    ]
    report, complaint = soak(
        rows,
        old=work.fork.release,
        new=work.fork.candidate,
        rollout=rollout.id,
        promoted_ms=seen.promoted_ms,
        until_ms=until_ms,
    )
    if pointer is None or pointer.release != work.fork.candidate:
        complaint = f"`{work.plan.environment}` was pointed at another release of `{work.fork.name}` meanwhile"
    return Result(
        gate="blocked" if complaint else "passed",
        reasons=[complaint or f"in force since the promotion; {report.new.errors:,} of {report.new.calls:,} failed"],
        content=msgspec.to_builtins(report),
        skipped_by="" if complaint else seen.skipped_by,
    )


def retire_work(work: Work) -> Result:
    """Prove that nobody has called the old model for the window, once every fork is through its cutover."""
    behind = [
        f"{fork.name} is at {info(fork.state).title.lower()}" for fork in work.plan.forks if fork.state != "retire"
    ]
    if behind:
        return Result(gate="waiting", reasons=behind)
    plan, now_ms = work.plan, work.now_ms
    since_ms = now_ms - round(plan.options.zero_call_hours * _HOUR_MS)
    calls, span = work.ports.calls, (since_ms, now_ms + 1)
    rows = calls.traffic(plan.environment, plan.source.provider, plan.source.model, span)
    others = calls.traffic(plan.environment, plan.target.provider, plan.target.model, span)
    proof, gate, reasons = retirement(
        rows,
        model=plan.source.text,
        since_ms=since_ms,
        now_ms=now_ms,
        others=sum(row.calls for row in others),
    )
    last_ms = max((row.last_ms for row in rows), default=since_ms)
    waiting = gate == "waiting"
    return Result(
        gate=gate,
        reasons=reasons,
        content=None if waiting else msgspec.to_builtins(proof),
        until_ms=last_ms + round(plan.options.zero_call_hours * _HOUR_MS) if waiting else None,
    )


def _until(work: Work, wanted: str) -> Result:
    rollout, seen = _look(work)
    if seen.phase not in _PHASES or _PHASES.index(seen.phase) < _PHASES.index(wanted):
        return _not_yet(work, seen)
    return Result(
        gate="passed",
        reasons=[seen.says],
        content=_story(work, rollout, seen),
        skipped_by=seen.skipped_by,
    )


def _not_yet(work: Work, seen: RolloutView) -> Result:
    if seen.phase == "ended":
        ended = RolloutEnded(fork=work.fork.name, rollout=work.fork.rollout, harmful=seen.harmful, reason=seen.says)
        return Result(gate="blocked", ended=ended)
    return Result(gate="waiting", reasons=[seen.says], until_ms=seen.until_ms)


def _look(work: Work) -> tuple[Rollout, RolloutView]:
    with work.ports.store.read() as tx:
        rollout = tx.rollout(work.fork.rollout)
        if rollout is None:  # no store loses one row: it was restored from a backup of before
            raise _lost(work)
        return rollout, view(rollout, decode_plan(rollout.plan), tx.transitions(rollout.id))


def _lost(work: Work) -> Exception:
    from trimtab.core.errors import IntegrityError

    return IntegrityError(
        "missing_rollout",
        f"rollout {work.fork.rollout} of `{work.fork.name}` is no longer stored",
        param=work.fork.rollout,
        hint="restore the control database from a backup, or send the fork back: trimtab migration rollback",
    )


def _story(work: Work, rollout: Rollout, seen: RolloutView) -> dict[str, Any]:
    with work.ports.store.read() as tx:
        transitions = tx.transitions(rollout.id)
    return {
        "rollout": rollout.id,
        "candidate": rollout.candidate,
        "stable": rollout.stable,
        "state": rollout.state,
        "reason": rollout.reason,
        "skipped_by": seen.skipped_by,
        "verdict": rollout.verdict,
        "transitions": msgspec.to_builtins(transitions),
    }
