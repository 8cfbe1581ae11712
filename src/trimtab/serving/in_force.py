"""What each request of an application reads of its data plane: in one place, and quick to read once compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trimtab.serving.decision import Decision
    from trimtab.serving.routing import RoutingTable

__all__ = ["InForce"]


class InForce:
    """What is in force in this process at the moment. Written by its data plane, each field whole."""

    __slots__ = ("ended", "met", "wall_ahead_ns")

    def __init__(self) -> None:
        self.met: dict[str, dict[str, Decision]] = {}
        """Decisions of which it is on record that a unit met them, by feature and unit; of no other snapshot."""
        self.wall_ahead_ns = 0
        """What the wall clock is ahead of the monotonic one, as of a tenth of a second ago: saves reading both."""
        self.ended = False
        """Whether the data plane was closed, or is the parent's of a forked child."""

    def follow(self, table: RoutingTable | None) -> None:
        """Take up what a routing table remembers."""
        self.met = {} if table is None else table.met
