"""What monitoring asks of the control plane: who drives rollouts, and where each of them stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.verdict import Verdict
from trimtab.rollout.controller import LEASE
from trimtab.rollout.model import Rollout
from trimtab.rollout.ports import Lease

if TYPE_CHECKING:
    from trimtab.rollout.ports import ControlTransaction

__all__ = ["LiveRollout", "Vitals", "read_vitals"]


class LiveRollout(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout that has not ended."""

    rollout: Rollout
    candidate: str
    """`feature#number`."""
    verdict: Verdict | None
    """`None` before the first, or where only another version of Trimtab can read it."""


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, as of one moment."""

    lease: Lease | None
    """The controller's; it may have run out."""
    rollouts: list[LiveRollout]


def read_vitals(tx: ControlTransaction) -> Vitals:
    """Read them."""
    return Vitals(lease=tx.lease(LEASE), rollouts=[_live(tx, rollout) for rollout in tx.active_rollouts()])


def _live(tx: ControlTransaction, rollout: Rollout) -> LiveRollout:
    release = tx.release(rollout.candidate)
    try:
        verdict = msgspec.convert(rollout.verdict, Verdict) if rollout.verdict else None
    except msgspec.ValidationError:
        verdict = None
    return LiveRollout(
        rollout=rollout,
        candidate=f"{release.feature}#{release.number}" if release else "",
        verdict=verdict,
    )
