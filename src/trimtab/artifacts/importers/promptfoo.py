"""Imports promptfooconfig.yaml (promptfoo.dev): one prompt for one provider, its tests as test data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from trimtab.artifacts.document import Node
from trimtab.artifacts.files import read_text
from trimtab.artifacts.importers.draft import Draft, ImportedPrompt, import_parameters, unconvertible
from trimtab.artifacts.importers.selection import beside, select
from trimtab.artifacts.json_source import parse_json
from trimtab.artifacts.yaml_source import parse_yaml
from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["import_promptfoo"]

_TEXT_FILES = frozenset({".txt", ".md", ".j2"})
_CHAT_FILES = frozenset({".json", ".yaml", ".yml"})
_PROGRAMS = frozenset({".js", ".cjs", ".mjs", ".ts", ".py", ".csv", ".rb", ".exe", ".sh"})
_PATH = re.compile(r"[^\s{}]+\.(?:txt|md|j2|json|ya?ml|js|cjs|mjs|ts|py|csv)(?::\w+)?")
_SEPARATOR = re.compile(r"^---[ \t]*$", re.MULTILINE)
_ENVIRONMENT = re.compile(r"\{\{-?\s*env\b[^}]*\}\}")
_ROLES = frozenset({"system", "developer", "user", "assistant"})
_MODES = frozenset({"chat", "messages", "responses"})
_UNMODELLED = frozenset(
    {"file", "exec", "python", "http", "https", "webhook", "websocket", "package", "golang", "ruby"}
)
_CONNECTION = dict.fromkeys(
    ("apiKey", "apiKeyEnvar", "apiHost", "apiBaseUrl", "organization", "headers", "cost", "basePath"),
    "connections are settings, never part of a release",
)


class _Prompt(NamedTuple):
    """A prompt that was found: its text or chat, and where."""

    label: str
    node: Node
    description: str


def import_promptfoo(
    path: Path, *, prompt: str | None = None, provider: str | None = None, model: str | None = None
) -> ImportedPrompt:
    """Return a feature folder for one prompt and one provider of a promptfoo configuration.

    `prompt` and `provider` choose by label, id or position (from 1) where there are several; `model` is used where
    there is no provider. Raises `SourceError`: `several_choices`, and `unconvertible` for programs and other providers.
    """
    document = parse_yaml(read_text(path), str(path))
    fields = document.mapping()
    if "prompts" not in fields:
        raise document.error("missing_field", "`prompts` is missing")
    found = _prompts(fields["prompts"], path.parent)
    chosen = select(fields["prompts"], [(item.label, item) for item in found], prompt, what="prompt")
    title = fields["description"].text() if "description" in fields else ""
    named = chosen.label if chosen.description else path.resolve().parent.name
    draft = Draft(path=str(path), name=named, description=title)
    providers = fields.get("providers", fields.get("targets"))
    if providers is not None and providers.value:
        _provider(draft, select(providers, _providers(providers), provider, what="provider"), path.parent)
    elif model is not None:
        head, _, rest = model.partition("/")
        draft.model = (head, rest) if rest else ("openai", head)
    _messages(draft, chosen.node)
    _tests(draft, fields.get("tests"))
    if "defaultTest" in fields:
        draft.notes.append("`defaultTest` was left out: assertions do not change what is served")
    return draft.finish()


def _prompts(node: Node, folder: Path) -> list[_Prompt]:
    found: list[_Prompt] = []
    for item in node.value if isinstance(node.value, list) else [node]:
        if isinstance(item.value, dict):
            fields = item.value
            source = fields.get("raw", fields.get("id"))
            if source is None:
                raise unconvertible(item, "a prompt without `raw` or `id`")
            label = fields["label"].text() if "label" in fields else ""
            inner = _source(source, folder)
            found += [entry._replace(label=label or entry.label, description=label) for entry in inner]
        else:
            found += _source(item, folder)
    return found


def _source(node: Node, folder: Path) -> list[_Prompt]:
    text = node.text()
    if not text.startswith("file://") and not _PATH.fullmatch(text):
        return [_Prompt(text, node, "")]
    name, _, function = text.removeprefix("file://").partition(":")
    path = beside(node, folder, name)
    suffix = path.suffix.lower()
    if function or suffix in _PROGRAMS:
        raise unconvertible(node, f"the program `{text}`", "only fixed texts can be released: write the prompt out")
    if "*" in name or suffix not in _TEXT_FILES | _CHAT_FILES:
        raise unconvertible(node, f"the prompt file `{text}`", "name a .txt, .md, .j2, .json or .yaml file")
    if not path.is_file():
        raise node.error("missing_file", f"there is no file `{name}` beside the configuration")
    content = read_text(path)
    if suffix in _CHAT_FILES:
        parse = parse_json if suffix == ".json" else parse_yaml
        return [_Prompt(path.stem, parse(content, str(path)), path.stem)]
    if suffix != ".txt":
        return [_Prompt(path.stem, Node(content, str(path), 1, "", 1), path.stem)]
    parts = [part.strip() for part in _SEPARATOR.split(content)]
    texts = [part for part in parts if part]
    numbered = [(path.stem if len(texts) == 1 else f"{path.stem}-{n}", part) for n, part in enumerate(texts, 1)]
    return [_Prompt(label, Node(part, str(path), 1, "", 1), label) for label, part in numbered]


def _providers(node: Node) -> list[tuple[str, Node]]:
    named: list[tuple[str, Node]] = []
    for item in node.value if isinstance(node.value, list) else [node]:
        if not isinstance(item.value, dict):
            named.append((item.text(), item))
        elif "id" in item.value:
            label = item.value.get("label", item.value["id"])
            named.append((label.text(), item))
        else:
            named += [
                (key, Node({"id": Node(key, value.path, value.line), **value.mapping()}, value.path, value.line))
                for key, value in item.value.items()
            ]
    return named


def _provider(draft: Draft, node: Node, folder: Path) -> None:
    fields = node.value if isinstance(node.value, dict) else {"id": node}
    identifier = fields["id"].text()
    head, _, rest = identifier.partition(":")
    mode, colon, tail = rest.partition(":")
    if colon and mode in _MODES:
        rest = tail
    if not rest or head in _UNMODELLED or mode in {"completion", "embedding", "image", "assistant", "realtime"}:
        raise unconvertible(fields["id"], f"the provider `{identifier}`", "a release calls a chat model by its name")
    if mode == "responses":
        draft.notes.append(f"`{identifier}` is called through the chat completions API")
    draft.model = (head.lower(), rest)
    config = dict(fields["config"].mapping()) if "config" in fields else {}
    tools = config.pop("tools", None)
    if tools is not None:
        draft.tools = [item.plain() for item in _file(tools, folder).items()]
    response_format = config.get("response_format")
    if response_format is not None:
        response_format = config["response_format"] = _file(response_format, folder)
        inner = response_format.mapping()
        if "type" in inner and inner["type"].value == "json_schema":
            _schema(draft, config.pop("response_format"))
    import_parameters(draft, config, renamed={}, ignored=_CONNECTION)


def _schema(draft: Draft, node: Node) -> None:
    fields = node.mapping()
    wrapper = fields.get("json_schema", node).mapping()
    draft.schema = {key: wrapper[key].plain() for key in ("name", "schema", "strict") if key in wrapper}
    draft.schema.setdefault("name", "output")


def _file(node: Node, folder: Path) -> Node:
    if not isinstance(node.value, str):
        return node
    name = node.value.removeprefix("file://")
    path = beside(node, folder, name)
    if not path.is_file():
        raise node.error("missing_file", f"{node.name}: there is no file `{name}` beside the configuration")
    return (parse_json if path.suffix == ".json" else parse_yaml)(read_text(path), str(path))


def _messages(draft: Draft, node: Node) -> None:
    chat = node
    if isinstance(node.value, str):
        text = node.value.strip()
        if not (text.startswith("[") and '"role"' in text):
            draft.messages = [("user", _template(node))]
            draft.notes.append("a text prompt became one user message")
            return
        try:
            chat = parse_json(text, node.path, first_line=node.text_line or node.line)
        except SourceError as error:
            raise node.error(
                "unconvertible",
                f"this chat is not fixed JSON: {error.message}",
                hint="write each message with its role and content, and put variables inside the quotes",
            ) from None
    for item in chat.items():
        fields = item.fields(["role", "content"], required=["role", "content"])
        role = fields["role"].text()
        if role not in _ROLES:
            raise unconvertible(fields["role"], f"the role `{role}`")
        draft.messages.append((role, _template(fields["content"])))


def _template(node: Node) -> str:
    text = node.text()
    environment = _ENVIRONMENT.search(text)
    if environment is not None:
        raise unconvertible(node, f"`{environment.group()}`", "a release does not read the environment: use a variable")
    return text


def _tests(draft: Draft, node: Node | None) -> None:
    if node is None or not node.value:
        return
    if not isinstance(node.value, list):
        draft.notes.append(f"the tests of `{node.plain()}` were left out")
        return
    for item in node.value:
        variables = item.value.get("vars") if isinstance(item.value, dict) else None
        if variables is not None and isinstance(variables.value, dict):
            draft.test_data.append(variables.plain())
    draft.notes.append("variables of the tests became testData; assertions were left out")
