"""What must be forgotten: which events are one user's."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.events import Event

__all__ = ["Erasure", "Forgetter", "unit_key"]


class Erasure(msgspec.Struct, frozen=True):
    """A user who asked to be forgotten; what they did later is theirs to ask for again."""

    key: str
    """`unit_key` of the user: the log of what was erased must not itself name anybody."""
    before_ms: int


def unit_key(unit: str) -> str:
    """Return what stands for a user in the log."""
    return hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Forgetter:
    """Leaves out what is erased users', and what is said about their generations later than it met those."""

    def __init__(self) -> None:
        self._theirs: set[str] = set()

    def left(self, events: Sequence[Event], erasures: Sequence[Erasure]) -> Sequence[Event]:
        """Return the events without those of erased users, and without what was said about their generations."""
        if not erasures:
            return events
        before = {erasure.key: erasure.before_ms for erasure in erasures}

        def is_theirs(event: Event) -> bool:
            unit = getattr(event, "unit", "")
            return bool(unit) and event.at_ms < before.get(unit_key(unit), 0)

        theirs = {event.id for event in events if is_theirs(event)}
        self._theirs |= theirs
        return [
            event for event in events if event.id not in theirs and getattr(event, "generation", "") not in self._theirs
        ]
