"""Recognises the format of a file by its name and, for JSON, by what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trimtab.artifacts.files import read_text
from trimtab.artifacts.importers.dotprompt import import_dotprompt
from trimtab.artifacts.importers.langfuse import import_langfuse
from trimtab.artifacts.importers.openai_prompt import import_openai_prompt
from trimtab.artifacts.importers.promptfoo import import_promptfoo
from trimtab.artifacts.importers.prompty import import_prompty
from trimtab.artifacts.json_source import parse_json
from trimtab.core.errors import InputError, SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.artifacts.importers.draft import ImportedPrompt

__all__ = ["FORMATS", "PromptFormat", "detect_format", "import_prompt"]

PromptFormat = Literal["dotprompt", "prompty", "promptfoo", "langfuse", "openai"]
FORMATS: tuple[PromptFormat, ...] = ("dotprompt", "prompty", "promptfoo", "langfuse", "openai")


def import_prompt(
    path: Path,
    format: str = "auto",  # noqa: A002 - the word users know
    *,
    prompt: str | None = None,
    provider: str | None = None,
    model: str | None = None,
) -> ImportedPrompt:
    """Return a feature folder for a prompt file of another tool; it has been read back by `load_feature`.

    `prompt` and `provider` choose where a file holds several; `model` (`provider/model`) is used where it names none.
    Raises `SourceError` with file and line, and `InputError` (`unknown_format`).
    """
    name = detect_format(path) if format == "auto" else format
    match name:
        case "dotprompt":
            return import_dotprompt(path, model=model)
        case "prompty":
            return import_prompty(path, model=model)
        case "promptfoo":
            return import_promptfoo(path, prompt=prompt, provider=provider, model=model)
        case "langfuse":
            return import_langfuse(path, prompt=prompt, model=model)
        case "openai":
            return import_openai_prompt(path, model=model)
        case _:
            raise InputError(
                "unknown_format", f"there is no format `{format}`", param="format", hint=f"known: {', '.join(FORMATS)}"
            )


def detect_format(path: Path) -> PromptFormat:
    """Return the format of a file; raises `SourceError` (`unknown_format`) where it is not clear."""
    match path.suffix.lower():
        case ".prompt":
            return "dotprompt"
        case ".prompty":
            return "prompty"
        case ".yaml" | ".yml" if not path.name.endswith((".prompt.yml", ".prompt.yaml")):
            return "promptfoo"
        case ".json":
            return _json_format(path)
        case _:
            github = path.name.endswith((".prompt.yml", ".prompt.yaml"))
            raise SourceError(
                "unknown_format",
                "this is GitHub's prompt format already" if github else "the format of this file is not clear",
                path=str(path),
                hint="put it into a folder and push that" if github else f"name it: {', '.join(FORMATS)}",
            )


def _json_format(path: Path) -> PromptFormat:
    document = parse_json(read_text(path), str(path))
    fields = document.value if isinstance(document.value, dict) else {}
    identifier = fields.get("id")
    if identifier is not None and str(identifier.value).startswith("pmpt_"):
        return "openai"
    if "data" in fields or "prompt" in fields or isinstance(document.value, list):
        return "langfuse"
    if "instructions" in fields or "input" in fields or "messages" in fields:
        return "openai"
    raise SourceError(
        "unknown_format",
        "this JSON is neither a Langfuse export nor an OpenAI stored prompt",
        path=str(path),
        hint=f"name the format: {', '.join(FORMATS)}",
    )
