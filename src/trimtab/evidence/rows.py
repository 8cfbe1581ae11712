"""Rows of evidence back into the events they were."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import IntegrityError
from trimtab.evidence.tables import KINDS, is_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.events import Event

__all__ = ["event_from_row"]


def event_from_row(kind: str, row: Mapping[str, Any]) -> Event:
    """Return the event in a row of a table; raises `IntegrityError` for one that holds none."""
    values: dict[str, Any] = {}
    for name, nests in _fields(kind).items():
        value = row.get("began_at" if name == "at_ms" else name)
        if isinstance(value, datetime):
            values[name] = round(value.timestamp() * 1000)
        elif nests:
            if value:
                values[name] = msgspec.json.decode(value)
        elif value is not None:
            values[name] = value
    try:
        return msgspec.convert(values, KINDS[kind])
    except msgspec.ValidationError as error:
        raise IntegrityError(
            "unreadable_row", f"a row of {kind} is no event: {error}", param=str(row.get("id"))
        ) from error


@cache
def _fields(kind: str) -> dict[str, bool]:
    """Return the names of a kind's fields, and whether each nests."""
    return {field.name: is_json(field) for field in msgspec.structs.fields(KINDS[kind])}
