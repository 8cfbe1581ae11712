"""That a unit met a release: told once, as far as memory reaches."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from trimtab.core.ids import new_id
from trimtab.events import Exposure

if TYPE_CHECKING:
    from trimtab.serving.routing import Decision

__all__ = ["Exposures", "exposure_of"]

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


def exposure_of(decision: Decision, at_ms: int, process: str) -> Exposure:
    """Return the event of a unit that met a decision."""
    return Exposure(
        id=new_id("exp", at_ms),
        at_ms=at_ms,
        feature=decision.feature,
        environment=decision.environment,
        process=process,
        release=decision.release.digest,
        release_number=decision.release.number,
        arm=decision.arm,
        unit=decision.unit,
        rollout=decision.rollout,
        stage=decision.stage,
    )
