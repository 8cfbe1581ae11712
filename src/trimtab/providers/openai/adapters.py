"""Output adapters: what a release does to the model's text before the caller sees it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["adapt_completion", "apply_output_adapters"]

_FENCE = re.compile(r"\s*```[^\n`]*\n(?P<inside>.*?)\n?[ \t]*```\s*", re.DOTALL)


def apply_output_adapters(text: str, steps: Sequence[str]) -> str:
    """Return `text` after each step in order.

    `trim` drops white space at both ends. `strip_code_fence` unwraps a text that is one fenced block and nothing
    else; text around the fence means the model said more than the block, and stays.
    """
    for step in steps:
        if step == "trim":
            text = text.strip()
        elif step == "strip_code_fence":
            match = _FENCE.fullmatch(text)
            text = match["inside"] if match and "```" not in match["inside"] else text
    return text


def adapt_completion(body: bytes, steps: Sequence[str]) -> bytes:
    """Return a chat completion with every choice's text adapted; unchanged bytes where nothing changes."""
    if not steps:
        return body
    completion: dict[str, Any] = msgspec.json.decode(body)
    changed = False
    for choice in completion.get("choices") or ():
        message = choice.get("message") or {}
        content = message.get("content")
        if isinstance(content, str) and (adapted := apply_output_adapters(content, steps)) != content:
            message["content"] = adapted
            changed = True
    return msgspec.json.encode(completion) if changed else body
