"""Prompts and answers between the formats that are recorded and the conventions' messages of parts.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-input-messages.json
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["from_parts", "output_parts", "to_parts"]

_TEXTS = frozenset({"text", "input_text", "output_text", "refusal"})


def to_parts(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return recorded messages (chat, Messages, Responses) as messages of parts; what has no part keeps its form."""
    return [_message(message) for message in messages]


def output_parts(text: str, calls: Sequence[dict[str, Any]], finish_reason: str) -> list[dict[str, Any]]:
    """Return an answer as the one message it is."""
    parts = [{"type": "text", "content": text}] if text else []
    return [{"role": "assistant", "parts": parts + [_call(call) for call in calls], "finish_reason": finish_reason}]


def _message(message: dict[str, Any]) -> dict[str, Any]:
    if "role" not in message:  # an item of Responses: a call, its output, reasoning
        return {"role": "tool" if "output" in message else "assistant", "parts": [_part(message)]}
    role, content = message["role"], message.get("content")
    if role == "tool":
        answer = {"type": "tool_call_response", "id": message.get("tool_call_id", ""), "response": content}
        return {"role": role, "parts": [answer]}
    text = isinstance(content, str)
    parts = [{"type": "text", "content": content}] if text else [_part(one) for one in content or ()]
    return {"role": role, "parts": parts + [_call(call) for call in message.get("tool_calls") or ()]}


def _part(part: Any) -> dict[str, Any]:  # noqa: ANN401, PLR0911 - whatever a caller sent; one return a form
    match part:
        case {"type": kind, "text": str(text)} if kind in _TEXTS:
            return {"type": "text", "content": text}
        case {"type": "tool_use", "id": call, "name": name, "input": given}:
            return {"type": "tool_call", "id": call, "name": name, "arguments": given}
        case {"type": "tool_result", "tool_use_id": call, **rest}:
            return {"type": "tool_call_response", "id": call, "response": rest.get("content")}
        case {"type": "function_call", "call_id": call, "name": name, "arguments": given}:
            return {"type": "tool_call", "id": call, "name": name, "arguments": _json(given)}
        case {"type": "function_call_output", "call_id": call, "output": said}:
            return {"type": "tool_call_response", "id": call, "response": said}
        case {"type": str()}:
            return dict(part)
    return {"type": "text", "content": part if isinstance(part, str) else msgspec.json.encode(part).decode()}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    called = call.get("function", call)
    return {
        "type": "tool_call",
        "id": call.get("id", ""),
        "name": called.get("name", ""),
        "arguments": _json(called.get("arguments")),
    }


def _json(text: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return what a model wrote as JSON, or what it wrote."""
    try:
        return msgspec.json.decode(text) if isinstance(text, str) else text
    except msgspec.DecodeError:
        return text


def from_parts(messages: Iterable[Any]) -> list[dict[str, Any]]:
    """Return messages of parts as chat messages. What already is one stays as it is; other parts keep their form."""
    return [_chat(message) for message in messages if isinstance(message, dict)]


def _chat(message: dict[str, Any]) -> dict[str, Any]:
    parts = message.get("parts")
    if not isinstance(parts, list):
        return message
    content: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    made: dict[str, Any] = {"role": message.get("role", "user")}
    for part in parts:
        match part:
            case {"type": "text", "content": str(text)}:
                content.append({"type": "text", "text": text})
            case {"type": "tool_call"}:
                calls.append(_function(part))
            case {"type": "tool_call_response"}:
                made |= {"role": "tool", "tool_call_id": part.get("id", "")}
                said = part.get("response", part.get("result"))
                content.append({"type": "text", "text": said if isinstance(said, str) else _text(said)})
            case {}:
                content.append(part)
    whole = all(part.get("type") == "text" for part in content)
    made["content"] = "\n".join(part["text"] for part in content) if whole else content
    return {**made, "tool_calls": calls} if calls else made


def _function(part: dict[str, Any]) -> dict[str, Any]:
    given = part.get("arguments")
    function = {"name": part.get("name", ""), "arguments": given if isinstance(given, str) else _text(given)}
    return {"id": part.get("id") or "", "type": "function", "function": function}


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return "" if value is None else msgspec.json.encode(value).decode()
