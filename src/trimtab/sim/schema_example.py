"""A value that satisfies a JSON Schema, near enough for tool arguments and structured answers."""

from __future__ import annotations

from typing import Any

__all__ = ["example"]

_MAX_DEPTH = 8


def example(schema: dict[str, Any], text: str, *, order: str = "", name: str = "", depth: int = 0) -> Any:  # noqa: ANN401
    """Return a value of the schema's type: `text` for strings, `order` for those that are named after an order."""
    if "const" in schema or schema.get("enum"):
        return schema.get("const", (schema.get("enum") or [None])[0])
    match _kind(schema, depth):
        case "object":
            properties = schema.get("properties") or ({"answer": {"type": "string"}} if depth == 0 else {})
            return {
                key: example(value, text, order=order, name=key, depth=depth + 1)
                for key, value in (properties if depth < _MAX_DEPTH else {}).items()
            }
        case "array":
            count = int(schema.get("minItems", 1))
            return [example(schema.get("items") or {}, text, order=order, name=name, depth=depth + 1)] * count
        case "string":
            return order if order and "order" in name else text
        case kind:
            return {"boolean": True, "null": None}.get(kind, schema.get("minimum", 1))


def _kind(schema: dict[str, Any], depth: int) -> str:
    kind = schema.get("type", "object" if "properties" in schema or depth == 0 else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    return str(kind)
