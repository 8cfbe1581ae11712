"""Items from JSON Lines and CSV files."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import SourceError
from trimtab.evals.datasets.item import Item, item_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["RESERVED", "read_csv", "read_json", "read_jsonl"]

RESERVED = frozenset(
    {
        "id",
        "input",
        "messages",
        "variables",
        "expected",
        "reference",
        "group",
        "slices",
        "at",
        "at_ms",
        "source",
        "checks",
    }
)
"""Fields with a meaning of their own; of records without `variables`, all others are variables."""
_SLICE = "slice:"
_MOMENT = "`at` is a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970"
_LARGEST_FIELD = 8 * 1024 * 1024


def read_jsonl(text: str, path: str, *, rename: Mapping[str, str] | None = None) -> list[Item]:
    """Return the items of a JSON Lines file, one object a line; raises `SourceError` with the line.

    `rename` gives fields the names used here (`{"question": "input"}`).
    """
    items = []
    for line, record in _lines(text):
        try:
            value = msgspec.json.decode(record)
        except msgspec.DecodeError as error:
            raise SourceError("malformed_item", f"this is not JSON: {error}", path=path, line=line) from error
        if not isinstance(value, dict):
            raise SourceError("malformed_item", "an item is a JSON object", path=path, line=line)
        items.append(_item(_renamed(value, rename), path, line))
    return items


def read_json(text: str, path: str, *, rename: Mapping[str, str] | None = None) -> list[Item]:
    """Return the items of a JSON file that is one list of objects; raises `SourceError`."""
    try:
        records = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise SourceError("malformed_item", f"this is not JSON: {error}", path=path) from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise SourceError("malformed_item", "a JSON file of items is one list of objects", path=path)
    return [_item(_renamed(record, rename), path, number) for number, record in enumerate(records, start=1)]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def read_csv(text: str, path: str, *, rename: Mapping[str, str] | None = None) -> list[Item]:
    """Return the items of a CSV file with a header line; raises `SourceError` with the line.

    Columns `slice:NAME` are slices; empty cells of reserved columns say nothing.
    """
    csv.field_size_limit(_LARGEST_FIELD)
    reader = csv.DictReader(io.StringIO(text), strict=True)
    items = []
    try:
        for row in reader:
            if None in row or None in row.values():
                message = f"this row has not as many cells as the header's {len(reader.fieldnames or ())}"
                raise SourceError("malformed_item", message, path=path, line=reader.line_num)
            items.append(_item(_from_row(_renamed(row, rename)), path, reader.line_num))
    except csv.Error as error:
        raise SourceError("malformed_item", f"this is not CSV: {error}", path=path, line=reader.line_num) from error
    return items


def _from_row(row: Mapping[str, str]) -> dict[str, Any]:
    record: dict[str, Any] = {
        name: cell for name, cell in row.items() if not name.startswith(_SLICE) and (cell or name not in RESERVED)
    }
    slices = {name.removeprefix(_SLICE): cell for name, cell in row.items() if name.startswith(_SLICE) and cell}
    return record | ({"slices": slices} if slices else {})


def _renamed(record: Mapping[str, Any], rename: Mapping[str, str] | None) -> dict[str, Any]:
    return {(rename or {}).get(name, name): value for name, value in record.items()}


def _item(record: dict[str, Any], path: str, line: int) -> Item:
    given = {name: value for name, value in record.items() if name in RESERVED and value is not None}
    others = {name: value for name, value in record.items() if name not in RESERVED}
    if "variables" in given and others:
        name = min(others)
        hint = "with `variables`, everything else has a name of its own: " + ", ".join(sorted(RESERVED))
        raise SourceError("unknown_field", f"`{name}` is not a known field", path=path, line=line, hint=hint)
    try:
        return _made(given, others, f"{path}:{line}")
    except (msgspec.ValidationError, ValueError) as error:
        raise SourceError("malformed_item", f"this item is wrong: {error}", path=path, line=line) from error


def _made(given: dict[str, Any], variables: dict[str, Any], source: str) -> Item:
    fields = dict(given)
    question = fields.pop("input", None)
    if question is not None:
        fields["messages"] = [*fields.get("messages", []), {"role": "user", "content": question}]
    at = fields.pop("at", None)
    if at is not None:
        fields["at_ms"] = _moment(at)
    fields.setdefault("variables", variables)
    fields.setdefault("source", source)
    if not fields["variables"] and not fields.get("messages"):
        raise ValueError("it asks nothing: it needs `input`, `messages` or variables")
    key = item_key(fields["variables"], fields.get("messages", []))
    return msgspec.convert({"id": key, **fields}, Item)


def _moment(at: object) -> int:
    """Return milliseconds since the Unix epoch; a time without a zone is UTC."""
    if isinstance(at, int) and not isinstance(at, bool):
        return at
    if not isinstance(at, str):
        raise ValueError(_MOMENT)  # noqa: TRY004 - of the file, not of this code
    moment = datetime.fromisoformat(at)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
