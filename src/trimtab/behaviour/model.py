"""What goes into a behavioural diff: outputs, pairs of them, and what is expected of every output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

__all__ = ["Expected", "Output", "Pair", "Severity"]

Severity = Literal["breaks", "content", "style", "operations"]
"""What a change does to users: breaks what reads the answer, changes what is said, how it is said, or what it costs."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a model answered, and what was seen of the call. `None` and empty mean that it is not known."""

    text: str = ""
    tool_calls: list[dict[str, Any]] = []
    """As OpenAI writes them (`{"function": {"name", "arguments"}}`), or `{"name", "arguments"}`."""
    finish_reason: str = ""
    """`length` where the answer was cut off."""
    requested_model: str = ""
    served_model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_ms: float | None = None
    first_token_ms: float | None = None
    cost_usd: float | None = None
    score: float | None = None
    """How right it is, in [0, 1]; see `Expected.right_from`."""
    refused: bool | None = None
    """Whether it declines to answer, as a person (or a judge) said: calibrates the rule that detects refusals."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One item, answered before and after the change."""

    item: str
    """Names the item; only the first pair of an item counts, for two of them would not be independent."""
    old: Output
    new: Output
    again: Output | None = None
    """The old one asked once more (A/A): how much differs though nothing changed."""
    slices: dict[str, str] = {}
    """Groups the item is in, such as `{"language": "de"}`."""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a feature; nothing of it is needed."""

    schema: dict[str, Any] | None = None
    """JSON Schema that every text should satisfy."""
    tools: frozenset[str] | None = None
    """Names of the tools a model may call."""
    parser: Callable[[str], object] | None = None
    """The feature's own parser: raises on a text it cannot read."""
    right_from: float = 0.5
    """Score from which an answer counts as right."""
