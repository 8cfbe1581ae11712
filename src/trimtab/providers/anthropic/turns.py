"""Chat messages as the `system` and the turns of a Messages request.

Turns alternate: tool results, which chat sends one message each, become one user turn with the text that follows, and
so do any messages of the same role (the API itself joins them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import InputError
from trimtab.providers.openai.fields import CALL_INDEX, PARSED_ARGUMENTS, PARSED_CONTENT
from trimtab.providers.strictness import (
    NOTHING,
    items_of,
    object_of,
    refuse_other_fields,
    text_of,
    uncarried,
    unknown_field,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["turns_from_chat"]

_NAME = "the Messages API has no names of participants"
_BREAKPOINT = {"prompt_cache_breakpoint": "its lifetimes are not those of Anthropic's `cache_control`"}
_OLD_CALLS = "the Messages API knows tools, not functions; use `tool_calls`"
_FIELDS = frozenset({"content", "role"})
_ASSISTANT_FIELDS = _FIELDS | {"tool_calls", PARSED_CONTENT}
_TOOL_FIELDS = _FIELDS | {"tool_call_id"}
_UNCARRIED_IN_ASSISTANT = {
    "annotations": "annotations of chat are not Anthropic's citations",
    "audio": "the Messages API has no audio",
    "function_call": _OLD_CALLS,
    "name": _NAME,
    "refusal": "the Messages API does not mark a turn as refused; send the text as `content`",
}
_UNCARRIED_IN_OTHERS = {"name": _NAME}
_TEXT_FIELDS = frozenset({"text", "type"})
_IMAGE_FIELDS = frozenset({"image_url", "type"})
_CALL_FIELDS = frozenset({"function", "id", "type", CALL_INDEX})
_FUNCTION_FIELDS = frozenset({"arguments", "name", PARSED_ARGUMENTS})
_UNCARRIED_PARTS = {
    "file": "files of chat have no exact counterpart",
    "input_audio": "the Messages API has no audio",
    "refusal": "the Messages API does not mark text as a refusal",
}
_IMAGE_TYPES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
_decode = msgspec.json.decode


def turns_from_chat(messages: Sequence[Any], *, at: str) -> tuple[str | list[dict[str, Any]], list[dict[str, Any]]]:
    """Return `system` (empty where there is none) and the turns of chat messages.

    Raises `InputError`, `param` naming the place below `at`: `cannot_carry`, `unknown_field`, `invalid_type`.
    """
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for index, value in enumerate(messages):
        where = f"{at}[{index}]"
        message = object_of(value, where)
        role = message.get("role")
        if role in ("system", "developer"):
            if turns:
                raise uncarried(
                    f"{where}.role",
                    why="Anthropic takes system messages only before the first user or assistant message",
                    hint="move it to the front",
                )
            refuse_other_fields(message, _FIELDS, why=_UNCARRIED_IN_OTHERS, at=where)
            system += _blocks(_text_content(message.get("content"), f"{where}.content"))
            continue
        translate = _ROLES.get(role) if isinstance(role, str) else None
        if translate is None:
            raise _wrong_role(role, where)
        _append(turns, *translate(message, where))
    return (system[0]["text"] if len(system) == 1 else system or ""), turns


def _append(turns: list[dict[str, Any]], role: str, content: str | list[dict[str, Any]]) -> None:
    last = turns[-1] if turns else None
    if last is None or last["role"] != role:
        turns.append({"role": role, "content": content})
        return
    if isinstance(last["content"], str):
        last["content"] = _blocks(last["content"])
    last["content"] += _blocks(content)


def _blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


def _user(message: dict[str, Any], where: str) -> tuple[str, str | list[dict[str, Any]]]:
    refuse_other_fields(message, _FIELDS, why=_UNCARRIED_IN_OTHERS, at=where)
    content = message.get("content")
    return "user", content if isinstance(content, str) else _parts(content, f"{where}.content", _USER_PARTS)


def _assistant(message: dict[str, Any], where: str) -> tuple[str, str | list[dict[str, Any]]]:
    refuse_other_fields(message, _ASSISTANT_FIELDS, why=_UNCARRIED_IN_ASSISTANT, at=where)
    content = message.get("content")
    text = "" if content is None else _text_content(content, f"{where}.content")
    calls = message.get("tool_calls")
    if not calls:
        return "assistant", text
    at = f"{where}.tool_calls"
    uses = [_tool_use(call, f"{at}[{index}]") for index, call in enumerate(items_of(calls, at))]
    return "assistant", _blocks(text) + uses


def _tool(message: dict[str, Any], where: str) -> tuple[str, list[dict[str, Any]]]:
    refuse_other_fields(message, _TOOL_FIELDS, why=_UNCARRIED_IN_OTHERS, at=where)
    call = text_of(message.get("tool_call_id"), f"{where}.tool_call_id")
    content = _text_content(message.get("content"), f"{where}.content")
    return "user", [{"type": "tool_result", "tool_use_id": call, "content": content}]


_ROLES: dict[str, Callable[[dict[str, Any], str], tuple[str, str | list[dict[str, Any]]]]] = {
    "assistant": _assistant,
    "tool": _tool,
    "user": _user,
}


def _wrong_role(role: Any, where: str) -> InputError:  # noqa: ANN401 - any JSON value
    if role == "function":
        return uncarried(f"{where}.role", why=_OLD_CALLS, hint="send results with the role `tool`")
    return InputError("invalid_type", f"`{role}` is no role of a message", param=f"{where}.role")


def _text_content(content: Any, at: str) -> str | list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    return content if isinstance(content, str) else _parts(content, at, _TEXT_PARTS)


def _parts(content: Any, at: str, known: Mapping[str, Callable[..., dict[str, Any]]]) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    parts: Iterable[Any] = items_of(content, at)
    blocks = []
    for index, value in enumerate(parts):
        where = f"{at}[{index}]"
        part = object_of(value, where)
        kind = part.get("type")
        translate = known.get(kind) if isinstance(kind, str) else None
        if translate is None:
            raise _wrong_part(kind, where)
        blocks.append(translate(part, where))
    return blocks


def _wrong_part(kind: Any, where: str) -> InputError:  # noqa: ANN401 - any JSON value
    if not isinstance(kind, str):
        return InputError("invalid_type", "a content part needs a `type`", param=f"{where}.type")
    if kind in _UNCARRIED_PARTS:
        return uncarried(f"{where}.{kind}", why=_UNCARRIED_PARTS[kind])
    if kind in _USER_PARTS:
        return uncarried(f"{where}.{kind}", why="only text can stand here")
    return unknown_field(kind, {*_USER_PARTS, *_UNCARRIED_PARTS}, at=where)


def _text(part: dict[str, Any], where: str) -> dict[str, Any]:
    refuse_other_fields(part, _TEXT_FIELDS, why=_BREAKPOINT, at=where)
    return {"type": "text", "text": text_of(part.get("text"), f"{where}.text")}


def _image(part: dict[str, Any], where: str) -> dict[str, Any]:
    refuse_other_fields(part, _IMAGE_FIELDS, why=_BREAKPOINT, at=where)
    at = f"{where}.image_url"
    image = object_of(part.get("image_url"), at)
    refuse_other_fields(image, frozenset({"detail", "url"}), why=NOTHING, at=at)
    if image.get("detail") not in (None, "auto"):
        raise uncarried(f"{at}.detail", why="the Messages API sees an image at one level of detail")
    return {"type": "image", "source": _source(text_of(image.get("url"), f"{at}.url"), f"{at}.url")}


def _source(url: str, at: str) -> dict[str, Any]:
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    head, comma, data = url.partition(",")
    media_type, _, encoding = head.removeprefix("data:").partition(";")
    if not (comma and head.startswith("data:") and encoding == "base64"):
        raise uncarried(at, why="the Messages API takes https: URLs and base64 data: URLs of images")
    if media_type not in _IMAGE_TYPES:
        raise uncarried(at, why=f"`{media_type}` is none of the image types that the Messages API takes")
    return {"type": "base64", "media_type": media_type, "data": data}


_TEXT_PARTS: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {"text": _text}
_USER_PARTS: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {"text": _text, "image_url": _image}


def _tool_use(value: Any, where: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    call = object_of(value, where)
    if call.get("type", "function") != "function":
        raise uncarried(f"{where}.type", why="the Messages API knows chat's `function` calls alone")
    refuse_other_fields(call, _CALL_FIELDS, at=where)
    at = f"{where}.function"
    function = object_of(call.get("function"), at)
    refuse_other_fields(function, _FUNCTION_FIELDS, at=at)
    arguments = text_of(function.get("arguments"), f"{at}.arguments")
    try:
        given = _decode(arguments) if arguments else {}
    except msgspec.DecodeError:
        given = None
    if not isinstance(given, dict):
        raise uncarried(f"{at}.arguments", why="the Messages API takes a JSON object and nothing else")
    return {
        "type": "tool_use",
        "id": text_of(call.get("id"), f"{where}.id"),
        "name": text_of(function.get("name"), f"{at}.name"),
        "input": given,
    }
