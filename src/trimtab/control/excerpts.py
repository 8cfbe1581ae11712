"""What of a generation is worth showing beside a verdict: the end of what was asked, the beginning of the answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.events import Generation

__all__ = ["ends_with", "input_of", "is_captured", "output_of", "starts_with", "words_of"]

_WORD = re.compile(r"\w+")


def is_captured(generation: Generation) -> bool:
    """Return whether anything of the content was kept."""
    return bool(generation.messages or generation.output or generation.variables or generation.tool_calls)


def input_of(generation: Generation) -> str:
    """Return what was asked last: the text of the last message, else the variables."""
    if generation.messages:
        return _text(generation.messages[-1].get("content"))
    return msgspec.json.encode(generation.variables).decode() if generation.variables else ""


def output_of(generation: Generation) -> str:
    """Return the answer's text and the tools that it asked for."""
    calls = [_call(call) for call in generation.tool_calls]
    return "\n".join(part for part in (generation.output, *calls) if part)


def ends_with(text: str, most: int) -> str:
    """Return the end of a text, cut at a word where one begins near; `most` characters at most."""
    text = text.strip()
    if len(text) <= most:
        return text
    cut = text[1 - most :]
    space = cut.find(" ", 0, most // 4)
    return "…" + cut[space + 1 :]


def starts_with(text: str, most: int) -> str:
    """Return the beginning of a text, cut at a word where one ends near; `most` characters at most."""
    text = text.strip()
    if len(text) <= most:
        return text
    space = text.rfind(" ", 3 * most // 4, most)
    return text[: most - 1 if space < 0 else space] + "…"


def words_of(text: str) -> frozenset[str]:
    """Return the distinct words of a text, to compare it by."""
    return frozenset(_WORD.findall(text.lower()))


def _text(content: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_part(part) for part in content)
    return "" if content is None else msgspec.json.encode(content).decode()


def _part(part: Any) -> str:  # noqa: ANN401 - any JSON value
    if not isinstance(part, dict):
        return str(part)
    inner: str | Sequence[Any] | None = part.get("text") or part.get("content")
    return _text(inner) if inner else f"[{part.get('type', 'part')}]"


def _call(call: Mapping[str, Any]) -> str:
    function = call.get("function")
    said = function if isinstance(function, dict) else call
    return f"[asks for {said.get('name', 'a tool')}({said.get('arguments', '')})]"
