"""What is left when all is over: is everything there that was acknowledged, once, and did everything end as it must?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from tests.chaos.shipping import EndedRollout

from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.evidence import open_compactor
from trimtab.bootstrap.evidence_reader import open_reader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.bootstrap.settings import Settings

__all__ = ["Kept", "Report", "audit_fault", "compact", "kept", "lost"]

_ALL = " UNION ALL ".join(f"SELECT id FROM {kind}" for kind in ("generations", "feedback", "scores", "exposures"))


class Kept(msgspec.Struct, frozen=True):
    """What evidence answers."""

    ids: set[str]
    duplicates: int


class Report(msgspec.Struct, kw_only=True):
    """What a run did and what came of it."""

    seed: int
    store: str
    apart: bool
    seconds: float
    kills: dict[str, int]
    faults: dict[str, int]
    answers: int
    """Acknowledged, as are `signals` and `recorded`."""
    signals: int
    recorded: int
    unanswered: int
    events: int
    """In evidence, acknowledged or not."""
    lost: list[str]
    duplicates: int
    rollouts: list[EndedRollout]
    pauses: dict[str, str]
    unfinished: bool
    audit_fault: str

    @property
    def problems(self) -> list[str]:
        """What must not be, in words."""
        found = [f"{len(self.lost)} acknowledged events are lost, {self.lost[0]} among them"] if self.lost else []
        found += [f"{self.duplicates} events are there more than once"] if self.duplicates else []
        found += [f"{one.feature} ended {one.state}: {one.reason}" for one in self.rollouts if not one.right]
        found += ["a rollout did not end"] if self.unfinished else []
        found += [f"the audit log is broken: {self.audit_fault}"] if self.audit_fault else []
        return found


def kept(settings: Settings) -> Kept:
    """Ask files and journals together, as `trimtab evidence` does."""
    reader = open_reader(settings)
    try:
        rows = reader.query(_ALL).column("id").to_pylist()
    finally:
        reader.close()
    return Kept(set(rows), len(rows) - len(set(rows)))


def compact(settings: Settings) -> int:
    """Move what is in journals into files; returns how many damaged frames were met."""
    damaged = 0
    with open_compactor(settings) as compactor:
        while True:
            done = compactor.run()
            damaged += done.damaged
            if not done.more:
                return damaged


def lost(acknowledged: Iterable[str], kept: Kept) -> list[str]:
    """Return what was acknowledged and is nowhere."""
    return [one for one in acknowledged if one not in kept.ids]


def audit_fault(settings: Settings) -> str:
    """Return what is wrong with the audit log, as `trimtab audit verify` finds it; empty where nothing is."""
    plane = open_control(settings)
    try:
        return plane.audit()[1]
    finally:
        plane.close()
