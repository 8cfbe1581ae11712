"""The state machine of a migration: (plan, event) -> (plan, effects). Pure; every rule about order stands here.

Each fork goes `golden -> lint -> diff -> adapt -> judges -> shadow -> canary -> cutover -> retire`, and never past a
state without its artefact: a gate that says no is passed only by a person who says why, or not at all. The same event
twice changes nothing the second time; one that does not fit is refused and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import msgspec

from trimtab.core.errors import ConflictError, InputError, NotFoundError
from trimtab.core.quantity import quantity
from trimtab.migration.events import (
    Abandoned,
    Acknowledged,
    Approved,
    Audit,
    Inventoried,
    Rebased,
    RolledBack,
    RolloutEnded,
    RolloutStarted,
    TakeBack,
    Worked,
)
from trimtab.migration.model import Acknowledgement, Fork, HistoryEntry, Migration, Override, Passed
from trimtab.migration.states import FIRST, LAST, ROLLOUT_STATES, after, before, info, place

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.migration.events import Effect, Event
    from trimtab.migration.states import StateName
    from trimtab.releases.model import AuditAction

__all__ = ["ENGINE", "transition"]

ENGINE = "migration"
"""Whom the audit log names for what no person did."""

_replace = msgspec.structs.replace
Change = tuple[Migration, list["Effect"]]


def transition(plan: Migration, event: Event, *, now_ms: int) -> Change:
    """Return the plan after an event, and what must be done about it.

    Raises `ConflictError` for an event that does not fit where the plan stands (`out_of_order`, `plan_ended`,
    `nothing_to_approve`, `cannot_override`, `cannot_roll_back`), `NotFoundError` for an unknown fork or finding,
    `InputError` where a person is not named or gives no reason.
    """
    if plan.status != "live":
        if isinstance(event, Worked) and _is_known(plan, event):
            return plan, []
        raise ConflictError(
            "plan_ended",
            f"migration {plan.id} is {plan.status}",
            param=plan.id,
            hint="to serve an old release again: trimtab environment set FEATURE '#N' --reason ...",
        )
    return _HANDLERS[type(event)](plan, event, now_ms)


def _inventoried(plan: Migration, event: Inventoried, now_ms: int) -> Change:
    if plan.forks:
        if plan.inventory == event.artifact:
            return plan, []
        raise ConflictError("out_of_order", "the inventory was taken already", param=plan.id)
    if not event.forks:
        why = f"no stable release in `{plan.environment}` calls {plan.source.text}"
        return _replace(plan, inventory=event.artifact, reasons=[why]), []
    forks = [
        Fork(
            name=seed.name,
            release=seed.release,
            release_number=seed.release_number,
            prompt=seed.prompt,
            role=seed.role,
        )
        for seed in event.forks
    ]
    found = _replace(plan, inventory=event.artifact, forks=[_enter(plan, fork, FIRST) for fork in forks], reasons=[])
    reason = f"{quantity(len(forks), 'fork calls', 'forks call')} {plan.source.text}"
    return _noted(found, "", now_ms, _Note(ENGINE, "passed", "inventory", reason))


def _rebased(plan: Migration, event: Rebased, now_ms: int) -> Change:
    fork = _fork(plan, event.fork)
    if fork.release == event.release:
        return plan, []
    if fork.state != FIRST or fork.standing == "held":
        _refuse(fork, "another release to begin with")
    changed = _replace(
        fork,
        release=event.release,
        release_number=event.release_number,
        prompt=event.prompt,
        standing="due",
        reasons=[],
        pending="",
    )
    reason = f"the environment serves {fork.name}#{event.release_number} by now, not #{fork.release_number}"
    return _noted(_with(plan, changed), fork.name, now_ms, _Note(ENGINE, "rebased", FIRST, reason))


def _worked(plan: Migration, event: Worked, now_ms: int) -> Change:
    fork = _fork(plan, event.fork)
    if fork.state != event.state or fork.standing in {"held", "done"}:
        if _is_known(plan, event):
            return plan, []
        _refuse(fork, f"work of state `{event.state}`")
    if not event.artifact and event.gate != "waiting":
        raise InputError("missing_artifact", f"state `{event.state}` wrote nothing", param="artifact")
    changed = _replace(
        fork,
        pending=event.artifact or fork.pending,
        candidate=event.candidate if event.state == "adapt" else fork.candidate,
        open_findings=[one for one in event.findings if one not in fork.acknowledged],
        reasons=event.reasons,
        until_ms=event.until_ms,
    )
    if event.gate == "passed" and not changed.open_findings:
        why = "; ".join(event.reasons)
        if not event.skipped_by:
            return _pass(plan, changed, now_ms, actor=ENGINE, reason=why)
        skipped = Override(actor=event.skipped_by, reason=why, at_ms=now_ms, despite=fork.reasons)
        return _pass(plan, changed, now_ms, actor=event.skipped_by, reason=why, override=skipped)
    standing = "waiting" if event.gate == "waiting" else "blocked"
    changed = _replace(changed, standing=standing)
    if changed == fork:
        return plan, []
    told = (fork.standing, fork.reasons) != (changed.standing, changed.reasons) and standing == "blocked"
    if not told:
        return _with(plan, changed), []
    reason = "; ".join(changed.reasons)
    return _noted(_with(plan, changed), fork.name, now_ms, _Note(ENGINE, "blocked", fork.state, reason))


def _is_known(plan: Migration, event: Worked) -> bool:
    """Return whether a state was passed with this very artefact: the event came twice."""
    fork = plan.fork(event.fork)
    known = None if fork is None else fork.passed.get(event.state)
    return known is not None and known.artifact == event.artifact


def _rollout_started(plan: Migration, event: RolloutStarted, now_ms: int) -> Change:
    fork = _fork(plan, event.fork)
    if fork.rollout == event.rollout:
        return plan, []
    if fork.state != "shadow" or fork.standing in {"held", "done"} or fork.rollout:
        _refuse(fork, "a new rollout")
    changed = _replace(
        fork, rollout=event.rollout, standing="waiting", pending="", reasons=[f"rollout {event.rollout} has begun"]
    )
    reason = f"rollout {event.rollout}"
    return _noted(_with(plan, changed), fork.name, now_ms, _Note(ENGINE, "started", "shadow", reason))


def _rollout_ended(plan: Migration, event: RolloutEnded, now_ms: int) -> Change:
    fork = _fork(plan, event.fork)
    if fork.rollout != event.rollout:
        return plan, []  # of an attempt that was given up before
    if fork.state not in ROLLOUT_STATES:
        _refuse(fork, "the end of its rollout")
    to: StateName = "adapt" if event.harmful else "shadow"
    rejected = [*fork.rejected, fork.candidate] if event.harmful else fork.rejected
    back = _replace(
        _back(fork, to),
        rejected=rejected,
        standing="blocked" if event.harmful else "held",
        reasons=[event.reason],
    )
    return _noted(_with(plan, back), fork.name, now_ms, _Note(ENGINE, "rolled_back", to, event.reason))


def _acknowledged(plan: Migration, event: Acknowledged, now_ms: int) -> Change:
    fork = _fork(plan, event.fork)
    _require_person(event.actor, event.reason)
    wanted = event.findings or fork.open_findings
    unknown = [one for one in wanted if one not in fork.open_findings and one not in fork.acknowledged]
    if unknown:
        raise NotFoundError(
            "unknown_finding",
            f"`{fork.name}` has no finding `{unknown[0]}`",
            param="finding",
            hint=f"open: {', '.join(fork.open_findings) or 'none'}",
        )
    new = {one: Acknowledgement(actor=event.actor, reason=event.reason, at_ms=now_ms) for one in wanted}
    fresh = {one: ack for one, ack in new.items() if one not in fork.acknowledged}
    if not fresh:
        return plan, []
    changed = _replace(
        fork,
        acknowledged=fork.acknowledged | fresh,
        open_findings=[one for one in fork.open_findings if one not in fresh],
    )
    audit = _audit(plan, fork, event.actor, "migration.acknowledge", findings=list(fresh), reason=event.reason)
    if changed.open_findings or fork.state != "lint" or not fork.pending:
        left = [f"not acknowledged yet: {quantity(len(changed.open_findings), 'finding')} (trimtab migration ack)"]
        reasons = left if changed.open_findings else changed.reasons
        return _with(plan, _replace(changed, reasons=reasons)), [audit]
    passed, effects = _pass(plan, changed, now_ms, actor=event.actor, reason="every finding is acknowledged")
    return passed, [audit, *effects]


def _approved(plan: Migration, event: Approved, now_ms: int) -> Change:
    fork = _fork(plan, event.fork)
    _require_person(event.actor, event.reason)
    if fork.standing == "held":
        changed = _replace(fork, standing="due", reasons=[])
        return _noted(_with(plan, changed), fork.name, now_ms, _Note(event.actor, "approved", fork.state, event.reason))
    if fork.standing != "blocked":
        raise ConflictError(
            "nothing_to_approve",
            f"`{fork.name}` is {fork.standing} at `{fork.state}`: nothing waits for an approval",
            param="fork",
            hint="trimtab migration status tells what is next",
        )
    if not info(fork.state).overridable or not fork.pending or (fork.state == "adapt" and not fork.candidate):
        why = "there is no candidate to go on with" if fork.state == "adapt" else info(fork.state).gate
        raise ConflictError(
            "cannot_override",
            f"the gate of `{fork.state}` cannot be passed on somebody's word: {why}",
            param="fork",
            hint={"lint": "trimtab migration ack", "adapt": "push a release that calls the new model"}.get(
                fork.state, "trimtab migration status tells what it waits for"
            ),
        )
    override = Override(actor=event.actor, reason=event.reason, at_ms=now_ms, despite=fork.reasons)
    return _pass(plan, fork, now_ms, actor=event.actor, reason=event.reason, override=override)


def _rolled_back(plan: Migration, event: RolledBack, now_ms: int) -> Change:
    fork = _fork(plan, event.fork)
    _require_person(event.actor, event.reason)
    to = event.to or info(fork.state).back_to
    if place(to) > place(fork.state) or to in {"inventory", "canary", "cutover", "retire"}:
        raise ConflictError(
            "cannot_roll_back",
            f"`{fork.name}` is at `{fork.state}` and cannot go back to `{to}`",
            param="to",
            hint="states that follow one rollout begin together: go back to shadow, or to any state before it",
        )
    back = _replace(
        _back(fork, to), standing="held", reasons=[f"rolled back by {event.actor} from {fork.state}: {event.reason}"]
    )
    changed, effects = _noted(_with(plan, back), fork.name, now_ms, _Note(event.actor, "rolled_back", to, event.reason))
    if not fork.rollout:
        return changed, effects
    take_back = TakeBack(
        feature=fork.name,
        rollout=fork.rollout,
        candidate=fork.candidate,
        release=fork.release,
        actor=event.actor,
        reason=event.reason,
    )
    return changed, [*effects, take_back]


def _abandoned(plan: Migration, event: Abandoned, now_ms: int) -> Change:
    _require_person(event.actor, event.reason)
    under_way = [fork.name for fork in plan.forks if fork.rollout]
    if under_way:
        raise ConflictError(
            "cannot_abandon",
            f"users meet the new model through {', '.join(f'`{name}`' for name in under_way)}",
            param=plan.id,
            hint="send them back first: trimtab migration rollback",
        )
    ended = _replace(plan, status="abandoned")
    return _noted(ended, "", now_ms, _Note(event.actor, "abandoned", _where(plan), event.reason))


class _Note(NamedTuple):
    """What the history says of a step."""

    actor: str
    what: str
    state: StateName
    """Where it led."""
    reason: str


def _pass(
    plan: Migration, fork: Fork, now_ms: int, *, actor: str, reason: str, override: Override | None = None
) -> Change:
    passed = Passed(artifact=fork.pending, at_ms=now_ms, override=override)
    through = _replace(fork, passed=fork.passed | {fork.state: passed}, pending="", reasons=[], until_ms=None)
    what = "override" if override else "passed"
    if fork.state == LAST:
        done = _with(plan, _replace(through, standing="done"))
        if all(one.standing == "done" for one in done.forks):
            done = _replace(done, status="complete")
    else:
        done = _with(plan, _enter(plan, through, after(fork.state)))
    return _noted(done, fork.name, now_ms, _Note(actor, what, fork.state, reason))


def _enter(plan: Migration, fork: Fork, state: StateName) -> Fork:
    if state in plan.options.approve_before:
        reasons = [f"a person approves before {info(state).title.lower()}"]
        return _replace(fork, state=state, standing="held", reasons=reasons)
    return _replace(fork, state=state, standing="due", reasons=[])


def _back(fork: Fork, to: StateName) -> Fork:
    """Return the fork at an earlier state, or at the beginning of its own; what came later counts no more."""
    return _replace(
        fork,
        state=to,
        pending="",
        until_ms=None,
        passed={state: fork.passed[state] for state in before(to)},
        open_findings=fork.open_findings if place(to) > place("lint") else [],
        candidate=fork.candidate if place(to) > place("adapt") else "",
        rollout="",
    )


def _with(plan: Migration, changed: Fork) -> Migration:
    return _replace(plan, forks=[changed if fork.name == changed.name else fork for fork in plan.forks])


def _noted(plan: Migration, fork: str, now_ms: int, note: _Note) -> Change:
    entry = HistoryEntry(
        at_ms=now_ms, fork=fork, actor=note.actor, what=note.what, state=note.state, reason=note.reason
    )
    found = plan.fork(fork)
    passed = None if found is None else found.passed.get(note.state)
    detail = {
        "what": note.what,
        "state": note.state,
        "reason": note.reason,
        "artifact": plan.inventory if note.state == "inventory" else passed.artifact if passed else "",
    }
    overridden = note.what == "override" and passed is not None and passed.override is not None
    if overridden and passed is not None and passed.override is not None:
        detail["despite"] = "; ".join(passed.override.despite)
    audit = Audit(
        actor=note.actor,
        action="migration.override" if overridden else "migration.transition",
        subject=f"{plan.id}/{fork}" if fork else plan.id,
        detail=detail,
    )
    return _replace(plan, history=[*plan.history, entry]), [audit]


def _audit(plan: Migration, fork: Fork, actor: str, action: AuditAction, **detail: object) -> Audit:
    return Audit(actor=actor, action=action, subject=f"{plan.id}/{fork.name}", detail=detail)


def _fork(plan: Migration, name: str) -> Fork:
    fork = plan.fork(name)
    if fork is None:
        known = ", ".join(f"`{one.name}`" for one in plan.forks) or "none yet"
        raise NotFoundError("unknown_fork", f"this plan has no fork `{name}`", param="fork", hint=f"it has {known}")
    return fork


def _where(plan: Migration) -> StateName:
    return min((fork.state for fork in plan.forks), key=place, default="inventory")


def _require_person(actor: str, reason: str) -> None:
    if not actor:
        raise InputError("missing_actor", "this is done by somebody", param="actor", hint="say who does it")
    if not reason.strip():
        raise InputError("missing_reason", "say why: it stands in the audit log", param="reason", hint="--reason ...")


def _refuse(fork: Fork, what: str) -> NoReturn:
    raise ConflictError(
        "out_of_order",
        f"`{fork.name}` is {fork.standing} at `{fork.state}`, so {what} does not fit",
        param="fork",
        hint="nothing was changed; trimtab migration status tells what is next",
    )


_HANDLERS: dict[type, Callable[[Migration, Any, int], Change]] = {
    Inventoried: _inventoried,
    Rebased: _rebased,
    Worked: _worked,
    RolloutStarted: _rollout_started,
    RolloutEnded: _rollout_ended,
    Acknowledged: _acknowledged,
    Approved: _approved,
    RolledBack: _rolled_back,
    Abandoned: _abandoned,
}
