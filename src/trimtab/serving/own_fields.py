"""What one generation has for itself, and its arm and team have not in common (`serving.plain_recorder`)."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["OwnFields"]


class OwnFields(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of a generation that are its own, named as in `events.Generation`."""

    id: str
    at_ms: int
    unit: str
    served_model: str
    latency_ms: float
    first_token_ms: float
    input_tokens: int
    output_tokens: int
    cost_usd: float
    finish_reason: str
    messages: list[dict[str, Any]] = []
    output: str = ""
    tool_calls: list[dict[str, Any]] = []
    variables: dict[str, Any] = {}
    attributes: dict[str, str] = {}
    trace: str = ""
    parent_span: str = ""
    unsampled: bool = False
