"""Output adapters on a whole chat completion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.output_steps import apply_output_adapters

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["adapt_completion"]


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
