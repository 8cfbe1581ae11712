"""What one request meets, and what it has in common with others."""

from __future__ import annotations

import msgspec

from trimtab.events import Arm
from trimtab.serving.release import PreparedRelease
from trimtab.serving.snapshot import Price, Route

__all__ = ["Decision", "Served"]


class Served(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What all units of one arm meet: compared by identity, and never the same in two snapshots."""

    release: PreparedRelease
    price: Price | None = None
    mirror: PreparedRelease | None = None
    mirror_price: Price | None = None
    route: Route | None = None
    """By whose rules it is mirrored; `None` where it is not."""


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What one request meets."""

    feature: str
    environment: str
    release: PreparedRelease
    arm: Arm = "stable"
    unit: str = ""
    rollout: str = ""
    """Id of the rollout attempt in force; empty where none runs."""
    stage: int = -1
    mirror: PreparedRelease | None = None
    """The candidate to send a copy of the request to, after the user was answered."""
    capture_content: bool = True
    revision: int = 0
    """Revision of the snapshot that decided."""
    price: Price | None = None
    mirror_price: Price | None = None
    served: Served | None = None
    """What this has in common with others of its arm; `None` where no snapshot decided."""
