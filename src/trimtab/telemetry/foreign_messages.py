"""What others tell of prompts and answers, as chat messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from trimtab.telemetry import dialects
from trimtab.telemetry.conventions import GenAi
from trimtab.telemetry.messages import from_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Said", "prompt_of", "said_of"]

_EVENT_ROLES = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}
"""Events of conventions up to 1.36, each a message."""
_MOST_INDEXED = 10_000


class Said(NamedTuple):
    """An answer."""

    text: str
    tool_calls: list[dict[str, Any]]
    finish_reason: str


def prompt_of(told: Mapping[str, Any], events: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the prompt; `told` are a span's attributes, `events` its events' names and attributes."""
    for prefix in dialects.INDEXED_INPUTS:
        if indexed := _indexed(told, prefix):
            return indexed
    for name in dialects.INPUTS:
        if name in told:
            return _instructions(told) + _messages(told[name])
    for name, attributes in events:
        if name in {"gen_ai.content.prompt", "gen_ai.client.inference.operation.details"}:
            return prompt_of(attributes, [])
    return [
        {"role": role, "content": _text(attributes.get("content", attributes.get("gen_ai.event.content")))}
        for name, attributes in events
        if (role := _EVENT_ROLES.get(name))
    ]


def said_of(told: Mapping[str, Any], events: list[tuple[str, dict[str, Any]]]) -> Said:
    """Return the answer."""
    for prefix in dialects.INDEXED_OUTPUTS:
        if indexed := _indexed(told, prefix):
            return _said(indexed)
    for name in dialects.OUTPUTS:
        if name in told:
            return _said(_messages(told[name], role="assistant"))
    for name, attributes in events:
        if name in {"gen_ai.content.completion", "gen_ai.client.inference.operation.details", "gen_ai.choice"}:
            return said_of(attributes, [])
    return Said("", [], "")


def _instructions(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    parts = _json(told.get(GenAi.SYSTEM_INSTRUCTIONS))
    if not parts:
        return []
    if isinstance(parts, list):
        return from_parts([{"role": "system", "parts": parts}])
    return [{"role": "system", "content": _text(parts)}]


def _messages(value: Any, *, role: str = "user") -> list[dict[str, Any]]:  # noqa: ANN401 - whatever was sent
    """Return messages in whatever form: a list of them, one, an object that holds them, or plain text."""
    value = told = _json(value)
    if isinstance(told, dict):
        told = told.get("messages", told.get("choices", [told]))
    if isinstance(told, list) and told and all(isinstance(one, dict) for one in told):
        found = [_unwrapped(one, role) for one in told]
        if all("content" in one or "parts" in one or "tool_calls" in one for one in found):
            return from_parts(found)
    return [{"role": role, "content": _text(value)}] if value not in (None, "", []) else []


def _unwrapped(message: dict[str, Any], role: str) -> dict[str, Any]:
    """Return a message, taken out of a choice of a completion where it is in one."""
    inner = message.get("message")
    if isinstance(inner, dict):
        message = {"finish_reason": message.get("finish_reason", ""), **inner}
    if "text" in message and "content" not in message:
        message = {**message, "content": message["text"]}
    return {"role": role, **message}


def _said(messages: list[dict[str, Any]]) -> Said:
    if not messages:
        return Said("", [], "")
    last = messages[-1]
    calls = last.get("tool_calls")
    reason = last.get("finish_reason")
    return Said(
        _text(last.get("content")),
        [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else [],
        reason if isinstance(reason, str) else "",
    )


def _indexed(told: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Return messages told one attribute a field: `gen_ai.prompt.0.role`, `llm.input_messages.0.message.role`."""
    found: dict[int, dict[str, Any]] = {}
    for name, value in told.items():
        if not name.startswith(prefix + "."):
            continue
        index, _, field = name[len(prefix) + 1 :].partition(".")
        if index.isascii() and index.isdigit() and field and int(index) < _MOST_INDEXED:
            found.setdefault(int(index), {})[field.removeprefix("message.")] = value
    return [_message(found[index]) for index in sorted(found)]


def _message(fields: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"role": _text(fields.get("role", "user")), "content": _text(fields.get("content"))}
    if not made["content"]:
        parts = [fields[name] for name in sorted(fields) if name.endswith("message_content.text")]
        made["content"] = "\n".join(map(_text, parts))
    if "tool_call_id" in fields:
        made["tool_call_id"] = _text(fields["tool_call_id"])
    if isinstance(fields.get("finish_reason"), str):
        made["finish_reason"] = fields["finish_reason"]
    calls: dict[str, dict[str, Any]] = {}
    for name, value in fields.items():
        head, _, rest = name.partition(".")
        if head == "tool_calls":
            index, _, field = rest.partition(".")
            calls.setdefault(index, {})[field.removeprefix("tool_call.").removeprefix("function.")] = value
    if calls:
        made["tool_calls"] = [_call(calls[index]) for index in sorted(calls)]
    return made


def _call(fields: dict[str, Any]) -> dict[str, Any]:
    function = {"name": _text(fields.get("name")), "arguments": _text(fields.get("arguments"))}
    return {"id": _text(fields.get("id")), "type": "function", "function": function}


def _json(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return what is JSON as what it says, and other text as it is."""
    if not isinstance(value, str) or value[:1] not in {"{", "[", '"'}:
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(one, dict) and one.get("type") == "text" for one in value):
        return "\n".join(_text(one.get("text", one.get("content"))) for one in value)
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return str(value)
