"""Who may take part in a rollout: slots of layers, so that experiments exclude each other, and holdouts.

A layer cuts the units of an environment into slots, and every rollout in it holds one: no unit is in two of them. The
slots in use are those of the live rollouts, so a rollout that ends gives its slot back by ending. The first one in an
empty layer draws the layer's salt, the others take it over. A holdout keeps its salt for good, so that the same units
stay on stable from one rollout to the next. Both are frozen when a rollout starts.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import ConflictError, InputError, NotFoundError
from trimtab.rollout.model import Holdout
from trimtab.serving.snapshot import Band

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trimtab.rollout.model import Rollout
    from trimtab.rollout.ports import ControlTransaction
    from trimtab.rollout.spec import RolloutPlan

__all__ = ["HoldoutRequest", "LayerStatus", "SlotStatus", "claim_slot", "draw_bands", "layer_statuses", "set_holdout"]

_WHOLE = 1_000_000
"""Slots and holdouts are cut in millionths, so that neighbours share one exact border."""
_PERCENT = _WHOLE // 100


class SlotStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds which part of a layer, in per cent of its units."""

    rollout: str
    feature: str
    start: float
    end: float


class LayerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A layer in which rollouts are under way."""

    environment: str
    layer: str
    slots: list[SlotStatus]
    free: float
    """The largest slot that could be claimed, in per cent."""


class HoldoutRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Keep a share of units on stable whatever is rolled out."""

    environment: str
    feature: str = ""
    """Empty: out of every feature's rollouts in the environment."""
    percent: float
    actor: str
    reason: str = ""


def draw_bands(
    tx: ControlTransaction, plan: RolloutPlan, *, feature: str, environment: str, actor: str, now_ms: int
) -> list[Band]:
    """Return who takes part in a rollout that starts now, and store the holdout that its plan asks for.

    Raises `ConflictError` (`layer_full`) where the layer has no slot left that is large enough.
    """
    stored = {holdout.feature: holdout for holdout in tx.holdouts(environment)}
    known = stored.get(feature)
    if plan.holdout is not None and plan.holdout != (known.percent if known else 0.0):
        wish = HoldoutRequest(
            environment=environment, feature=feature, percent=plan.holdout, actor=actor, reason="the plan says so"
        )
        stored[feature] = set_holdout(tx, wish, now_ms=now_ms)
    in_force = [stored[name] for name in ("", feature) if name in stored and stored[name].percent]
    bands = [
        Band(kind="holdout", name=one.feature, salt=one.salt, start=_millionths(one.percent) / _WHOLE, end=1.0)
        for one in in_force
    ]
    if plan.layer is not None:
        live = tx.active_rollouts(environment)
        bands.append(claim_slot(live, layer=plan.layer.name, percent=plan.layer.share, salt=secrets.token_hex(16)))
    return bands


def claim_slot(live: Sequence[Rollout], *, layer: str, percent: float, salt: str) -> Band:
    """Return the first free slot of a layer that is large enough; `salt` is the layer's where nobody holds any of it.

    `live` are the rollouts under way in the environment. Raises `ConflictError` (`layer_full`).
    """
    needed = _millionths(percent)
    held = _slots(live, layer)
    for start, end in _gaps(band for _, band in held):
        if end - start >= needed:
            salt = held[0][1].salt if held else salt
            return Band(kind="layer", name=layer, salt=salt, start=start / _WHOLE, end=(start + needed) / _WHOLE)
    holders = ", ".join(f"`{one.feature}` ({one.id}) holds {_span(band)}" for one, band in held)
    raise ConflictError(
        "layer_full",
        f"layer `{layer}` has no free slot of {percent:g} %: {holders}",
        param="layer",
        hint=f"claim at most {_largest(held):g} % (`layer: {{name: {layer}, share: ...}}`), or wait until one has ended"
        if _largest(held)
        else "wait until one of them has ended, or give the plan another layer",
    )


def layer_statuses(live: Iterable[Rollout]) -> list[LayerStatus]:
    """Return every layer in which rollouts are under way, by environment and name."""
    rollouts = list(live)
    names = {(one.environment, band.name) for one in rollouts for band in one.bands if band.kind == "layer"}
    found = []
    for environment, layer in sorted(names):
        held = _slots([one for one in rollouts if one.environment == environment], layer)
        slots = [
            SlotStatus(rollout=one.id, feature=one.feature, start=band.start * 100, end=band.end * 100)
            for one, band in held
        ]
        found.append(LayerStatus(environment=environment, layer=layer, slots=slots, free=_largest(held)))
    return found


def set_holdout(tx: ControlTransaction, request: HoldoutRequest, *, now_ms: int) -> Holdout:
    """Store a holdout and tell the audit log. Rollouts under way keep the one they started with.

    The salt stays: a larger holdout holds the units of the smaller one. Raises `NotFoundError` for an unknown feature,
    `InputError` for a share outside [0, 100).
    """
    if not 0 <= request.percent < 100:  # noqa: PLR2004 - per cent
        raise InputError(
            "invalid_holdout",
            f"a holdout of {request.percent:g} % leaves nobody to roll out to",
            param="percent",
            hint="give 0 up to, but not including, 100",
        )
    if request.feature and tx.feature(request.feature) is None:
        raise NotFoundError("unknown_feature", f"there is no feature `{request.feature}`", param="feature")
    known = next((one for one in tx.holdouts(request.environment) if one.feature == request.feature), None)
    holdout = Holdout(
        environment=request.environment,
        feature=request.feature,
        percent=request.percent,
        salt=known.salt if known else secrets.token_hex(16),
        set_at_ms=now_ms,
        set_by=request.actor,
    )
    tx.put_holdout(holdout)
    tx.append_audit(
        at_ms=now_ms,
        actor=request.actor,
        action="holdout.set",
        subject=f"{request.feature or '*'}/{request.environment}",
        detail={"from": known.percent if known else 0.0, "to": request.percent, "reason": request.reason},
    )
    return holdout


def _millionths(percent: float) -> int:
    return max(1, round(percent * _PERCENT)) if percent else 0


def _slots(live: Iterable[Rollout], layer: str) -> list[tuple[Rollout, Band]]:
    held = [(one, band) for one in live for band in one.bands if (band.kind, band.name) == ("layer", layer)]
    return sorted(held, key=lambda pair: pair[1].start)


def _gaps(held: Iterable[Band]) -> list[tuple[int, int]]:
    """Return what the slots, in order, leave free, in millionths."""
    gaps, at = [], 0
    for band in held:
        gaps.append((at, round(band.start * _WHOLE)))
        at = round(band.end * _WHOLE)
    return [(start, end) for start, end in [*gaps, (at, _WHOLE)] if end > start]


def _largest(held: Sequence[tuple[Rollout, Band]]) -> float:
    return max((end - start for start, end in _gaps(band for _, band in held)), default=0) / _PERCENT


def _span(band: Band) -> str:
    return f"{band.start * 100:g} to {band.end * 100:g} %"
