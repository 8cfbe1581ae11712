"""Reads JSON Schemas: of the response, of tools, of variables; each is checked to be one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs

from trimtab.artifacts.model import SchemaContent, ToolDefinition, ToolsContent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.artifacts.document import Node

__all__ = ["read_json_schema", "read_response_schema", "read_tools", "read_variables"]

_SIMPLE_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_ANY = "any"


def read_json_schema(node: Node) -> dict[str, Any]:
    """Return a JSON Schema; raises `SourceError` (`invalid_schema`, `wrong_type`) at the line that is wrong."""
    node.mapping()
    schema: dict[str, Any] = node.plain()
    try:
        jsonschema_rs.meta.validate(schema)
    except jsonschema_rs.ValidationError as error:
        place = _descend(node, error.instance_path)
        raise place.error("invalid_schema", f"{place.name} is not valid JSON Schema: {error.message}") from None
    except ValueError as error:  # an unknown `$schema`
        raise node.error("invalid_schema", f"this JSON Schema cannot be used: {error}") from None
    return schema


def _descend(node: Node, steps: Iterable[str | int]) -> Node:
    for step in steps:
        if isinstance(node.value, dict) and step in node.value:
            node = node.value[str(step)]
        elif isinstance(node.value, list) and isinstance(step, int):
            node = node.value[step]
    return node


def read_response_schema(node: Node, *, name: str, strict: bool) -> SchemaContent:
    """Return the response format: `{name, schema, strict}` as OpenAI writes it, or a bare JSON Schema.

    `name` and `strict` stand in where the document leaves them out. Raises as `read_json_schema`, and `unknown_field`.
    """
    mapping = node.mapping()
    if "schema" not in mapping:
        return SchemaContent(name=name, schema=read_json_schema(node), strict=strict)
    fields = node.fields(["name", "schema", "strict"], required=["schema"])
    return SchemaContent(
        name=fields["name"].text() if "name" in fields else name,
        schema=read_json_schema(fields["schema"]),
        strict=fields["strict"].boolean() if "strict" in fields else strict,
    )


def read_tools(node: Node) -> ToolsContent:
    """Return tools: a list, or `{tools: [...]}`, of `{name, ...}` or OpenAI's `{type: function, function: {...}}`.

    Raises `SourceError`: `unknown_field`, `missing_field`, `duplicate_tool`, `invalid_schema`, `wrong_type`.
    """
    if isinstance(node.value, dict):
        node = node.fields(["tools"], required=["tools"])["tools"]
    tools: dict[str, ToolDefinition] = {}
    for item in node.items():
        tool = _tool(item)
        if tool.name in tools:
            raise item.error("duplicate_tool", f"the tool `{tool.name}` is defined twice")
        tools[tool.name] = tool
    return ToolsContent(tools=list(tools.values()))


def _tool(node: Node) -> ToolDefinition:
    if "function" in node.mapping():
        wrapper = node.fields(["type", "function"], required=["function"])
        node = wrapper["function"]
    fields = node.fields(["name", "description", "parameters", "strict", "type"], required=["name"])
    if "type" in fields and fields["type"].value != "function":
        raise fields["type"].error(
            "unsupported_tool",
            f"a tool of type `{fields['type'].value}` cannot be carried: only functions can",
            hint="hosted tools run at one provider; give the model a function instead",
        )
    return ToolDefinition(
        name=fields["name"].text(),
        description=fields["description"].text() if "description" in fields else "",
        parameters=read_json_schema(fields["parameters"]) if "parameters" in fields else {},
        strict=fields["strict"].boolean() if "strict" in fields else False,
    )


def read_variables(node: Node) -> dict[str, Any]:
    """Return the JSON Schema of an object from `{name: type, optional?: JSON Schema}`, or from a whole schema.

    Types are those of JSON Schema, `any`, and `string[]` for lists. Raises `SourceError`: `unknown_type`,
    `invalid_schema`, `duplicate_key`, `wrong_type`.
    """
    mapping = node.mapping()
    if isinstance(mapping.get("properties"), type(node)) and isinstance(mapping["properties"].value, dict):
        kind = mapping.get("type")
        if kind is not None and kind.value == "object":
            return read_json_schema(node)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for key, value in mapping.items():
        name = key.removesuffix("?")
        if name in properties:
            raise value.error("duplicate_key", f"the variable `{name}` is declared twice")
        properties[name] = _variable(value)
        if name == key:
            required.append(name)
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = sorted(required)
    return schema | {"additionalProperties": False}


def _variable(node: Node) -> dict[str, Any]:
    if isinstance(node.value, dict):
        return read_json_schema(node)
    if node.value is None:
        return {}
    text = node.text()
    item = text.removesuffix("[]")
    if item not in _SIMPLE_TYPES and item != _ANY:
        known = ", ".join(sorted({*_SIMPLE_TYPES, _ANY}))
        raise node.error("unknown_type", f"{node.name}: there is no type `{text}`", hint=f"known: {known}; string[]")
    inner = {} if item == _ANY else {"type": item}
    return inner if item == text else {"type": "array", "items": inner}
