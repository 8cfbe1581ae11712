"""What a model answered, in Trimtab's terms, whichever wire it came over."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Answer"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer, read from one response or reassembled from a stream."""

    served_model: str = ""
    output: str = ""
    tool_calls: list[dict[str, Any]] = []
    """In the shape of the chat completions API, for both wires: `{"id", "type", "function": {"name", "arguments"}}`."""
    finish_reason: str = ""
    """As the provider said it; empty where a stream ended before saying why."""
    input_tokens: int = 0
    output_tokens: int = 0
