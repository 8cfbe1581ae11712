"""Putting an event into the journal without ever raising into the caller's request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.events import Generation

if TYPE_CHECKING:
    from trimtab.events import Event
    from trimtab.serving.runtime import DataPlane

__all__ = ["record_event"]


def record_event(plane: DataPlane, event: Event) -> bool:
    """Record an event; return whether it was taken.

    A generation whose content has no encoding (a variable that is no JSON value, a lone surrogate) is recorded
    without content: which release answered matters more than what it said.
    """
    try:
        return plane.record(event)
    except (TypeError, ValueError, OverflowError):
        if not isinstance(event, Generation):
            raise
    bare = msgspec.structs.replace(
        event, variables={}, messages=[], output="", tool_calls=[], unit=event.unit.encode(errors="replace").decode()
    )
    return plane.record(bare)
