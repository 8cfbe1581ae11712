"""Imports Dotprompt files: YAML front matter over Handlebars (google.github.io/dotprompt)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.artifacts.files import read_text
from trimtab.artifacts.importers.draft import (
    Draft,
    ImportedPrompt,
    feature_name,
    import_parameters,
    split_model,
    unconvertible,
)
from trimtab.artifacts.importers.front_matter import split_front_matter
from trimtab.artifacts.importers.handlebars_to_jinja import Translation, translate
from trimtab.artifacts.importers.picoschema import read_picoschema
from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from trimtab.artifacts.document import Node

__all__ = ["import_dotprompt"]

_FIELDS = ("name", "variant", "version", "description", "model", "config", "input", "output", "tools", "metadata")
_RENAMED = {"maxOutputTokens": "max_tokens", "stopSequences": "stop"}
_IGNORED = {"apiKey": "keys are settings, never part of a release", "version": "name the model's snapshot instead"}


def import_dotprompt(path: Path, *, model: str | None = None) -> ImportedPrompt:
    """Return a feature folder for a `.prompt` file; its partials are the `_name.prompt` files beside it.

    `model` is used where the file names none. Raises `SourceError` with the line, `unconvertible` for what has no
    equal.
    """
    settings, body = split_front_matter(read_text(path), str(path))
    known = {key: node for key, node in settings.mapping().items() if "." not in key}
    fields = type(settings)(known, settings.path, settings.line).fields(_FIELDS)
    draft = Draft(path=str(path), name=path.name.removesuffix(".prompt"))
    draft.notes += [f"`{key}` was left out: extensions of other tools" for key in settings.mapping() if "." in key]
    for key in ("variant", "version", "metadata"):
        if key in fields:
            draft.notes.append(f"`{key}` was left out: it does not change what is served")
    if "name" in fields:
        draft.name = fields["name"].text()
    if "description" in fields:
        draft.description = fields["description"].text()
    if "tools" in fields and fields["tools"].value:
        raise unconvertible(fields["tools"], "`tools`", "they name functions of an application: write a tools.yaml")
    name = fields["model"].text() if "model" in fields else model
    draft.model = None if name is None else split_model(name)
    if "config" in fields:
        import_parameters(draft, fields["config"].mapping(), renamed=_RENAMED, ignored=_IGNORED)
    optional = _input(draft, fields.get("input"))
    _output(draft, fields.get("output"))
    translation = translate(body.text(), str(path), body.line, optional=optional)
    draft.messages = translation.messages
    draft.notes += translation.notes
    _partials(draft, path.parent, translation, optional)
    draft.notes = list(dict.fromkeys(draft.notes))
    return draft.finish()


def _input(draft: Draft, node: Node | None) -> dict[str, Any]:
    """Declare the variables; return what stands in for those that a caller may leave out."""
    if node is None:
        return {}
    fields = node.fields(["schema", "default"])
    optional: dict[str, Any] = {}
    if "schema" in fields:
        draft.variables = read_picoschema(fields["schema"])
        required = set(draft.variables.get("required", []))
        # A missing variable renders as nothing in Handlebars.
        optional = dict.fromkeys(set(draft.variables.get("properties", {})) - required, "")
    if "default" in fields:
        defaults: dict[str, Any] = {key: value.plain() for key, value in fields["default"].mapping().items()}
        optional |= defaults
        if draft.variables is not None and "required" in draft.variables:
            still = [name for name in draft.variables["required"] if name not in defaults]
            draft.variables = {key: value for key, value in draft.variables.items() if key != "required"}
            draft.variables |= {"required": still} if still else {}
    return optional


def _output(draft: Draft, node: Node | None) -> None:
    if node is None:
        return
    fields = node.fields(["format", "schema"])
    kind = fields["format"].text() if "format" in fields else "json" if "schema" in fields else "text"
    if kind not in {"json", "text"}:
        raise unconvertible(fields["format"], f"the output format `{kind}`")
    if "schema" in fields:
        draft.schema = {"name": "output", "schema": read_picoschema(fields["schema"]), "strict": False}
    elif kind == "json":
        draft.parameters["response_format"] = {"type": "json_object"}


def _partials(draft: Draft, folder: Path, translation: Translation, optional: dict[str, Any]) -> None:
    waiting = sorted(translation.partials)
    while waiting:
        name = waiting.pop()
        if feature_name(name) in draft.partials:
            continue
        path = folder / f"_{name}.prompt"
        if Path(name).name != name or not path.is_file():
            raise SourceError(
                "missing_partial",
                f"the partial `{name}` is included, but there is no {path.name} beside the prompt",
                path=draft.path,
            )
        inner = translate(read_text(path), str(path), 1, optional=optional, inside_partial=True)
        draft.partials[feature_name(name)] = inner.messages[0][1] if inner.messages else ""
        draft.notes += inner.notes
        waiting += sorted(inner.partials)
