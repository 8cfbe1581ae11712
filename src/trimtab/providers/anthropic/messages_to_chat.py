"""The turns of a Messages request as chat messages: one turn may become several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import InputError
from trimtab.providers.strictness import (
    items_of,
    object_of,
    refuse_other_fields,
    text_of,
    uncarried,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["chat_messages", "system_message"]

_CACHE = {"cache_control": "chat completions have no cache breakpoints of this kind"}
_CITATIONS = {"citations": "chat completions have no citations of this kind", **_CACHE}
_TEXT_FIELDS = frozenset({"text", "type"})
_IMAGE_FIELDS = frozenset({"source", "type"})
_UNCARRIED_IN_IMAGE = {"transformations": "chat completions have no choice of how images are resized", **_CACHE}
_SOURCE_FIELDS = {"base64": frozenset({"data", "media_type", "type"}), "url": frozenset({"type", "url"})}
_RESULT_FIELDS = frozenset({"content", "is_error", "tool_use_id", "type"})
_USE_FIELDS = frozenset({"caller", "id", "input", "name", "type"})
_TOOLSET = {"toolset_name": "chat completions have no toolsets", **_CACHE}
_UNCARRIED_BLOCKS = {
    "container_upload": "chat completions have no containers",
    "document": "chat completions have no documents of this kind",
    "redacted_thinking": "chat completions take no thinking back",
    "search_result": "chat completions have no search results as content",
    "thinking": "chat completions take no thinking back",
}


def chat_messages(messages: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the chat messages that say what the turns of a Messages request say.

    Raises `InputError`, `param` naming the place: `cannot_carry`, `unknown_field`, `invalid_type`.
    """
    chat: list[dict[str, Any]] = []
    for index, value in enumerate(messages):
        at = f"messages[{index}]"
        message = object_of(value, at)
        refuse_other_fields(message, frozenset({"content", "role"}), at=at)
        content, where = message.get("content"), f"{at}.content"
        match message.get("role"):
            case "user":
                chat += [{"role": "user", "content": content}] if isinstance(content, str) else _user(content, where)
            case "assistant":
                chat.append(_assistant(content, where))
            case "system":
                chat.append({"role": "system", "content": _texts(content, where)})
            case role:
                raise InputError("invalid_type", f"`{role}` is no role of a message", param=f"{at}.role")
    if chat and chat[-1]["role"] == "assistant":
        raise uncarried(
            f"messages[{len(messages) - 1}].role",
            why="Anthropic continues an assistant's last message, chat would answer after it",
            hint="end with a user's message",
        )
    return chat


def system_message(system: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Return `system` as the chat message it is."""
    return {"role": "system", "content": _texts(system, "system")}


def _texts(content: Any, at: str) -> str | list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    """Return text blocks as text parts; one alone is the same as its text."""
    if isinstance(content, str):
        return content
    parts = []
    for index, value in enumerate(items_of(content, at)):
        where = f"{at}[{index}]"
        block = object_of(value, where)
        if block.get("type") != "text":
            raise _wrong_block(block.get("type"), where, why="only text can stand here in chat completions")
        parts.append(_text(block, where))
    return _shortest(parts)


def _shortest(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if not parts:
        return ""
    text: str = parts[0].get("text", "")
    return text if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _text(block: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(block, _TEXT_FIELDS, why=_CITATIONS, at=at)
    return {"type": "text", "text": text_of(block.get("text"), f"{at}.text")}


def _user(content: Any, at: str) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    """Return tool results as messages of their own, in place, and what stands between them as user messages."""
    chat: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for index, value in enumerate(items_of(content, at)):
        where = f"{at}[{index}]"
        block = object_of(value, where)
        match block.get("type"):
            case "text":
                parts.append(_text(block, where))
            case "image":
                parts.append(_image(block, where))
            case "tool_result":
                if parts:
                    chat.append({"role": "user", "content": _shortest(parts)})
                    parts = []
                chat.append(_tool_result(block, where))
            case kind:
                raise _wrong_block(kind, where, why="chat completions have no such block in a user's message")
    if parts or not chat:
        chat.append({"role": "user", "content": _shortest(parts)})
    return chat


def _image(block: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(block, _IMAGE_FIELDS, why=_UNCARRIED_IN_IMAGE, at=at)
    at = f"{at}.source"
    source = object_of(block.get("source"), at)
    kind = source.get("type")
    fields = _SOURCE_FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        raise uncarried(f"{at}.type", why=f"chat completions have no images from `{kind}`")
    refuse_other_fields(source, fields, at=at)
    if kind == "url":
        url = text_of(source.get("url"), f"{at}.url")
    else:
        media_type = text_of(source.get("media_type"), f"{at}.media_type")
        url = f"data:{media_type};base64,{text_of(source.get('data'), f'{at}.data')}"
    return {"type": "image_url", "image_url": {"url": url}}


def _tool_result(block: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(block, _RESULT_FIELDS, why=_TOOLSET, at=at)
    if block.get("is_error"):
        raise uncarried(
            f"{at}.is_error",
            why="chat completions do not mark a tool's result as failed",
            hint="say in the content that the tool failed, and leave `is_error` out",
        )
    content = block.get("content")
    return {
        "role": "tool",
        "tool_call_id": text_of(block.get("tool_use_id"), f"{at}.tool_use_id"),
        "content": "" if content is None else _texts(content, f"{at}.content"),
    }


def _assistant(content: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Return an assistant's turn: chat has its text first and the tool calls after it."""
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for index, value in enumerate(items_of(content, at)):
        where = f"{at}[{index}]"
        block = object_of(value, where)
        match block.get("type"):
            case "text" if calls:
                raise uncarried(where, why="chat completions have no text after a tool call in one message")
            case "text":
                parts.append(_text(block, where))
            case "tool_use":
                calls.append(_tool_call(block, where))
            case kind:
                raise _wrong_block(kind, where, why="chat completions have no such block in an assistant's message")
    message = {"role": "assistant", "content": _shortest(parts) if parts or not calls else None}
    return {**message, "tool_calls": calls} if calls else message


def _tool_call(block: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(block, _USE_FIELDS, why=_TOOLSET, at=at)
    if block.get("caller") not in (None, {"type": "direct"}):
        raise uncarried(f"{at}.caller", why="the tools of chat are called by the model alone")
    arguments = msgspec.json.encode(object_of(block.get("input"), f"{at}.input")).decode()
    return {
        "id": text_of(block.get("id"), f"{at}.id"),
        "type": "function",
        "function": {"name": text_of(block.get("name"), f"{at}.name"), "arguments": arguments},
    }


def _wrong_block(kind: Any, at: str, *, why: str) -> InputError:  # noqa: ANN401 - any JSON value
    if not isinstance(kind, str):
        return InputError("invalid_type", "a content block needs a `type`", param=f"{at}.type")
    return uncarried(f"{at}.type", why=_UNCARRIED_BLOCKS.get(kind, why))
