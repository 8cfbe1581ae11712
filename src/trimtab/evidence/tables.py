"""Events as Arrow tables: one table for each kind, one column for each field.

The columns follow the event types, so a field that is added there is a column here, and files written before have none
of it. `at_ms` becomes `began_at`, a UTC timestamp; whatever nests (messages, variables, tool calls) is JSON text.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
from msgspec.structs import astuple

from trimtab.events import Exposure, Feedback, Generation, Score, Withdrawal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.events import Event

__all__ = ["KINDS", "SCHEMA_VERSION", "default_of", "empty_table", "is_json", "kind_of", "schema_of", "table_of"]

SCHEMA_VERSION = 1
"""Of the columns: within one version they are only ever added. In every file's metadata as `trimtab.schema`."""

KINDS: dict[str, type[Event]] = {
    "generations": Generation,
    "exposures": Exposure,
    "scores": Score,
    "feedback": Feedback,
    "withdrawals": Withdrawal,
}
"""Name of the table -> its events."""

_NAMES = {kind: name for name, kind in KINDS.items()}
_TIME = "at_ms"
_PLAIN: dict[type, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
}
_to_json = msgspec.json.Encoder().encode


def kind_of(event: Event) -> str:
    """Return the name of the table an event goes to."""
    return _NAMES[type(event)]


@cache
def schema_of(kind: str) -> pa.Schema:
    """Return the columns of a table."""
    return pa.schema(
        [_field(field) for field in msgspec.structs.fields(KINDS[kind])],
        metadata={"trimtab.schema": str(SCHEMA_VERSION), "trimtab.kind": kind},
    )


def default_of(kind: str, column: str) -> object:
    """Return what stands in a column for events that were recorded before it was there."""
    (field,) = (field for field in msgspec.structs.fields(KINDS[kind]) if field.name == column)
    return "" if is_json(field) else field.default


def table_of(kind: str, events: Sequence[Event]) -> pa.Table:
    """Return events of one kind as a table, in their order."""
    if not events:
        return empty_table(kind)
    columns = [
        pa.array([_to_json(value) if value else b"" for value in values] if nests else values, type=column)
        for (column, nests), values in zip(_layout(kind), zip(*map(astuple, events), strict=True), strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema_of(kind))


def empty_table(kind: str) -> pa.Table:
    """Return a table without rows."""
    return schema_of(kind).empty_table()


def _field(field: msgspec.structs.FieldInfo) -> pa.Field:
    name = "began_at" if field.name == _TIME else field.name
    return pa.field(name, _type(field), nullable=False)


def _type(field: msgspec.structs.FieldInfo) -> pa.DataType:
    if field.name == _TIME:
        return pa.timestamp("ms", tz="UTC")
    return _PLAIN.get(field.type, pa.string())


def is_json(field: msgspec.structs.FieldInfo) -> bool:
    """Return whether a field is kept as JSON text."""
    return isinstance(msgspec.inspect.type_info(field.type), msgspec.inspect.DictType | msgspec.inspect.ListType)


@cache
def _layout(kind: str) -> list[tuple[pa.DataType, bool]]:
    """Return the types of a kind's columns, and whether each nests."""
    return [(_type(field), is_json(field)) for field in msgspec.structs.fields(KINDS[kind])]
