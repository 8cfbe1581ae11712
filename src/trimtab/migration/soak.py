"""What recorded calls say after a cutover: whether the new model fails more often, and who calls the old one. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from trimtab.core.quantity import quantity
from trimtab.stats.beta import clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.migration.traffic import TrafficRow

__all__ = ["CallCount", "Caller", "RetireProof", "SoakReport", "retirement", "soak"]

_MARGIN = 0.02
"""By how much more often the new release may fail."""
_TOLD = 5


class CallCount(msgspec.Struct, frozen=True, kw_only=True):
    """Calls, and how many failed."""

    calls: int
    errors: int

    @property
    def share(self) -> float:
        """Of calls that failed; 0 where there were none."""
        return self.errors / self.calls if self.calls else 0.0


class SoakReport(msgspec.Struct, frozen=True, kw_only=True):
    """The artefact of state `cutover`."""

    rollout: str
    promoted_ms: int
    until_ms: int
    old: CallCount
    """Of the old release, in the time before."""
    new: CallCount
    """Of the new one, since."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who still calls the old model."""

    feature: str
    release_number: int
    arm: str
    team: str
    process: str
    calls: int
    last_ms: int

    @property
    def text(self) -> str:
        """In words."""
        who = f"team {self.team}" if self.team else "no key"
        at = datetime.fromtimestamp(self.last_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        which = f"{self.feature}#{self.release_number} ({self.arm}; {who}, process {self.process})"
        return f"{quantity(self.calls, 'call')} by {which}, the last at {at}"


class RetireProof(msgspec.Struct, frozen=True, kw_only=True):
    """The artefact of state `retire`."""

    model: str
    since_ms: int
    until_ms: int
    callers: list[Caller]
    """Empty: nobody called it."""
    others: int
    """Calls of the new model that were recorded in the same time: evidence was being kept."""


def soak(
    rows: Sequence[TrafficRow], *, old: str, new: str, rollout: str, promoted_ms: int, until_ms: int
) -> tuple[SoakReport, str]:
    """Return how both releases (digests) fared, and why the new one may not stay; empty where it may.

    It may not where more calls fail than the old release's share and a margin of 2 points allow, for sure: the exact
    lower 95 % end of its share (Clopper and Pearson) lies above.
    """
    before, after = _count(rows, old), _count(rows, new)
    report = SoakReport(rollout=rollout, promoted_ms=promoted_ms, until_ms=until_ms, old=before, new=after)
    if after.calls and clopper_pearson(after.errors, after.calls).low > before.share + _MARGIN:
        return report, (
            f"{after.errors:,} of {quantity(after.calls, 'call')} of the new release failed ({after.share:.1%}); "
            f"of the old one it was {before.share:.1%}"
        )
    return report, ""


def retirement(
    rows: Sequence[TrafficRow], *, model: str, since_ms: int, now_ms: int, others: int
) -> tuple[RetireProof, Literal["passed", "blocked", "waiting"], list[str]]:
    """Return the proof that nobody called a model, or who did, with the gate's answer and its reasons."""
    callers = [
        Caller(
            feature=row.feature,
            release_number=row.release_number,
            arm=row.arm,
            team=row.team,
            process=row.process,
            calls=row.calls,
            last_ms=row.last_ms,
        )
        for row in sorted(rows, key=lambda row: -row.last_ms)
    ]
    proof = RetireProof(model=model, since_ms=since_ms, until_ms=now_ms, callers=callers, others=others)
    if callers:
        return proof, "waiting", [f"{model} is still called: {caller.text}" for caller in callers[:_TOLD]]
    if not others:
        return proof, "blocked", ["no call to the new model was recorded in that time either: is evidence being kept?"]
    return proof, "passed", [f"no call to {model} was recorded, beside {others:,} to the new model"]


def _count(rows: Sequence[TrafficRow], release: str) -> CallCount:
    found = [row for row in rows if row.release == release and row.arm != "shadow"]
    return CallCount(calls=sum(row.calls for row in found), errors=sum(row.errors for row in found))
