"""What people do to rollouts: start one, steer it. Each call belongs inside the caller's one write transaction."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import ConflictError, InputError, NotFoundError
from trimtab.core.ids import new_id
from trimtab.releases.model import PointerMove
from trimtab.rollout.effects import AppendTransition, Command, MovePointer, Notify
from trimtab.rollout.entrants import find_entrants
from trimtab.rollout.machine import step
from trimtab.rollout.model import Rollout, Transition
from trimtab.rollout.outbox import message
from trimtab.rollout.participation import draw_bands
from trimtab.rollout.spec import RolloutPlan, decode_plan, default_plan, encode_plan, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.releases.model import Pointer
    from trimtab.rollout.effects import Effect
    from trimtab.rollout.ports import ControlTransaction

__all__ = ["RolloutRequest", "command_rollout", "save_change", "start_rollout"]


_ATTEMPTS_LOOKED_AT = 200


class RolloutRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the stable release of a feature by a candidate."""

    feature: str
    environment: str
    candidate: str
    """Digest of the release."""
    actor: str
    reason: str = ""
    plan: RolloutPlan | None = None
    """By default the newest plan pushed with the feature, else the built-in one."""
    supersede: bool = False
    """End a rollout that is under way instead of refusing."""
    force: bool = False
    """Start although the candidate is cooling down after a rollback; the audit log says so."""


def start_rollout(tx: ControlTransaction, request: RolloutRequest, *, now_ms: int) -> Rollout:
    """Store a new attempt in state `validating`; the controller takes it from there.

    Every attempt draws its users anew (a salt of its own) and has its own alpha. Raises `NotFoundError` for an unknown
    release or a feature that the environment does not serve yet, `ConflictError` where the candidate is stable already,
    is cooling down after a rollback, another rollout is under way, or the plan's layer has no room.
    """
    pointer = _serveable(tx, request)
    cooling = _cooling_until(tx, request, now_ms)
    if cooling is not None and not request.force:
        raise _cooling_down(request, cooling)
    _make_room(tx, request, now_ms)
    plan = request.plan or _plan_of(tx, request.feature)
    rollout = Rollout(
        id=new_id("ro", now_ms),
        feature=request.feature,
        environment=request.environment,
        stable=pointer.release,
        candidate=request.candidate,
        plan=encode_plan(plan),
        challengers=find_entrants(
            tx, plan, feature=request.feature, stable=pointer.release, candidate=request.candidate
        ),
        bands=draw_bands(
            tx,
            plan,
            feature=request.feature,
            environment=request.environment,
            actor=request.actor,
            now_ms=now_ms,
        ),
        salt=secrets.token_hex(16),
        state="validating",
        reason=request.reason or f"started by {request.actor}",
        created_at_ms=now_ms,
        created_by=request.actor,
        updated_at_ms=now_ms,
    )
    tx.add_rollout(rollout)
    tx.add_transition(
        Transition(
            rollout=rollout.id,
            at_ms=now_ms,
            from_state="draft",
            to_state="validating",
            stage=-1,
            actor=request.actor,
            reason=rollout.reason,
        )
    )
    tx.append_audit(
        at_ms=now_ms,
        actor=request.actor,
        action="rollout.start",
        subject=rollout.id,
        detail=_about(rollout)
        | {"stable": rollout.stable, "reason": rollout.reason}
        | ({} if cooling is None else {"forced": f"cooling down until {_clock(cooling)}"}),
    )
    return rollout


def _serveable(tx: ControlTransaction, request: RolloutRequest) -> Pointer:
    release = tx.release(request.candidate)
    if release is None or release.feature != request.feature:
        raise NotFoundError(
            "unknown_release",
            f"feature `{request.feature}` has no release {request.candidate}",
            param="candidate",
            hint=f"`trimtab release list {request.feature}` shows what there is",
        )
    pointer = tx.pointer(request.feature, request.environment)
    if pointer is None:
        raise NotFoundError(
            "no_stable_release",
            f"environment `{request.environment}` serves no release of `{request.feature}` that could be replaced",
            param="environment",
            hint=f"give it one: trimtab environment set {request.feature} '#{release.number}' --reason ...",
        )
    if pointer.release == request.candidate:
        raise ConflictError(
            "already_stable",
            f"`{request.feature}#{release.number}` is what `{request.environment}` serves already",
            param="candidate",
            hint="push a change first, or name another release",
        )
    return pointer


def _cooling_until(tx: ControlTransaction, request: RolloutRequest, now_ms: int) -> int | None:
    """Return until when this candidate may not be tried again, by the plan under which its harm was proven."""
    until_ms = now_ms
    for rollout in tx.rollouts(request.feature, limit=_ATTEMPTS_LOOKED_AT):
        same = (rollout.environment, rollout.candidate) == (request.environment, request.candidate)
        if same and rollout.state == "rolled_back" and rollout.verdict.get("status") == "failed":
            ended_ms = min(rollout.ended_at_ms or now_ms, now_ms)  # a clock set back must not lengthen it
            cooldown_ms = round(1000 * seconds(decode_plan(rollout.plan).rollback.cooldown))
            until_ms = max(until_ms, ended_ms + cooldown_ms)
    return until_ms if until_ms > now_ms else None


