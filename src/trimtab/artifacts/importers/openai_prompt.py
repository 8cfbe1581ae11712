"""Imports OpenAI stored prompts (`pmpt_...`) as JSON: instructions, messages of content parts, variables, tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.artifacts.files import read_text
from trimtab.artifacts.importers.bare_template import bare_to_jinja
from trimtab.artifacts.importers.draft import Draft, ImportedPrompt, import_parameters, split_model, unconvertible
from trimtab.artifacts.json_source import parse_json

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.artifacts.document import Node

__all__ = ["import_openai_prompt"]

_ROLES = frozenset({"system", "developer", "user", "assistant"})
_TEXT_PARTS = frozenset({"input_text", "output_text", "text"})
_CONTENT = ("instructions", "messages", "input")
_READ = frozenset(
    {*_CONTENT, "id", "name", "description", "version", "model", "variables", "tools", "text", "reasoning"}
)
_BOOKKEEPING = frozenset(
    {"object", "created_at", "updated_at", "created_by", "is_default", "default_version", "status", "prompt"}
)
_RENAMED = {"max_output_tokens": "max_completion_tokens"}
_IGNORED = {
    "truncation": "the chat completions API does not truncate",
    "include": "it asks for extra output of the Responses API",
    "background": "every call decides it",
    "previous_response_id": "callers send earlier messages themselves",
}


def import_openai_prompt(path: Path, *, model: str | None = None) -> ImportedPrompt:
    """Return a feature folder for a stored prompt's JSON; `model` is used where it names none.

    Raises `SourceError` with the line, `unconvertible` for image and file parts, hosted tools and other parameters.
    """
    document = parse_json(read_text(path), str(path))
    fields = document.mapping()
    name = fields["name"] if "name" in fields and fields["name"].value else fields.get("id")
    draft = Draft(path=str(path), name=name.text() if name is not None else path.stem)
    if "description" in fields and fields["description"].value:
        draft.description = fields["description"].text()
    if "version" in fields:
        draft.notes.append(f"imported from version {fields['version'].plain()}; numbers begin anew at 1")
    for key in _CONTENT:
        if key in fields and fields[key].value is not None:
            _messages(draft, fields[key], "developer" if key == "instructions" else "user")
    named = fields["model"].text() if "model" in fields and fields["model"].value else model
    draft.model = None if named is None else split_model(named)
    _variables(draft, fields.get("variables"))
    _tools(draft, fields.get("tools"))
    rest = {key: node for key, node in fields.items() if key not in _READ | _BOOKKEEPING}
    import_parameters(draft, rest, renamed=_RENAMED, ignored=_IGNORED)
    _reasoning(draft, fields.get("reasoning"))
    _text_settings(draft, fields.get("text"))
    return draft.finish()


def _messages(draft: Draft, node: Node, default_role: str) -> None:
    if isinstance(node.value, str):
        draft.messages.append((default_role, bare_to_jinja(node, node.value)))
        return
    for item in node.items():
        fields = item.fields(["type", "id", "status", "role", "content"], required=["content"])
        if "type" in fields and fields["type"].value != "message":
            raise unconvertible(fields["type"], f"an item of type `{fields['type'].value}`")
        role = fields["role"].text() if "role" in fields else default_role
        if role not in _ROLES:
            raise unconvertible(fields["role"], f"the role `{role}`")
        draft.messages.append((role, _content(fields["content"])))


def _content(node: Node) -> str:
    if isinstance(node.value, str):
        return bare_to_jinja(node, node.value)
    texts: list[str] = []
    for part in node.items():
        fields = part.mapping()
        kind = fields["type"].value if "type" in fields else "input_text"
        if kind not in _TEXT_PARTS or "text" not in fields:
            raise unconvertible(part, f"a content part of type `{kind}`", "a release holds text: send it with the call")
        texts.append(bare_to_jinja(fields["text"], fields["text"].text()))
    return "\n".join(texts)


def _variables(draft: Draft, node: Node | None) -> None:
    """Variables are names with sample values; what the texts use is what is required."""
    if node is None or node.value is None:
        return
    if isinstance(node.value, list):
        return
    sample: dict[str, Any] = {}
    for name, value in node.mapping().items():
        plain = value.plain()
        if isinstance(plain, dict) and "text" not in plain:
            raise unconvertible(
                value, f"the variable `{name}` of type `{plain.get('type')}`", "only text can be filled in"
            )
        sample[name] = plain["text"] if isinstance(plain, dict) else plain
    if sample:
        draft.test_data.append(sample)


def _tools(draft: Draft, node: Node | None) -> None:
    if node is None or not node.value:
        return
    tools: list[Any] = []
    for item in node.items():
        fields = item.mapping()
        kind = fields["type"].value if "type" in fields else "function"
        if kind != "function":
            raise unconvertible(item, f"the hosted tool `{kind}`", "it runs at OpenAI only: give the model a function")
        # The Responses API is strict unless told otherwise.
        tools.append({"strict": True} | item.plain() if "function" not in fields else item.plain())
    draft.tools = tools


def _reasoning(draft: Draft, node: Node | None) -> None:
    if node is None or node.value is None:
        return
    fields = node.mapping()
    if "effort" in fields:
        import_parameters(draft, {"reasoning_effort": fields["effort"]}, renamed={}, ignored={})
    if "summary" in fields and fields["summary"].value is not None:
        draft.notes.append("`reasoning.summary` was left out: chat completions return no summaries")


def _text_settings(draft: Draft, node: Node | None) -> None:
    if node is None or node.value is None:
        return
    fields = node.fields(["format", "verbosity"])
    if "verbosity" in fields:
        import_parameters(draft, {"verbosity": fields["verbosity"]}, renamed={}, ignored={})
    if "format" not in fields:
        return
    kind = fields["format"].mapping().get("type")
    match None if kind is None else kind.value:
        case "json_object":
            draft.parameters["response_format"] = {"type": "json_object"}
        case "json_schema":
            known = fields["format"].fields(["type", "name", "schema", "strict", "description"], required=["schema"])
            if "description" in known:
                draft.notes.append("`text.format.description` was left out: put it into the schema")
            draft.schema = {key: known[key].plain() for key in ("name", "schema", "strict") if key in known}
            draft.schema.setdefault("name", "output")
        case "text" | None:
            pass
        case other:
            raise unconvertible(fields["format"], f"the text format `{other}`")
