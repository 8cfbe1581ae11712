"""What is written of an event whose content cannot be kept: everything else."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, get_origin

import msgspec

from trimtab.events import decode_event, encode_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.events import Event

__all__ = ["UNENCODABLE", "encode_bare", "reads_back", "without_content"]

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


def without_content(event: Event, reason: str) -> Event:
    """Return an event without what people wrote, saying why (`content_dropped`); the same event where it has none."""
    emptied = {name: empty() for name, empty in _content_of(type(event)) if not _is_empty(getattr(event, name))}
    return msgspec.structs.replace(event, **emptied, content_dropped=reason) if emptied else event


def encode_bare(event: Event, *, limit_bytes: int) -> bytes | None:
    """Return the bytes of an event that cannot be written as it is, because of its content or its length.

    Which release answered, how fast and at what cost is evidence whatever was said, so only those parts go that have
    no encoding or are of a wrong type; all content goes where the event would be longer than `limit_bytes`. `None`
    where even that fails: where it has no id, say.
    """
    try:
        fields = _fields(type(event))
        found = {name: _sound(getattr(event, name), field) for name, field in fields.items()}
        sound = {name: value for name, (value, _) in found.items()}
        if not all(kept for name, (_, kept) in found.items() if name in _CONTENT):
            sound["content_dropped"] = "unencodable"
        bare = msgspec.structs.replace(event, **sound)
        data = encode_event(bare)
        if len(data) > limit_bytes:
            data = encode_event(without_content(bare, "too_long"))
    except UNENCODABLE:
        return None
    return data if len(data) <= limit_bytes else None


@functools.cache
def _content_of(kind: type[Event]) -> list[tuple[str, Callable[[], Any]]]:
    """Return the fields of a kind of event that hold content, and what makes an empty one."""
    return [
        (field.name, get_origin(field.type) or field.type) for name, field in _fields(kind).items() if name in _CONTENT
    ]


def _is_empty(value: Any) -> bool:  # noqa: ANN401 - any object, whose own truth may raise
    return isinstance(value, str | list | tuple | dict) and not value


@functools.cache
def _fields(kind: type[Event]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(kind)}


def _sound(value: Any, field: msgspec.structs.FieldInfo) -> tuple[Any, bool]:  # noqa: ANN401 - any field of an event
    """Return a field as it is if it can be written and read, else its default; and whether it was kept.

    Raises one of `UNENCODABLE` for what every event must have: without its id or time it is no evidence of anything.
    """
    if isinstance(value, str):
        value = value.encode(errors="replace").decode()
    try:
        return msgspec.msgpack.decode(_encode_value(value), type=field.type), True
    except (*UNENCODABLE, msgspec.DecodeError) as error:
        if field.default is not msgspec.NODEFAULT:
            return field.default, False
        if field.default_factory is not msgspec.NODEFAULT:
            return field.default_factory(), False
        raise ValueError(field.name) from error