def _cooling_down(request: RolloutRequest, until_ms: int) -> ConflictError:
    return ConflictError(
        "cooling_down",
        f"this candidate was rolled back in `{request.environment}` for proven harm, and is cooling down until "
        f"{_clock(until_ms)}",
        param="candidate",
        hint="push a release that mends it, wait, or start with --force, which the audit log will tell of",
    )


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _make_room(tx: ControlTransaction, request: RolloutRequest, now_ms: int) -> None:
    active = tx.active_rollout(request.feature, request.environment)
    if active is None:
        return
    if not request.supersede:
        raise ConflictError(
            "rollout_active",
            f"rollout {active.id} of `{request.feature}` is `{active.state}` in `{request.environment}`",
            param="feature",
            hint="abort or promote it first, or start with --supersede",
        )
    reason = f"superseded by {request.actor}" + (f": {request.reason}" if request.reason else "")
    command_rollout(tx, active.id, Command(kind="supersede", actor=request.actor, reason=reason), now_ms=now_ms)


def _plan_of(tx: ControlTransaction, feature: str) -> RolloutPlan:
    stored = tx.plan(feature)
    return default_plan() if stored is None else decode_plan(stored.source)


def command_rollout(tx: ControlTransaction, rollout_id: str, command: Command, *, now_ms: int) -> Rollout:
    """Apply a person's command; the controller publishes what follows from it at its next tick.

    Raises `NotFoundError` for an unknown id, `ConflictError` for a command the state does not allow.
    """
    rollout = tx.rollout(rollout_id)
    if rollout is None:
        raise NotFoundError("unknown_rollout", f"there is no rollout {rollout_id}", param="rollout")
    if not command.actor:
        raise InputError("missing_actor", "a command needs somebody who gave it", param="actor")
    changed, effects = step(rollout, decode_plan(rollout.plan), command, now_ms=now_ms)
    return save_change(tx, rollout, changed, effects, now_ms=now_ms)


def save_change(
    tx: ControlTransaction, before: Rollout, after: Rollout, effects: Sequence[Effect], *, now_ms: int
) -> Rollout:
    """Save a rollout with its history, pointer move, audit and messages to people; returns it as saved.

    Raises `FencedError` where somebody saved another version meanwhile. Publishing is the caller's.
    """
    saved = msgspec.structs.replace(after, version=before.version + 1, updated_at_ms=now_ms)
    tx.save_rollout(saved, expected_version=before.version)
    for effect in effects:
        match effect:
            case AppendTransition():
                _write_history(tx, after, effect.transition)
            case MovePointer():
                _move_pointer(tx, after, effect, now_ms)
            case Notify():
                _tell(tx, after, effect, now_ms)
            case _:
                pass
    return saved


def _tell(tx: ControlTransaction, rollout: Rollout, notify: Notify, now_ms: int) -> None:
    plan = decode_plan(rollout.plan)
    targets = [target for target in plan.notify if notify.event in target.on]
    digests = (rollout.stable, rollout.candidate) if targets else ()
    found = [release for digest in digests if (release := tx.release(digest)) is not None]
    releases = {release.digest: f"{release.feature}#{release.number}" for release in found}
    for target in targets:
        tx.add_message(message(target, notify, rollout, plan=plan, releases=releases, now_ms=now_ms))


def _write_history(tx: ControlTransaction, rollout: Rollout, transition: Transition) -> None:
    tx.add_transition(transition)
    tx.append_audit(
        at_ms=transition.at_ms,
        actor=transition.actor,
        action="rollout.transition",
        subject=rollout.id,
        detail=_about(rollout)
        | {
            "from": transition.from_state,
            "to": transition.to_state,
            "stage": transition.stage,
            "reason": transition.reason,
        },
    )


def _move_pointer(tx: ControlTransaction, rollout: Rollout, effect: MovePointer, now_ms: int) -> None:
    pointer = tx.pointer(rollout.feature, rollout.environment)
    if pointer is None or pointer.release != rollout.stable:
        raise ConflictError(
            "pointer_moved",
            f"`{rollout.environment}` was pointed at another release of `{rollout.feature}` meanwhile",
            param=rollout.id,
            hint="the rollout will end as superseded; start a new one against the release in force",
        )
    move = PointerMove(
        feature=rollout.feature,
        environment=rollout.environment,
        revision=pointer.revision + 1,
        from_release=pointer.release,
        to_release=effect.to_release,
        at_ms=now_ms,
        actor=effect.actor,
        reason=effect.reason,
        rollout=rollout.id,
    )
    tx.move_pointer(move)
    tx.append_audit(
        at_ms=now_ms,
        actor=effect.actor,
        action="pointer.move",
        subject=f"{rollout.feature}/{rollout.environment}",
        detail={
            "from": move.from_release,
            "to": move.to_release,
            "reason": move.reason,
            "rollout": rollout.id,
            "revision": move.revision,
        },
    )


def _about(rollout: Rollout) -> dict[str, Any]:
    return {"feature": rollout.feature, "environment": rollout.environment, "candidate": rollout.candidate}
