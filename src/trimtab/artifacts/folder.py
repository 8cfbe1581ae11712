"""Reads a feature folder: prompts as code, checked as a whole before anything is sent anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args, get_type_hints

import msgspec

from trimtab.artifacts.document import Node, nearest
from trimtab.artifacts.files import decode_text, read_bytes, read_text
from trimtab.artifacts.folder_files import FolderFiles
from trimtab.artifacts.model import (
    AdapterContent,
    ArtifactKind,
    Content,
    ModelContent,
    PartialContent,
    PromptContent,
    SchemaContent,
)
from trimtab.artifacts.model_source import read_model
from trimtab.artifacts.partials import included_partials, inline_partials
from trimtab.artifacts.prompt_file import PromptFile, read_prompt_file
from trimtab.artifacts.schema_source import read_response_schema, read_tools, read_variables
from trimtab.artifacts.source import FeatureSource, NamedContent
from trimtab.artifacts.template import PromptError, check_text
from trimtab.artifacts.variables import variables_schema
from trimtab.artifacts.yaml_source import parse_yaml
from trimtab.core.errors import InputError, SourceError
from trimtab.core.ids import check_name

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DEFAULT_TEAM", "load_feature"]

DEFAULT_TEAM = "default"

_FEATURE_FILE = "feature.yaml"
_PLAN_FILE = "rollout.yaml"
_FIELDS = (
    "feature",
    "team",
    "description",
    "captureContent",
    "prompt",
    "model",
    "variables",
    "partials",
    "tools",
    "schema",
    "adapter",
    "fallbacks",
)
_MOST_FALLBACKS = 5
_PROMPT_PATTERNS = ("*.prompt.yml", "*.prompt.yaml")
_PARTIAL_PATTERNS = ("partials/*.md", "partials/*.txt", "partials/*.j2")
_TOOLS_PATTERNS = ("tools.yaml", "tools.yml", "tools.json")
_SCHEMA_PATTERNS = ("schema.json",)
_MISNAMED = {
    "feature.yml": _FEATURE_FILE,
    "rollout.yml": _PLAN_FILE,
    "schema.yaml": "schema.json",
    "schema.yml": "schema.json",
}
_OUTPUT_STEPS: tuple[str, ...] = get_args(get_args(get_type_hints(AdapterContent)["output"])[0])


def load_feature(folder: Path) -> FeatureSource:
    """Return the feature that a folder holds, wholly checked.

    Everything but one `*.prompt.yml` and a model is optional. Raises `SourceError`, which names file and line, for
    whatever is wrong in any of its files.
    """
    return _Folder(folder).load()


class _Folder:
    """One folder while it is read."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SourceError(
                "missing_folder", "there is no such folder", path=str(folder), hint="`trimtab init FOLDER` writes one"
            )
        self._root = folder
        self._files = FolderFiles(folder)
        for wrong, right in _MISNAMED.items():
            if wrong in self._files.names:
                raise SourceError(
                    "misnamed_file", f"`{wrong}` is not read", path=str(folder / wrong), hint=f"rename it to {right}"
                )
        self._file = folder / _FEATURE_FILE
        self._fields: dict[str, Node] = {}
        if _FEATURE_FILE in self._files.names:
            self._fields = parse_yaml(read_text(self._file), str(self._file)).fields(_FIELDS)

    def load(self) -> FeatureSource:
        feature = self._feature()
        path = self._prompt_path()
        file = read_prompt_file(parse_yaml(read_text(path), str(path)), schema_name=feature.replace(".", "_"))
        partials = self._partials()
        prompt, warnings = self._prompt(file, partials)
        model, model_path = self._model(file, path)
        artifacts = [
            _named("prompt", feature, prompt, path),
            *(
                NamedContent(kind="partial", name=name, content=PartialContent(text=text), path=source)
                for name, (text, source) in partials.items()
            ),
            _named("model", feature, model, model_path),
            *self._fallbacks(model),
            *self._optional(feature, file, path),
        ]
        warnings += _silent_fallbacks(artifacts)
        plan = self._root / _PLAN_FILE if _PLAN_FILE in self._files.names else None
        return FeatureSource(
            feature=feature,
            team=self._team(),
            description=self._fields["description"].text() if "description" in self._fields else file.description,
            capture_content=self._fields["captureContent"].boolean() if "captureContent" in self._fields else True,
            artifacts=artifacts,
            plan=None if plan is None else _plan(plan),
            plan_path="" if plan is None else str(plan),
            warnings=warnings,
        )

    def _feature(self) -> str:
        node = self._fields.get("feature")
        name = self._root.resolve().name if node is None else node.text()
        try:
            return check_name(name, what="feature")
        except InputError as error:
            if node is not None:
                raise node.error(error.code, error.message, hint=error.hint) from None
            hint = f"rename the folder, or name the feature in {_FEATURE_FILE}"
            raise SourceError(error.code, error.message, path=str(self._root), hint=hint) from None

    def _team(self) -> str:
        node = self._fields.get("team")
        if node is None:
            return DEFAULT_TEAM
        try:
            return check_name(node.text(), what="team")
        except InputError as error:
            raise node.error(error.code, error.message, hint=error.hint) from None

    def _prompt_path(self) -> Path:
        node = self._fields.get("prompt")
        if node is not None:
            return self._files.inside(node)
        found = self._files.matching(_PROMPT_PATTERNS)
        if len(found) == 1:
            return found[0]
        names = ", ".join(path.name for path in found)
        raise SourceError(
            "no_prompt" if not found else "several_prompts",
            "the folder has no *.prompt.yml" if not found else f"the folder has several prompts: {names}",
            path=str(self._root),
            hint="a feature has exactly one prompt file" if not found else f"name one in {_FEATURE_FILE}: prompt: FILE",
        )

    def _model(self, file: PromptFile, path: Path) -> tuple[ModelContent, Path]:
        node = self._fields.get("model")
        if node is None:
            if file.model is None:
                raise SourceError(
                    "missing_model",
                    "no model is named",
                    path=str(path),
                    hint=f"write model: openai/gpt-4o into the prompt file, or model: into {_FEATURE_FILE}",
                )
            return file.model, path
        model = read_model(node)
        if file.model is not None or set(file.parameters) - {"response_format"}:
            raise node.error(
                "model_twice",
                f"the model is given here and in {path.name}: one of them would silently win",
                hint="keep `model` and `modelParameters` in one file",
            )
        return msgspec.structs.replace(model, parameters=model.parameters | file.parameters), self._file

    def _fallbacks(self, model: ModelContent) -> list[NamedContent]:
        """The models that answer where the release's own cannot, in their order."""
        node = self._fields.get("fallbacks")
        if node is None:
            return []
        items = list(node.items())
        if len(items) > _MOST_FALLBACKS:
            raise node.error("too_many_fallbacks", f"a release has at most {_MOST_FALLBACKS} fallbacks")
        found = []
        before = model
        for number, item in enumerate(items, 1):
            content = read_model(item)
            shape = model.parameters.get("response_format")
            if shape is not None and "response_format" not in content.parameters:
                # What the answer must look like is the release's contract, not a setting of its first model.
                content = msgspec.structs.replace(content, parameters={**content.parameters, "response_format": shape})
            if content == before:
                raise item.error(
                    "same_model_twice",
                    "this is the model that has just failed, with the same parameters",
                    hint="the gateway tries a model again by itself; name another one",
                )
            found.append(NamedContent(kind="model", name=f"fallback-{number}", content=content, path=item.path))
            before = content
        return found

    def _partials(self) -> dict[str, tuple[str, str]]:
        """Text and path of every partial, by its name: the file's name without its ending."""
        node = self._fields.get("partials")
        patterns = _PARTIAL_PATTERNS if node is None else [item.text() for item in node.items()]
        partials: dict[str, tuple[str, str]] = {}
        for path in self._files.matching(patterns, node):
            name = path.stem
            try:
                check_name(name, what="partial")
            except InputError as error:
                raise SourceError(error.code, error.message, path=str(path), hint=error.hint) from None
            if name in partials:
                raise SourceError(
                    "duplicate_partial", f"`{partials[name][1]}` is the partial `{name}` too", path=str(path)
                )
            text = read_text(path)
            try:
                check_text(text, partial=name)
            except PromptError as error:
                raise SourceError(error.code, error.message, path=str(path), line=error.line, hint=error.hint) from None
            partials[name] = (text, str(path))
        return partials

    def _prompt(self, file: PromptFile, partials: dict[str, tuple[str, str]]) -> tuple[PromptContent, list[str]]:
        texts = {name: text for name, (text, _) in partials.items()}
        declared = self._fields.get("variables")
        prompt = PromptContent(messages=file.messages, variables={})
        try:
            used = included_partials(prompt, texts)
            inlined = inline_partials(prompt, texts)
        except PromptError as error:
            raise _located(error, file, partials) from None
        try:
            report = variables_schema(inlined, None if declared is None else read_variables(declared))
        except PromptError as error:
            # Lines of the inlined text are lines of no file; where nothing was inlined, they are the message's.
            raise _located(error, file, partials, exact=not used) from None
        warnings = [] if declared is None else [f"{declared.path}:{declared.line}: {text}" for text in report.warnings]
        warnings += [f"{partials[name][1]}: no prompt includes this partial" for name in partials if name not in used]
        return msgspec.structs.replace(prompt, variables=report.schema), warnings

    def _optional(self, feature: str, file: PromptFile, path: Path) -> list[NamedContent]:
        found: list[NamedContent] = []
        tools = self._files.document(self._fields.get("tools"), _TOOLS_PATTERNS)
        if tools is not None:
            found.append(NamedContent(kind="tools", name=feature, content=read_tools(tools), path=tools.path))
        schema = self._files.document(self._fields.get("schema"), _SCHEMA_PATTERNS)
        if schema is not None and file.schema is not None:
            raise schema.error("schema_twice", f"a response schema is given here and in {path.name}", hint="keep one")
        content: SchemaContent | None = file.schema
        if schema is not None:
            if "response_format" in file.parameters:
                raise schema.error("schema_twice", f"{path.name} asks for `json_object`, but here is a schema")
            content = read_response_schema(schema, name=feature.replace(".", "_"), strict=True)
        if content is not None:
            source = str(path) if schema is None else schema.path
            found.append(NamedContent(kind="schema", name=feature, content=content, path=source))
        adapter = self._fields.get("adapter")
        if adapter is not None:
            found.append(NamedContent(kind="adapter", name=feature, content=_adapter(adapter), path=adapter.path))
        return found


