"""What importers have in common: a prompt read from another tool, written out as a feature folder."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.folder import load_feature
from trimtab.artifacts.model_source import PARAMETERS, read_parameters, snake_case
from trimtab.artifacts.yaml_writer import dump_yaml
from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.artifacts.document import Node

__all__ = ["Draft", "ImportedPrompt", "feature_name", "import_parameters", "split_model", "unconvertible"]

_NOT_IN_A_NAME = re.compile(r"[^a-z0-9._-]+")
_CALL_DECIDES = frozenset({"stream", "stream_options", "user"})


class ImportedPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """A feature folder as code: what to write, and what did not come along."""

    feature: str
    files: dict[str, bytes]
    """By path inside the feature folder."""
    notes: list[str]
    """What a person should know: what was left behind, and what to check."""


@dataclass(slots=True)
class Draft:
    """A prompt on its way from another format."""

    path: str
    name: str
    description: str = ""
    model: tuple[str, str] | None = None
    """Provider and model."""
    parameters: dict[str, Any] = field(default_factory=dict)
    messages: list[tuple[str, str]] = field(default_factory=list)
    """Role and minijinja template."""
    variables: dict[str, Any] | None = None
    tools: list[Any] | None = None
    schema: dict[str, Any] | None = None
    """`{name, schema, strict}`."""
    partials: dict[str, str] = field(default_factory=dict)
    test_data: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def finish(self) -> ImportedPrompt:
        """Return the folder, after it was read back; raises `SourceError` naming the imported file if it cannot be."""
        if self.model is None:
            raise SourceError(
                "missing_model",
                "this prompt names no model, and a release needs one",
                path=self.path,
                hint="add the model to the file, or import with model=PROVIDER/MODEL",
            )
        files = self._files()
        feature = feature_name(self.name)
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / feature
            for name, content in files.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            try:
                loaded = load_feature(folder)
            except SourceError as error:
                where = Path(error.path).name
                raise SourceError(
                    error.code, f"once converted, {where}: {error.message}", path=self.path, hint=error.hint
                ) from None
            shown = [warning.replace(f"{folder}/", "") for warning in loaded.warnings]
        return ImportedPrompt(feature=feature, files=files, notes=[*self.notes, *shown])

    def _files(self) -> dict[str, bytes]:
        feature = feature_name(self.name)
        provider, model = self.model or ("", "")
        prompt: dict[str, Any] = {"name": self.name}
        if self.description:
            prompt["description"] = self.description
        prompt["model"] = f"{provider}/{model}"
        parameters = dict(self.parameters)
        response_format = parameters.pop("response_format", {"type": "text"})
        if parameters:
            prompt["modelParameters"] = parameters
        prompt["messages"] = [{"role": role, "content": content} for role, content in self.messages]
        if self.schema is not None:
            prompt |= {"responseFormat": "json_schema", "jsonSchema": self.schema}
        elif response_format.get("type") == "json_object":
            prompt["responseFormat"] = "json_object"
        if self.test_data:
            prompt["testData"] = self.test_data
        settings: dict[str, Any] = {"feature": feature}
        if self.variables is not None:
            settings["variables"] = self.variables
        files = {"feature.yaml": dump_yaml(settings), f"{feature}.prompt.yml": dump_yaml(prompt)}
        if self.tools:
            files["tools.yaml"] = dump_yaml({"tools": self.tools})
        # Inlining drops the newline that ends a file, so that each text comes out as it went in.
        return files | {f"partials/{name}.md": f"{text}\n".encode() for name, text in sorted(self.partials.items())}


def feature_name(name: str) -> str:
    """Return a name that may name a feature: `Text Summarizer` becomes `text-summarizer`."""
    return _NOT_IN_A_NAME.sub("-", name.lower())[:64].strip("-._") or "imported"


def split_model(name: str, provider: str = "openai") -> tuple[str, str]:
    """Return provider and model of `provider/model`, or of a bare model at `provider`."""
    head, slash, rest = name.partition("/")
    return (head.lower(), rest) if slash and rest else (provider, name)


def unconvertible(node: Node, what: str, hint: str | None = None) -> SourceError:
    """Return the error for something that has no equal here."""
    return node.error("unconvertible", f"{what} cannot be converted", hint=hint)


def import_parameters(
    draft: Draft, nodes: Mapping[str, Node], *, renamed: Mapping[str, str], ignored: Mapping[str, str]
) -> None:
    """Take parameters over into a draft.

    `renamed` maps this format's names to ours, `ignored` those that do not come along to the reason, for a note.
    Raises `SourceError` (`unconvertible`) for any other, and `wrong_type`.
    """
    for key, node in nodes.items():
        if node.value is None:
            continue
        name = renamed.get(key, snake_case(key))
        if key in ignored or name in _CALL_DECIDES:
            draft.notes.append(f"`{node.field or key}` was left out: {ignored.get(key, 'every call decides it')}")
            continue
        if name not in PARAMETERS:
            raise unconvertible(
                node, f"the parameter `{key}`", "OpenAI's chat completions have no such parameter: remove it"
            )
        single = type(node)({name: node}, node.path, node.line, node.field)
        draft.parameters |= read_parameters(single)
