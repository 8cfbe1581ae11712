"""Dotprompt's compact schemas, as JSON Schema (google.github.io/dotprompt/reference/picoschema)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from trimtab.artifacts.importers.draft import unconvertible
from trimtab.artifacts.schema_source import read_json_schema

if TYPE_CHECKING:
    from trimtab.artifacts.document import Node

__all__ = ["read_picoschema"]

_SCALARS = frozenset({"string", "number", "integer", "boolean", "null", "any"})
_JSON_TYPES = frozenset({"string", "number", "integer", "boolean", "null", "object", "array"})
_KEY = re.compile(r"(?P<name>[^(?]+)(?P<optional>\?)?(?:\((?P<kind>[a-z]+|\*)(?:,\s*(?P<description>.*))?\))?")
_WILDCARD = "(*)"


def read_picoschema(node: Node) -> dict[str, Any]:
    """Return the JSON Schema of a Picoschema (or of a JSON Schema, which may stand in its place).

    Raises `SourceError`: `unconvertible` for a named schema of an application, `invalid_schema`, `wrong_type`.
    """
    if isinstance(node.value, dict):
        kind = node.value.get("type")
        if "$schema" in node.value or (kind is not None and kind.value in _JSON_TYPES and "properties" in node.value):
            return read_json_schema(node)
        return _object(node)
    return _scalar(node)


def _scalar(node: Node) -> dict[str, Any]:
    kind, _, description = (part.strip() for part in node.text().partition(","))
    if kind not in _SCALARS:
        raise unconvertible(node, f"the named schema `{kind}`", "write the schema out where it is used")
    schema: dict[str, Any] = {} if kind == "any" else {"type": kind}
    return schema | ({"description": description} if description else {})


def _object(node: Node) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    extra: Any = False
    for key, value in node.mapping().items():
        if key == _WILDCARD:
            extra = _scalar(value) or True
            continue
        match = _KEY.fullmatch(key)
        if match is None:
            raise unconvertible(value, f"the Picoschema key `{key}`")
        schema = _property(value, match["kind"])
        if match["description"]:
            schema["description"] = match["description"].strip()
        name = match["name"].strip()
        properties[name] = schema
        if not match["optional"]:
            required.append(name)
    schema = {"type": "object", "properties": properties}
    return schema | ({"required": required} if required else {}) | {"additionalProperties": extra}


def _property(node: Node, kind: str | None) -> dict[str, Any]:
    match kind:
        case None:
            return _object(node) if isinstance(node.value, dict) else _scalar(node)
        case "array":
            return {"type": "array", "items": read_picoschema(node)}
        case "object":
            return _object(node)
        case "enum":
            return {"enum": [item.plain() for item in node.items()]}
        case _:
            raise unconvertible(node, f"the Picoschema type `({kind})`")
