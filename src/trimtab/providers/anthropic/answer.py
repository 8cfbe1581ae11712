"""The facts of a Messages answer, and what a release does to its text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.output_steps import apply_output_adapters
from trimtab.core.errors import UpstreamError
from trimtab.providers.anthropic.wire import UNREADABLE, decode_message, tool_call
from trimtab.serving.generation import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["adapt_answer", "read_answer"]


def read_answer(body: bytes) -> Answer:
    """Return the facts of a message: its text blocks joined, its tool uses, all of its input tokens.

    Raises `UpstreamError` (`upstream_malformed`) where `body` is no message.
    """
    message = decode_message(body)
    calls = [
        tool_call(block.id, block.name, msgspec.json.encode(block.input).decode())
        for block in message.content
        if block.type == "tool_use"
    ]
    return Answer(
        "".join([block.text for block in message.content if block.type == "text"]),
        calls,
        message.stop_reason or "",
        message.model,
        message.usage.all_input_tokens,
        message.usage.output_tokens or 0,
    )


def adapt_answer(body: bytes, steps: Sequence[str]) -> bytes:
    """Return a message with every text block adapted; unchanged bytes where nothing changes.

    Raises `UpstreamError` (`upstream_malformed`) where `body` is no message.
    """
    if not steps:
        return body
    try:
        message: dict[str, Any] = msgspec.json.decode(body)
        changed = False
        for block in message["content"]:
            if block["type"] == "text" and (adapted := apply_output_adapters(block["text"], steps)) != block["text"]:
                block["text"] = adapted
                changed = True
    except (*UNREADABLE, AttributeError, KeyError, TypeError) as error:
        raise UpstreamError("upstream_malformed", f"the upstream's answer is no message: {error}") from error
    return msgspec.json.encode(message) if changed else body
