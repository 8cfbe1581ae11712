"""Recorded outputs, one JSON object a line, to pairs: rows as people write them, and generations as exported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab.behaviour.model import Output, Pair
from trimtab.core.canonical import canonical_digest
from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Match", "Recorded", "Row", "paired", "read_rows"]

Match = Literal["item", "prompt"]
"""By which rows of two files are about the same item."""
_NAMES = {"output": "text", "correct": "score"}
"""Other names under which people write fields of an output."""

_ANSWERS = ("text", "output", "tool_calls")
"""One of these has to be there: a misspelt one would make every answer an empty one."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line: an output and what it answers."""

    item: str
    output: Output
    slices: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Recorded:
    """Pairs of two files, and what was left over."""

    pairs: list[Pair]
    old_alone: int
    """Items of the old file that the new one lacks."""
    new_alone: int
    repeated: int
    """Further rows of an item that had one in its file."""


def read_rows(lines: Iterable[bytes], path: str, *, match: Match = "item") -> list[Row]:
    """Return the rows of a file of JSON lines; blank lines are skipped, fields that say nothing of an output ignored.

    A row's item is `item`, else `mirrors` (of a shadow generation: the one it mirrors), else `id`; with
    `match="prompt"` it is what was asked, `messages` or `prompt`. Its text is `text` or `output`, its score `score` or
    `correct`, its slices `slices` or `attributes`. Raises `SourceError` that names the line; a row
    without `text`, `output` and `tool_calls` is wrong too.
    """
    return [_row(line, path, number, match) for number, line in enumerate(lines, start=1) if line.strip()]


def paired(old: Sequence[Row], new: Sequence[Row], again: Sequence[Row] | None = None) -> Recorded:
    """Return the pairs of the items that both files have, in the old one's order; of an item its first row counts.

    Where the old one was asked again (`again`), only items that it answered again count.
    """
    before, after = _first(old), _first(new)
    repeat = None if again is None else _first(again)
    pairs = [
        Pair(
            item=item,
            old=row.output,
            new=after[item].output,
            again=None if repeat is None else repeat[item].output,
            slices=row.slices or after[item].slices,
        )
        for item, row in before.items()
        if item in after and (repeat is None or item in repeat)
    ]
    return Recorded(
        pairs=pairs,
        old_alone=len(before) - len(pairs),
        new_alone=len(after) - len(pairs),
        repeated=len(old) - len(before) + len(new) - len(after),
    )


def _first(rows: Sequence[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(row.item, row)
    return found


def _row(line: bytes, path: str, number: int, match: Match) -> Row:
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceError("invalid_row", f"this is no JSON: {error}", path=path, line=number) from error
    if not isinstance(fields, dict):
        raise SourceError("invalid_row", "a line must hold a JSON object", path=path, line=number)
    item = _item(fields, match)
    if item is None:
        wanted = "`messages` or `prompt`" if match == "prompt" else "`item` or `id`"
        raise SourceError(
            "no_item", f"nothing says which item this answers: {wanted} is missing", path=path, line=number
        )
    if not any(name in fields for name in _ANSWERS):
        hint = f'name it {" or ".join(f"`{name}`" for name in _ANSWERS)}; an empty answer is ""'
        raise SourceError("no_output", "this row has no answer", path=path, line=number, hint=hint)
    try:
        output = msgspec.convert(_output(fields), Output)
        slices = msgspec.convert(fields.get("slices") or fields.get("attributes") or {}, dict[str, str], strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise SourceError("invalid_row", str(error), path=path, line=number) from error
    return Row(item=item, output=output, slices=slices)


def _item(fields: Mapping[str, Any], match: Match) -> str | None:
    if match == "prompt":
        asked = fields.get("messages") or fields.get("prompt")
        return canonical_digest(asked) if asked else None
    named = [fields[name] for name in ("item", "mirrors", "id") if isinstance(fields.get(name), str | int)]
    return next((str(one) for one in named if one != ""), None)


def _output(fields: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: fields[name] for name in Output.__struct_fields__ if fields.get(name) is not None}
    known |= {ours: fields[name] for name, ours in _NAMES.items() if ours not in known and fields.get(name) is not None}
    if isinstance(known.get("tool_calls"), str):
        known["tool_calls"] = json.loads(known["tool_calls"])
    if isinstance(known.get("score"), bool):
        known["score"] = float(known["score"])
    return known
