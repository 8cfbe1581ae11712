"""That a unit met a release: told once, as far as memory reaches."""

from __future__ import annotations

import threading

import msgspec

from trimtab.core.ids import new_id
from trimtab.events import Exposure
from trimtab.serving.decision import Decision

__all__ = ["Exposures", "Met"]

_REMEMBERED = 10_000


class Exposures:
    """Which units met what: by rollout, step, release and unit. Thread-safe."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str, int, str], None] = {}
        self._lock = threading.Lock()

    def is_new(self, decision: Decision) -> bool:
        """Return whether this is still to be told, and remember that it is. Without a unit it always is."""
        if not decision.unit:
            return True
        key = (decision.rollout, decision.release.digest, decision.stage, decision.unit)
        told = self._told
        if key in told:
            return False
        with self._lock:
            told[key] = None
            if len(told) > _REMEMBERED:
                del told[next(iter(told))]
        return True


class Met(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A unit that met a decision, as it waits for its event to be made."""

    decision: Decision
    at_ms: int
    process: str

    def event(self) -> Exposure:
        """Return the exposure."""
        decision = self.decision
        return Exposure(
            id=new_id("exp", self.at_ms),
            at_ms=self.at_ms,
            feature=decision.feature,
            environment=decision.environment,
            process=self.process,
            release=decision.release.digest,
            release_number=decision.release.number,
            arm=decision.arm,
            unit=decision.unit,
            rollout=decision.rollout,
            stage=decision.stage,
        )
