"""What every answer says about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.events.model import Arm

if TYPE_CHECKING:
    from trimtab.serving.decision import Decision
    from trimtab.serving.release import PreparedRelease

__all__ = ["Served", "served_by"]


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Which release served a call; `.trimtab` of every response and stream of a wrapped client."""

    generation: str
    """Id of the generation: what `trimtab trace` and `Trimtab.feedback` take."""
    feature: str
    environment: str
    release: str
    """The friendly label, `support-reply#42`."""
    digest: str
    number: int
    arm: Arm
    unit: str = ""
    rollout: str = ""


def served_by(decision: Decision, release: PreparedRelease, generation: str, arm: Arm) -> Served:
    """Return the stamp of a call that `release` answered."""
    return Served(
        generation=generation,
        feature=decision.feature,
        environment=decision.environment,
        release=release.label,
        digest=release.digest,
        number=release.number,
        arm=arm,
        unit=decision.unit,
        rollout=decision.rollout,
    )
