"""Reads a prompt in GitHub's `*.prompt.yml` format (docs.github.com: storing prompts in GitHub repositories)."""

from __future__ import annotations

from typing import Any, cast, get_args

import msgspec

from trimtab.artifacts.document import Node, nearest
from trimtab.artifacts.json_source import parse_json
from trimtab.artifacts.model import ModelContent, PromptMessage, Role, SchemaContent
from trimtab.artifacts.model_source import read_model_name, read_parameters
from trimtab.artifacts.schema_source import read_response_schema

__all__ = ["PromptFile", "read_prompt_file"]

_FIELDS = (
    "name",
    "description",
    "model",
    "modelParameters",
    "messages",
    "responseFormat",
    "jsonSchema",
    # Read by GitHub's evaluations. They do not change what is served, so they are no part of any digest.
    "testData",
    "evaluators",
)
_ROLES: tuple[str, ...] = get_args(Role)
_FORMATS = ("text", "json_object", "json_schema")


class PromptFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a prompt file says."""

    messages: list[PromptMessage]
    contents: list[Node]
    """Where the text of each message stands."""
    description: str = ""
    model: ModelContent | None = None
    model_node: Node | None = None
    parameters: dict[str, Any] = {}
    """With `response_format` where the file asks for a JSON object."""
    schema: SchemaContent | None = None
    schema_node: Node | None = None


def read_prompt_file(node: Node, *, schema_name: str) -> PromptFile:
    """Return what a prompt file says; `schema_name` names its schema where the file does not.

    Raises `SourceError`: `unknown_field`, `missing_field`, `unknown_role`, `no_messages`, `unknown_parameter`,
    `unknown_response_format`, `invalid_schema`, `malformed_json`, `wrong_type`.
    """
    fields = node.fields(_FIELDS, required=["messages"])
    if "name" in fields:
        fields["name"].text()
    parameters = read_parameters(fields["modelParameters"]) if "modelParameters" in fields else {}
    response_format = _response_format(fields)
    if response_format == "json_object":
        parameters["response_format"] = {"type": "json_object"}
    messages, contents = _messages(fields["messages"])
    model = None
    if "model" in fields:
        provider, name = read_model_name(fields["model"])
        model = ModelContent(provider=provider, model=name, parameters=parameters)
    return PromptFile(
        messages=messages,
        contents=contents,
        description=fields["description"].text() if "description" in fields else "",
        model=model,
        model_node=fields.get("model"),
        parameters=parameters,
        schema=_schema(fields["jsonSchema"], schema_name) if response_format == "json_schema" else None,
        schema_node=fields.get("jsonSchema"),
    )


def _messages(node: Node) -> tuple[list[PromptMessage], list[Node]]:
    messages: list[PromptMessage] = []
    contents: list[Node] = []
    for item in node.items():
        fields = item.fields(["role", "content"], required=["role", "content"])
        role = fields["role"].text()
        if role not in _ROLES:
            raise fields["role"].error("unknown_role", f"there is no role `{role}`", hint=nearest(role, _ROLES))
        messages.append(PromptMessage(role=cast("Role", role), content=fields["content"].text()))
        contents.append(fields["content"])
    if not messages:
        raise node.error("no_messages", "a prompt needs at least one message")
    return messages, contents


def _response_format(fields: dict[str, Node]) -> str:
    node = fields.get("responseFormat")
    schema = fields.get("jsonSchema")
    if node is None:
        if schema is not None:
            raise schema.error(
                "missing_field",
                "`jsonSchema` is given without `responseFormat`",
                hint="add responseFormat: json_schema",
            )
        return "text"
    name = node.text()
    if name not in _FORMATS:
        raise node.error(
            "unknown_response_format", f"there is no response format `{name}`", hint=nearest(name, _FORMATS)
        )
    if name == "json_schema" and schema is None:
        raise node.error("missing_field", "`responseFormat: json_schema` needs `jsonSchema`")
    if name != "json_schema" and schema is not None:
        raise schema.error(
            "unused_field", f"`jsonSchema` has no effect with `responseFormat: {name}`", hint="write json_schema"
        )
    return name


def _schema(node: Node, name: str) -> SchemaContent:
    if isinstance(node.value, str):
        inner = parse_json(node.value, node.path, first_line=node.text_line or node.line)
        node = Node(inner.value, inner.path, inner.line, node.field)
    # As at OpenAI, whose format this is: not strict unless it says so.
    return read_response_schema(node, name=name, strict=False)
