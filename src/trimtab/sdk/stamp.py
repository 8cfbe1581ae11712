"""What every answer says about itself."""

from __future__ import annotations

import msgspec

from trimtab.events.model import Arm

__all__ = ["Served"]


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
