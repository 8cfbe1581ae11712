"""What a change of a JSON Schema means: types, required fields, enums, bounds, descriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.artifacts.change import Change, ChangeKind, same, show
from trimtab.artifacts.text_diff import diff_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["diff_schema"]

_LOWER_BOUNDS = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_UPPER_BOUNDS = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})
_TEXTS = frozenset({"description", "title"})
_STRUCTURE = frozenset({"properties", "required", "items"})
_BOUND = (int, float, type(None))
_MISSING = object()


def diff_schema(path: str, before: Any, after: Any, *, noun: str = "field") -> list[Change]:  # noqa: ANN401 - any JSON
    """Return what differs in meaning between two JSON Schemas; `noun` is what a property is called."""
    changes = list(_schema(path, before, after, noun))
    if not changes and not same(before, after):
        # Unusual spellings of a schema (a `properties` that is no object): still a difference.
        changes = [Change(kind="changed", path=path, before=before, after=after, summary="changed")]
    return changes


def _schema(path: str, before: Any, after: Any, noun: str) -> Iterator[Change]:  # noqa: ANN401 - any JSON
    if same(before, after):
        return
    if not (isinstance(before, dict) and isinstance(after, dict)):
        yield Change(kind="changed", path=path, before=before, after=after, summary=f"{show(before)} → {show(after)}")
        return
    yield from _properties(path, before, after, noun)
    if "items" in before or "items" in after:
        yield from _schema(f"{path}[]", before.get("items", {}), after.get("items", {}), noun)
    for key in sorted((before.keys() | after.keys()) - _STRUCTURE):
        old, new = before.get(key, _MISSING), after.get(key, _MISSING)
        if _MISSING in (old, new) or not same(old, new):
            yield from _keyword(path, key, old, new)
    yield from _required_only(path, before, after)


def _properties(path: str, before: dict[str, Any], after: dict[str, Any], noun: str) -> Iterator[Change]:
    old, new = _dict(before.get("properties")), _dict(after.get("properties"))
    must_old, must_new = _required(before), _required(after)
    for name in [*old, *(name for name in new if name not in old)]:
        place = f"{path}.{name}"
        if name not in new:
            yield Change(kind="removed", path=place, before=old[name], summary=f"{noun} `{name}` removed")
        elif name not in old:
            words = f"{_type(new[name])}, {'required' if name in must_new else 'optional'}"
            yield Change(kind="added", path=place, after=new[name], summary=f"{noun} `{name}` added ({words})")
        else:
            if (name in must_old) != (name in must_new):
                now = "required" if name in must_new else "optional"
                yield Change(
                    kind="changed",
                    path=place,
                    before=name in must_old,
                    after=name in must_new,
                    summary=f"{noun} `{name}` is now {now}",
                )
            yield from _schema(place, old[name], new[name], noun)


def _required_only(path: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    """`required` may list what `properties` does not describe, and its order means nothing."""
    shared = _dict(before.get("properties")).keys() & _dict(after.get("properties")).keys()
    described = _dict(before.get("properties")).keys() | _dict(after.get("properties")).keys()
    old, new = _required(before), _required(after)
    for name in sorted((old ^ new) - described):
        words = "is now required" if name in new else "is no longer required"
        yield Change(
            kind="changed", path=f"{path}.{name}", before=name in old, after=name in new, summary=f"`{name}` {words}"
        )
    lists = [
        [name for name in schema["required"] if isinstance(name, str) and name in shared] if _required(schema) else []
        for schema in (before, after)
    ]
    if lists[0] != lists[1] and sorted(lists[0]) == sorted(lists[1]):
        yield Change(
            kind="moved",
            path=f"{path}.required",
            before=lists[0],
            after=lists[1],
            summary="only the order of `required` changed",
            behaviour=False,
        )


def _keyword(path: str, key: str, old: Any, new: Any) -> Iterator[Change]:  # noqa: ANN401 - any JSON
    before, after = (None if value is _MISSING else value for value in (old, new))
    if key in _TEXTS and isinstance(before, str) and isinstance(after, str):
        yield from diff_text(f"{path}.{key}", before, after)
        return
    kind: ChangeKind = "added" if old is _MISSING else "removed" if new is _MISSING else "changed"
    place = path if key in {"type", "enum"} else f"{path}.{key}"
    yield Change(kind=kind, path=place, before=before, after=after, summary=_words(key, before, after))


def _words(key: str, before: Any, after: Any) -> str:  # noqa: ANN401 - any JSON
    if key == "type":
        return f"type {_type_name(before)} → {_type_name(after)}"
    if key == "enum":
        return _enum(before, after)
    if key in _LOWER_BOUNDS | _UPPER_BOUNDS and all(isinstance(value, _BOUND) for value in (before, after)):
        return f"{key} {show(before)} → {show(after)} ({_tightened(key, before, after)})"
    if key == "additionalProperties":
        return "unknown fields are now refused" if after is False else "unknown fields are now allowed"
    if before is None:
        return f"{key} added: {show(after)}"
    return f"{key} removed" if after is None else f"{key} {show(before)} → {show(after)}"


def _enum(before: Any, after: Any) -> str:  # noqa: ANN401 - any JSON
    old, new = (list(value) if isinstance(value, list) else None for value in (before, after))
    if old is None:
        return f"now one of {show(new)}"
    if new is None:
        return f"no longer limited to {show(old)}"
    gone = [value for value in old if value not in new]
    fresh = [value for value in new if value not in old]
    if gone and fresh:
        return f"enum changed: - {show(gone)}, + {show(fresh)}"
    if gone:
        return f"enum narrowed: - {show(gone)}"
    return f"enum widened: + {show(fresh)}" if fresh else "the order of the enum changed"


def _tightened(key: str, before: Any, after: Any) -> str:  # noqa: ANN401 - any JSON
    if before is None or after is None:
        return "tighter" if before is None else "looser"
    return "tighter" if (after > before) == (key in _LOWER_BOUNDS) else "looser"


def _type(schema: Any) -> str:  # noqa: ANN401 - any JSON
    if isinstance(schema, dict):
        return "enum" if "enum" in schema and "type" not in schema else _type_name(schema.get("type"))
    return "any"


def _type_name(name: Any) -> str:  # noqa: ANN401 - any JSON
    if isinstance(name, list):
        return " or ".join(str(item) for item in name)
    return "any" if name is None else str(name)


def _dict(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return value if isinstance(value, dict) else {}


def _required(schema: dict[str, Any]) -> set[str]:
    required = schema.get("required")
    return {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
