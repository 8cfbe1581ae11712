"""The two sides of a comparison."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Arms", "Side"]

Side = Literal["control", "candidate"]


class Arms(msgspec.Struct, kw_only=True):
    """A count per side."""

    control: int = 0
    candidate: int = 0

    def add(self, side: Side) -> None:
        """Count one."""
        if side == "control":
            self.control += 1
        else:
            self.candidate += 1
