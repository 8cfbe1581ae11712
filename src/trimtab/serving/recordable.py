"""What is written of an event whose content cannot be kept: everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.events import encode_event

if TYPE_CHECKING:
    from trimtab.events import Event

__all__ = ["UNENCODABLE", "encode_bare"]

UNENCODABLE = (TypeError, ValueError, OverflowError, RecursionError)
"""What callers' values raise: an object, a lone surrogate, a number of 100 digits, a list that holds itself."""
_CONTENT = ("variables", "messages", "output", "tool_calls", "comment")
_encode_value = msgspec.msgpack.Encoder().encode


def encode_bare(event: Event, *, limit_bytes: int) -> bytes | None:
    """Return the bytes of an event that cannot be written as it is, because of its content or its length.

    Which release answered, how fast and at what cost is evidence whatever was said, so only those parts go that have
    no encoding; all content goes where the event would be longer than `limit_bytes`. `None` where even that fails.
    """
    try:
        sound = {name: _sound(getattr(event, name)) for name in event.__struct_fields__}
        data = encode_event(msgspec.structs.replace(event, **sound))
        if len(data) > limit_bytes:
            sound |= {name: type(sound[name])() for name in _CONTENT if name in sound}
            data = encode_event(msgspec.structs.replace(event, **sound))
    except UNENCODABLE:
        return None
    return data if len(data) <= limit_bytes else None


def _sound(value: Any) -> Any:  # noqa: ANN401 - any field of an event
    """Return a field as it is if it can be written, else with what is wrong replaced or left out."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if not isinstance(value, dict | list):
        return value
    try:
        _encode_value(value)
    except UNENCODABLE:
        return type(value)()
    return value
