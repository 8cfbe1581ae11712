"""Where a migration stands: what is next, what blocks it, until when. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.migration.inventory import Deadline, deadline_of
from trimtab.migration.model import Migration, Passed, Standing
from trimtab.migration.states import STATES, StateName, info, place

if TYPE_CHECKING:
    from trimtab.migration.capabilities import Lifecycle
    from trimtab.migration.model import Fork

__all__ = ["ForkStatus", "MigrationStatus", "status_of"]


class ForkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where one fork stands."""

    name: str
    release_number: int
    """Of the release that calls the old model."""
    state: StateName
    number: int
    """0 to 9."""
    title: str
    standing: Standing
    next: str
    """What happens, or is to be done, next: a command where it is somebody's turn."""
    blocked_by: list[str]
    """Why it stands still; empty where it does not."""
    until_ms: int | None
    """When waiting is over, where that is known."""
    open_findings: list[str]
    candidate: str
    """`feature#number` of the release that is to replace the old one; empty where none is chosen."""
    rollout: str
    passed: dict[StateName, Passed]


class MigrationStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a plan stands."""

    migration: Migration
    deadline: Deadline | None
    alarms: list[str]
    """What cannot wait: a shutdown that is nearer than the lead time, or past."""
    state: str
    """The earliest state that a fork is in, or how the plan ended."""
    number: int
    next: list[str]
    """Every command that somebody can give now, and what it is for."""
    forks: list[ForkStatus]


def status_of(
    plan: Migration, *, lifecycle: Lifecycle | None, candidates: dict[str, str], now_ms: int
) -> MigrationStatus:
    """Return where a plan stands. `candidates` names releases by their digests."""
    deadline = deadline_of(lifecycle, now_ms=now_ms, lead_days=plan.options.lead_days)
    forks = [_fork(plan, fork, candidates) for fork in plan.forks]
    alarms = []
    if plan.status == "live" and deadline is not None and deadline.late:
        alarms.append(f"{plan.source.text} {'was' if deadline.days_left < 0 else 'will be'} {deadline.text}")
    state: StateName = min((fork.state for fork in plan.forks), key=place, default="inventory")
    return MigrationStatus(
        migration=plan,
        deadline=deadline,
        alarms=alarms,
        state=info(state).title if plan.status == "live" else plan.status,
        number=place(state) if plan.status == "live" else len(STATES) - 1,
        next=_next(plan, forks),
        forks=forks,
    )


def _next(plan: Migration, forks: list[ForkStatus]) -> list[str]:
    if plan.status == "complete":
        return [f"nothing: {plan.source.text} is retired here"]
    if plan.status == "abandoned":
        return ["nothing: the plan was abandoned"]
    if not forks:
        return [f"{'; '.join(plan.reasons) or 'the inventory is to be taken'}: trimtab migration run {plan.id}"]
    return list(dict.fromkeys(f"{fork.name}: {fork.next}" for fork in forks if fork.standing != "done"))


def _fork(plan: Migration, fork: Fork, candidates: dict[str, str]) -> ForkStatus:
    return ForkStatus(
        name=fork.name,
        release_number=fork.release_number,
        state=fork.state,
        number=place(fork.state),
        title=info(fork.state).title,
        standing=fork.standing,
        next=_next_of(plan, fork),
        blocked_by=fork.reasons,
        until_ms=fork.until_ms,
        open_findings=fork.open_findings,
        candidate=candidates.get(fork.candidate, fork.candidate),
        rollout=fork.rollout,
        passed=fork.passed,
    )


def _next_of(plan: Migration, fork: Fork) -> str:
    run = f"trimtab migration run {plan.id}"
    approve = f"trimtab migration approve {plan.id} --fork {fork.name} --reason ..."
    match fork.standing:
        case "due":
            return f"{info(fork.state).title.lower()}: {run}"
        case "waiting":
            return f"wait, then {run}"
        case "held":
            return f"a person lets it go on: {approve}"
        case "done":
            return "nothing"
        case "blocked":
            return _mend(plan, fork, run=run, approve=approve)


def _mend(plan: Migration, fork: Fork, *, run: str, approve: str) -> str:
    if fork.open_findings:
        return f"a person acknowledges what changes: trimtab migration ack {plan.id} --fork {fork.name} --reason ..."
    if fork.state == "adapt" and not fork.candidate:
        return f"push a release of {fork.name} that calls {plan.target.text}, then {run}"
    if fork.state == "adapt":
        return f"push a better release of {fork.name} that calls {plan.target.text}, then {run}; or {approve}"
    if info(fork.state).overridable:
        return f"mend it, then {run}; or go on nevertheless: {approve}"
    return f"trimtab rollout explain {fork.name} tells what it waits for; then {run}"
