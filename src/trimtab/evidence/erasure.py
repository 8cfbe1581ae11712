"""What must be forgotten: which events are one user's."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.events import Event

__all__ = ["Erasure", "erased", "unit_key"]


class Erasure(msgspec.Struct, frozen=True):
    """A user who asked to be forgotten; what they did later is theirs to ask for again."""

    key: str
    """`unit_key` of the user: the log of what was erased must not itself name anybody."""
    before_ms: int


def unit_key(unit: str) -> str:
    """Return what stands for a user in the log."""
    return hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def erased(events: Sequence[Event], erasures: Sequence[Erasure]) -> list[Event]:
    """Return the events without those of erased users, and without what was said about their generations."""
    if not erasures:
        return list(events)
    before = {erasure.key: erasure.before_ms for erasure in erasures}

    def is_theirs(event: Event) -> bool:
        unit = getattr(event, "unit", "")
        return bool(unit) and event.at_ms < before.get(unit_key(unit), 0)

    theirs = {event.id for event in events if is_theirs(event)}
    return [event for event in events if event.id not in theirs and getattr(event, "generation", "") not in theirs]