def _silent_fallbacks(artifacts: list[NamedContent]) -> list[str]:
    """Fallbacks that can hardly ever answer, for the API they are called by wants what few callers send."""
    return [
        f"{named.path}: {named.name} pins no `max_tokens`, and Anthropic requires it: it is passed over unless callers "
        "send one"
        for named in artifacts
        if isinstance(named.content, ModelContent)
        and named.name.startswith("fallback-")
        and named.content.called_by == "messages"
        and not named.content.parameters.keys() & {"max_tokens", "max_completion_tokens"}
    ]


def _plan(path: Path) -> bytes:
    data = read_bytes(path)
    decode_text(data, str(path))
    return data


def _adapter(node: Node) -> AdapterContent:
    fields = node.fields(["output"], required=["output"])
    for step in fields["output"].items():
        if step.text() not in _OUTPUT_STEPS:
            raise step.error(
                "unknown_step", f"there is no output step `{step.value}`", hint=nearest(step.text(), _OUTPUT_STEPS)
            )
    return AdapterContent(output=fields["output"].plain())


def _named(kind: ArtifactKind, name: str, content: Content, path: Path) -> NamedContent:
    return NamedContent(kind=kind, name=name, content=content, path=str(path))


def _located(
    error: PromptError, file: PromptFile, partials: dict[str, tuple[str, str]], *, exact: bool = True
) -> SourceError:
    """The same error, at its place in a file."""
    if error.partial is not None:
        path, line = partials[error.partial][1], error.line
    else:
        node = file.contents[error.message_index or 0]
        path, line = node.path, node.line_of_text(error.line) if exact else node.line
    return SourceError(error.code, error.message, path=path, line=line, hint=error.hint)
