"""What is written of an event whose content cannot be kept: everything else."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.events import decode_event, encode_event

if TYPE_CHECKING:
    from trimtab.events import Event

__all__ = ["UNENCODABLE", "encode_bare", "reads_back"]

UNENCODABLE = (TypeError, ValueError, OverflowError, RecursionError)
"""What callers' values raise: an object, a lone surrogate, a number of 100 digits, a list that holds itself."""
_CONTENT = ("variables", "messages", "output", "tool_calls", "comment")
_encode_value = msgspec.msgpack.Encoder().encode


def reads_back(data: bytes) -> bool:
    """Return whether the bytes of an event can be read: those of one with a field of another type cannot."""
    try:
        decode_event(data)
    except msgspec.DecodeError:
        return False
    return True


def encode_bare(event: Event, *, limit_bytes: int) -> bytes | None:
    """Return the bytes of an event that cannot be written as it is, because of its content or its length.

    Which release answered, how fast and at what cost is evidence whatever was said, so only those parts go that have
    no encoding or are of a wrong type; all content goes where the event would be longer than `limit_bytes`. `None`
    where even that fails: where it has no id, say.
    """
    try:
        fields = _fields(type(event))
        sound = {name: _sound(getattr(event, name), field) for name, field in fields.items()}
        data = encode_event(msgspec.structs.replace(event, **sound))
        if len(data) > limit_bytes:
            sound |= {name: type(sound[name])() for name in _CONTENT if name in sound}
            data = encode_event(msgspec.structs.replace(event, **sound))
    except UNENCODABLE:
        return None
    return data if len(data) <= limit_bytes else None


@functools.cache
def _fields(kind: type[Event]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(kind)}


def _sound(value: Any, field: msgspec.structs.FieldInfo) -> Any:  # noqa: ANN401 - any field of an event
    """Return a field as it is if it can be written and read, else with what is wrong replaced or left out.

    Raises one of `UNENCODABLE` for what every event must have: without its id or time it is no evidence of anything.
    """
    if isinstance(value, str):
        value = value.encode(errors="replace").decode()
    try:
        return msgspec.msgpack.decode(_encode_value(value), type=field.type)
    except (*UNENCODABLE, msgspec.DecodeError) as error:
        if field.default is not msgspec.NODEFAULT:
            return field.default
        if field.default_factory is not msgspec.NODEFAULT:
            return field.default_factory()
        raise ValueError(field.name) from error
