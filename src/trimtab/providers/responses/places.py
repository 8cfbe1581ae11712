"""Where in a caller's Responses body something stands that an error names in its translation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from trimtab.providers.responses.items_to_chat import INSTRUCTING, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["place_in_input", "place_of_instruction"]

_CALL = re.compile(r"\.tool_calls\[(\d+)\]")
_PLACE = re.compile(r"messages\[(\d+)\](.*)")
_NAMES = {
    ".function.arguments": ".arguments",
    ".function.name": ".name",
    ".id": ".call_id",
    ".image_url.detail": ".detail",
    ".image_url.url": ".image_url",
    ".file": ".type",
    ".refusal": ".content[0].refusal",
    ".tool_call_id": ".call_id",
}
"""How what stands in a message or call of chat, or in a part of its content, is called in an item."""
_PART = re.compile(r"(\.content\[\d+\])(.*)")


def place_of_instruction(body: Mapping[str, Any]) -> str:
    """Return where a body gives its first system or developer message: the only role that a merge refuses."""
    if body.get("instructions") is not None:
        return "instructions"
    items = body.get("input")
    if isinstance(items, list | tuple):
        for index, item in enumerate(items):
            if isinstance(item, dict) and item.get("role") in INSTRUCTING:
                return f"input[{index}].role"
    return "input"


def place_in_input(param: str, body: Mapping[str, Any]) -> str:
    """Return where in a body stands what `param` names in the chat messages that it was translated to."""
    match = _PLACE.fullmatch(param)
    items = body.get("input")
    if match is None:
        return "input"
    index, below = int(match[1]), match[2]
    if body.get("instructions") is not None:
        index -= 1
    if index < 0:
        return "instructions"
    if not isinstance(items, list | tuple):
        return "input"
    call = _CALL.match(below)
    item = _item_of(items, index, None if call is None else int(call[1]))
    if item is None:
        return "input"
    return f"input[{item}]{_below(below if call is None else below[call.end() :], items[item])}"


def _item_of(items: Sequence[Any], message: int, call: int | None) -> int | None:
    """Return which item became a message of chat, or the call of one; calls join the assistant's message before."""
    index, calls, spoken = -1, 0, False
    for place, item in enumerate(items):
        called = kind_of(item) == "function_call"
        if not (called and spoken):
            index, calls = index + 1, 0
        spoken = called or item.get("role") == "assistant"
        if index == message and call == (calls if called else None):
            return place
        calls += called
    return None


def _below(below: str, item: Mapping[str, Any]) -> str:
    part = _PART.fullmatch(below)
    if part is None:
        named = _NAMES.get(below, below)
        return named.replace(".content", ".output", 1) if "output" in item else named
    content = ".output" if "output" in item else ".content"
    return part[1].replace(".content", content) + (part[2] if part[2] == ".refusal" else _NAMES.get(part[2], part[2]))
