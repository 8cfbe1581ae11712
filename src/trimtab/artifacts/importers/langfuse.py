"""Imports Langfuse prompts as its API and SDK export them: `{name, type, prompt, config, version, labels}`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trimtab.artifacts.files import read_text
from trimtab.artifacts.importers.bare_template import bare_to_jinja
from trimtab.artifacts.importers.draft import Draft, ImportedPrompt, import_parameters, split_model, unconvertible
from trimtab.artifacts.importers.selection import select
from trimtab.artifacts.json_source import parse_json
from trimtab.artifacts.model_source import PARAMETERS, snake_case

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.artifacts.document import Node

__all__ = ["import_langfuse"]

_ROLES = frozenset({"system", "developer", "user", "assistant"})
_REFERENCE = re.compile(r"@@@langfusePrompt:(.*?)@@@")
_MODEL_FIELDS = ("model", "model_name", "modelName")
_CONFIG_FIELDS = frozenset({*_MODEL_FIELDS, "provider", "tools", "json_schema"})


def import_langfuse(path: Path, *, prompt: str | None = None, model: str | None = None) -> ImportedPrompt:
    """Return a feature folder for a Langfuse export: one prompt, a list of them, or an API page `{data: [...]}`.

    `prompt` chooses one by name, `name@version` or position (from 1); `model` is used where the config names none.
    Raises `SourceError`: `several_choices`, and `unconvertible` for placeholders and references to other prompts.
    """
    document = parse_json(read_text(path), str(path))
    if isinstance(document.value, dict) and "data" in document.value:
        document = document.value["data"]
    if isinstance(document.value, list):
        named = [(_label(item), item) for item in document.value]
        document = select(document, named, prompt, what="prompt")
    fields = document.mapping()
    name = fields["name"].text() if "name" in fields else path.stem
    draft = Draft(path=str(path), name=name)
    _describe(draft, fields)
    _messages(draft, document)
    config = fields.get("config")
    if config is not None and config.value is not None:
        _config(draft, config)
    if draft.model is None and model is not None:
        draft.model = split_model(model)
    return draft.finish()


def _label(node: Node) -> str:
    fields = node.mapping()
    name = fields["name"].text() if "name" in fields else ""
    return f"{name}@{fields['version'].plain()}" if "version" in fields else name


def _describe(draft: Draft, fields: dict[str, Node]) -> None:
    if "version" in fields:
        draft.notes.append(f"imported from version {fields['version'].plain()}; numbers begin anew at 1")
    labels = fields["labels"].plain() if "labels" in fields else []
    if labels:
        draft.notes.append(f"labels {', '.join(map(str, labels))} were left out: environments point to releases")


def _messages(draft: Draft, document: Node) -> None:
    fields = document.fields(document.mapping(), required=["prompt"])
    node = fields["prompt"]
    if isinstance(node.value, str):
        draft.messages = [("user", _text(node))]
        draft.notes.append("a text prompt became one user message")
        return
    for item in node.items():
        message = item.mapping()
        if "type" in message and message["type"].value == "placeholder":
            name = message["name"].value if "name" in message else "?"
            raise unconvertible(
                item,
                f"the placeholder `{name}`",
                "callers send earlier messages themselves, after the release's: remove the placeholder",
            )
        known = item.fields(["role", "content", "type"], required=["role", "content"])
        role = known["role"].text()
        if role not in _ROLES:
            raise unconvertible(known["role"], f"the role `{role}`")
        draft.messages.append((role, _text(known["content"])))


def _text(node: Node) -> str:
    text = node.text()
    reference = _REFERENCE.search(text)
    if reference is not None:
        raise unconvertible(
            node, f"the reference to `{reference[1]}`", "export the prompt with its references resolved"
        )
    return bare_to_jinja(node, text)


def _config(draft: Draft, node: Node) -> None:
    fields = node.mapping()
    for key in _MODEL_FIELDS:
        if key in fields and draft.model is None:
            provider = fields["provider"].text() if "provider" in fields else "openai"
            draft.model = split_model(fields[key].text(), provider)
    if "tools" in fields:
        draft.tools = [item.plain() for item in fields["tools"].items()]
    rest = {key: item for key, item in fields.items() if key not in _CONFIG_FIELDS}
    schema = fields.get("json_schema")
    response_format = rest.get("response_format")
    if response_format is not None and isinstance(response_format.value, dict):
        inner = response_format.value.get("json_schema")
        if inner is not None:
            schema = inner
            del rest["response_format"]
    if schema is not None:
        wrapped = schema.plain()
        named = isinstance(wrapped, dict) and "schema" in wrapped
        draft.schema = wrapped if named else {"name": "output", "schema": wrapped, "strict": False}
    _parameters(draft, rest)


def _parameters(draft: Draft, fields: dict[str, Node]) -> None:
    """Langfuse's config is free-form: what is no parameter of the model belongs to the application."""
    own = {key: "it is not a parameter of the model" for key in fields if snake_case(key) not in PARAMETERS}
    import_parameters(draft, fields, renamed={}, ignored=own)
