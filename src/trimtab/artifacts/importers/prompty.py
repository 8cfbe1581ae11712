"""Imports Prompty files (prompty.ai): YAML front matter over Jinja text with `system:` and `user:` lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from trimtab.artifacts.document import Node
from trimtab.artifacts.files import read_text
from trimtab.artifacts.importers.draft import Draft, ImportedPrompt, import_parameters, split_model, unconvertible
from trimtab.artifacts.importers.front_matter import split_front_matter
from trimtab.artifacts.importers.selection import beside
from trimtab.artifacts.json_source import parse_json
from trimtab.artifacts.template import PromptError, check_text

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["import_prompty"]

_DESCRIBING = ("version", "authors", "tags", "outputs", "outputSchema", "metadata", "kind", "$schema")
_FIELDS = (
    *_DESCRIBING,
    "name",
    "description",
    "model",
    "inputs",
    "inputSchema",
    "sample",
    "template",
    "base",
    "tools",
)
_ROLE_LINE = re.compile(
    r"^[ \t]*#?[ \t]*(?P<role>system|developer|user|assistant|tool|function)(?:\[[^\]\n]*\])?[ \t]*:[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_DYNAMIC_ROLE = re.compile(r"^[ \t]*#?[ \t]*\{\{[^}\n]*\}\}[ \t]*:[ \t]*$", re.MULTILINE)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_REFERENCE = re.compile(r"\$\{(?P<kind>env|file):(?P<name>[^:}]*)(?::(?P<default>[^}]*))?\}")
_PROVIDERS = {"azure_openai": "azure", "azure": "azure", "openai": "openai", "serverless": "azure"}
_RENAMED = {"maxOutputTokens": "max_tokens", "stopSequences": "stop"}


def import_prompty(path: Path, *, model: str | None = None) -> ImportedPrompt:
    """Return a feature folder for a `.prompty` file; `model` is used where the file names none.

    Raises `SourceError` with the line, `unconvertible` for what has no equal (threads, images, dynamic roles, `base`).
    """
    settings, body = split_front_matter(read_text(path), str(path))
    fields = settings.fields(_FIELDS)
    draft = Draft(path=str(path), name=fields["name"].text() if "name" in fields else path.stem)
    if "description" in fields:
        draft.description = fields["description"].text()
    draft.notes += [f"`{key}` was left out: it does not change what is served" for key in _DESCRIBING if key in fields]
    if "base" in fields:
        raise unconvertible(fields["base"], "`base`", "copy what it inherits into this file")
    if "template" in fields:
        _check_template(fields["template"])
    if "model" in fields:
        _model(draft, fields["model"], path)
    if draft.model is None and model is not None:
        draft.model = split_model(model)
    if "tools" in fields:
        draft.tools = [_tool(item) for item in _resolved(fields["tools"], path).items()]
    for key in ("inputs", "inputSchema"):
        if key in fields:
            _inputs(draft, fields[key])
    if "sample" in fields:
        sample = _resolved(fields["sample"], path)
        draft.test_data += [sample.plain()] if isinstance(sample.value, dict) else []
    _messages(draft, body)
    return draft.finish()


def _check_template(node: Node) -> None:
    fields = node.mapping() if isinstance(node.value, dict) else {"format": node}
    kind = fields.get("format", fields.get("type"))
    while kind is not None and isinstance(kind.value, dict):
        kind = kind.value.get("kind")
    if kind is not None and kind.text() != "jinja2":
        raise unconvertible(kind, f"the template format `{kind.value}`", "only jinja2 can be imported")


def _resolved(node: Node, path: Path) -> Node:
    """The document a `${file:...}` stands for, or the node itself."""
    match = _REFERENCE.fullmatch(node.value) if isinstance(node.value, str) else None
    if match is None or match["kind"] != "file":
        return node
    target = beside(node, path.parent, match["name"])
    if not target.is_file():
        raise node.error("missing_file", f"{node.name}: there is no file `{match['name']}` beside the prompt")
    return parse_json(read_text(target), str(target))


def _setting(node: Node) -> str:
    """A text whose `${env:NAME:default}` is replaced by its default."""
    match = _REFERENCE.fullmatch(node.text())
    if match is None:
        return node.text()
    if match["kind"] != "env" or not match["default"]:
        raise unconvertible(node, f"`{node.value}`", "a release names its model itself: write the name")
    return match["default"]


def _model(draft: Draft, node: Node, path: Path) -> None:
    if isinstance(node.value, str):
        draft.model = split_model(_setting(node))
        return
    fields = node.fields(
        ["api", "apiType", "configuration", "connection", "parameters", "options", "response", "id", "provider"]
    )
    api = fields.get("api", fields.get("apiType"))
    if api is not None and api.text() != "chat":
        raise unconvertible(api, f"the API `{api.value}`", "only chat prompts can be released")
    configuration = fields["configuration"].mapping() if "configuration" in fields else {}
    _name(draft, fields, configuration)
    left = sorted({*configuration} - {"type", "name", "model", "azure_deployment"})
    if left or "connection" in fields:
        draft.notes.append(f"connection settings were left out ({', '.join(left) or 'connection'}): they are settings")
    for key in ("parameters", "options"):
        if key in fields:
            _parameters(draft, dict(fields[key].mapping()), path)


def _name(draft: Draft, fields: dict[str, Node], configuration: dict[str, Node]) -> None:
    kind = fields.get("provider", configuration.get("type"))
    provider = "openai" if kind is None else _PROVIDERS.get(kind.text(), kind.text())
    for node in (fields.get("id"), *(configuration.get(key) for key in ("azure_deployment", "name", "model"))):
        if node is not None and node.value:
            draft.model = split_model(_setting(node), provider)
            if "azure_deployment" in configuration:
                draft.notes.append(f"`{draft.model[1]}` is an Azure deployment: check that it names the model you mean")
            return


def _parameters(draft: Draft, fields: dict[str, Node], path: Path) -> None:
    tools = fields.pop("tools", None)
    if tools is not None:
        draft.tools = [_tool(item) for item in _resolved(tools, path).items()]
    response_format = fields.get("response_format")
    if response_format is not None:
        response_format = _resolved(response_format, path)
        fields["response_format"] = response_format
        wrapper = response_format.mapping()
        if "type" in wrapper and wrapper["type"].value == "json_schema":
            draft.schema = wrapper["json_schema"].plain() if "json_schema" in wrapper else None
            del fields["response_format"]
    import_parameters(draft, fields, renamed=_RENAMED, ignored={})


def _tool(node: Node) -> Any:  # noqa: ANN401 - any JSON value
    """A tool as OpenAI writes it, from that or from Prompty's own `{name, kind: function, parameters}`."""
    fields = node.mapping()
    if "kind" not in fields:
        return node.plain()
    if fields["kind"].value != "function":
        raise unconvertible(node, f"the tool kind `{fields['kind'].value}`", "only functions can be carried")
    tool = {key: value.plain() for key, value in fields.items() if key != "kind"}
    parameters = fields.get("parameters")
    if parameters is not None and isinstance(parameters.value, dict) and "properties" in parameters.value:
        tool["parameters"] = _properties(parameters.value["properties"])
    return tool


def _properties(node: Node) -> dict[str, Any]:
    if not isinstance(node.value, list):
        return {"type": "object", "properties": node.plain()}
    properties: dict[str, Any] = {}
    required: list[str] = []
    for item in node.items():
        fields = item.fields(item.mapping(), required=["name"])
        name = fields["name"].text()
        kind = fields.get("kind", fields.get("type"))
        properties[name] = {"type": "string" if kind is None else kind.text()}
        if "description" in fields:
            properties[name]["description"] = fields["description"].text()
        if "required" in fields and fields["required"].boolean():
            required.append(name)
    schema = {"type": "object", "properties": properties}
    return schema | ({"required": required} if required else {})


def _inputs(draft: Draft, node: Node) -> None:
    """Inputs carry samples and defaults; what the text uses is what is required."""
    listed = node.value.get("properties") if isinstance(node.value, dict) else node
    items = node.mapping().items() if listed is None else [(_input_name(item), item) for item in listed.items()]
    sample: dict[str, Any] = {}
    for name, item in items:
        fields = item.value if isinstance(item.value, dict) else {}
        kind = fields.get("kind", fields.get("type"))
        if kind is not None and kind.value == "thread":
            raise unconvertible(
                item, f"the thread `{name}`", "callers send earlier messages themselves, after the release's: remove it"
            )
        if "default" in fields:
            draft.notes.append(f"the default of `{name}` was left out: callers send every variable")
        for key in ("sample", "default"):
            if key in fields:
                sample.setdefault(name, fields[key].plain())
        if not isinstance(item.value, dict):
            sample[name] = item.plain()
    if sample:
        draft.test_data.append(sample)


def _input_name(node: Node) -> str:
    return node.fields(node.mapping(), required=["name"])["name"].text()


def _messages(draft: Draft, body: Node) -> None:
    text = body.text()
    dynamic = _DYNAMIC_ROLE.search(text)
    if dynamic is not None:
        raise _at(
            body, dynamic.start(), f"the role `{dynamic.group().strip()}`", "which messages there are must be fixed"
        )
    marks = list(_ROLE_LINE.finditer(text))
    sections = [("system", 0, marks[0].start() if marks else len(text))]
    for index, mark in enumerate(marks):
        end = marks[index + 1].start() if index + 1 < len(marks) else len(text)
        sections.append((mark["role"].lower(), mark.end(), end))
    for role, start, end in sections:
        content = text[start:end].strip()
        if not content:
            continue
        image = _IMAGE.search(text, start, end)
        if image is not None:
            raise _at(body, image.start(), f"the image `{image.group()}`", "a message is text here")
        if role in {"tool", "function"}:
            raise _at(body, start, f"the role `{role}`", None)
        try:
            check_text(content, message_index=len(draft.messages))
        except PromptError as error:
            first = start + len(text[start:end]) - len(text[start:end].lstrip())
            raise _line(body, first, (error.line or 1) - 1).error(error.code, error.message, hint=error.hint) from None
        draft.messages.append((role, content))


def _at(body: Node, position: int, what: str, hint: str | None) -> Exception:
    return unconvertible(_line(body, position, 0), what, hint)


def _line(body: Node, position: int, further: int) -> Node:
    return Node(None, body.path, body.line + body.text().count("\n", 0, position) + further)
