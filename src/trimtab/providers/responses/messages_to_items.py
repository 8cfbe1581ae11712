"""Chat messages as the input of a Responses request: one assistant's message may become several items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.core.errors import InputError
from trimtab.providers.openai.fields import CALL_INDEX, PARSED_ARGUMENTS, PARSED_CONTENT
from trimtab.providers.strictness import items_of, object_of, refuse_other_fields, text_of, uncarried

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["instructed", "items_from_chat"]

_NAME = "the Responses API has no names of participants"
_OLD_CALLS = "the Responses API knows tools, not functions; use `tool_calls`"
_BREAKPOINT = "prompt_cache_breakpoint"
_FIELDS = frozenset({"content", "role"})
_ASSISTANT_FIELDS = _FIELDS | {"refusal", "tool_calls", PARSED_CONTENT}
_CALL_FIELDS = frozenset({"function", "id", "type", CALL_INDEX})
_FUNCTION_FIELDS = frozenset({"arguments", "name", PARSED_ARGUMENTS})
_UNCARRIED_IN_ASSISTANT = {
    "annotations": "annotations of chat are not those of the Responses API",
    "audio": "the Responses API has no audio here",
    "function_call": _OLD_CALLS,
    "name": _NAME,
}
_UNCARRIED_IN_OTHERS = {"name": _NAME}
_INSTRUCTING = ("developer", "system")


def items_from_chat(messages: Sequence[Any], *, at: str) -> list[dict[str, Any]]:
    """Return the items that say what chat messages say.

    Raises `InputError`, `param` naming the place below `at`: `cannot_carry`, `invalid_type`, `unknown_field`.
    """
    items: list[dict[str, Any]] = []
    for index, value in enumerate(messages):
        where = f"{at}[{index}]"
        message = object_of(value, where)
        role = message.get("role")
        if role == "assistant":
            items += _assistant(message, where)
        elif role == "tool":
            items.append(_output(message, where))
        elif role == "user" or role in _INSTRUCTING:
            refuse_other_fields(message, _FIELDS, why=_UNCARRIED_IN_OTHERS, at=where)
            parts = _USER_PARTS if role == "user" else _TEXT_PARTS
            items.append({"role": role, "content": _content(message.get("content"), f"{where}.content", parts)})
        elif role == "function":
            raise uncarried(f"{where}.role", why=_OLD_CALLS, hint="send results with the role `tool`")
        else:
            raise InputError("invalid_type", f"`{role}` is no role of a message", param=f"{where}.role")
    return items


def instructed(items: list[dict[str, Any]], *, followed: bool = False) -> tuple[str | None, list[dict[str, Any]]]:
    """Return `instructions` and the other items, where the first is the one system message and something follows.

    The API does not keep `instructions` with a response, so a release's do not pile up in a stored conversation.
    """
    if not items or items[0].get("role") != "system" or not isinstance(items[0]["content"], str):
        return None, items
    follows = items[1].get("role") not in _INSTRUCTING if len(items) > 1 else followed
    if not follows:
        return None, items
    return items[0]["content"], items[1:]


def _assistant(message: dict[str, Any], at: str) -> list[dict[str, Any]]:
    refuse_other_fields(message, _ASSISTANT_FIELDS, why=_UNCARRIED_IN_ASSISTANT, at=at)
    content = message.get("content")
    said = "" if content is None else _content(content, f"{at}.content", _ASSISTANT_PARTS)
    refusal = message.get("refusal")
    if refusal is not None:
        parts = [{"type": "output_text", "text": said}] if said and isinstance(said, str) else said or []
        said = [*parts, {"type": "refusal", "refusal": text_of(refusal, f"{at}.refusal")}]
    calls = message.get("tool_calls") or ()
    where = f"{at}.tool_calls"
    items = [_call(call, f"{where}[{index}]") for index, call in enumerate(items_of(calls, where))]
    return items if items and not said else [{"role": "assistant", "content": said}, *items]


def _call(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    call = object_of(value, at)
    if call.get("type", "function") != "function":
        raise uncarried(f"{at}.type", why="custom tools are not translated; declare a function")
    refuse_other_fields(call, _CALL_FIELDS, at=at)
    function = object_of(call.get("function"), f"{at}.function")
    refuse_other_fields(function, _FUNCTION_FIELDS, at=f"{at}.function")
    return {
        "type": "function_call",
        "call_id": text_of(call.get("id"), f"{at}.id"),
        "name": text_of(function.get("name"), f"{at}.function.name"),
        "arguments": text_of(function.get("arguments"), f"{at}.function.arguments"),
    }


def _output(message: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(message, _FIELDS | {"tool_call_id"}, why=_UNCARRIED_IN_OTHERS, at=at)
    return {
        "type": "function_call_output",
        "call_id": text_of(message.get("tool_call_id"), f"{at}.tool_call_id"),
        "output": _content(message.get("content"), f"{at}.content", _TEXT_PARTS),
    }


def _content(
    value: Any,  # noqa: ANN401 - any JSON value
    at: str,
    known: Mapping[str, Callable[[dict[str, Any], str], dict[str, Any]]],
) -> str | list[dict[str, Any]]:
    if isinstance(value, str):
        return value
    parts = []
    for index, given in enumerate(items_of(value, at)):
        where = f"{at}[{index}]"
        part = object_of(given, where)
        kind = part.get("type")
        if not isinstance(kind, str):
            raise InputError("invalid_type", "a content part needs a `type`", param=f"{where}.type")
        if kind not in known:
            raise uncarried(f"{where}.type", why=f"the Responses API has no `{kind}` here")
        parts.append(known[kind](part, where))
    return parts


def _text(part: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(part, frozenset({_BREAKPOINT, "text", "type"}), at=at)
    return _with_breakpoint(part, {"type": "input_text", "text": text_of(part.get("text"), f"{at}.text")})


def _said(part: dict[str, Any], at: str) -> dict[str, Any]:
    why = {_BREAKPOINT: "the Responses API has no cache breakpoints in what an assistant said"}
    refuse_other_fields(part, frozenset({"text", "type"}), why=why, at=at)
    return {"type": "output_text", "text": text_of(part.get("text"), f"{at}.text")}


def _refusal(part: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(part, frozenset({"refusal", "type"}), at=at)
    return {"type": "refusal", "refusal": text_of(part.get("refusal"), f"{at}.refusal")}


def _image(part: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(part, frozenset({_BREAKPOINT, "image_url", "type"}), at=at)
    where = f"{at}.image_url"
    image = object_of(part.get("image_url"), where)
    refuse_other_fields(image, frozenset({"detail", "url"}), at=where)
    url = text_of(image.get("url"), f"{where}.url")
    translated = {"type": "input_image", "image_url": url, "detail": image.get("detail") or "auto"}
    return _with_breakpoint(part, translated)


def _file(part: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(part, frozenset({_BREAKPOINT, "file", "type"}), at=at)
    file = object_of(part.get("file"), f"{at}.file")
    refuse_other_fields(file, frozenset({"file_data", "file_id", "filename"}), at=f"{at}.file")
    return _with_breakpoint(part, {"type": "input_file", **file})


def _with_breakpoint(part: dict[str, Any], translated: dict[str, Any]) -> dict[str, Any]:
    given = part.get(_BREAKPOINT)
    return translated if given is None else {**translated, _BREAKPOINT: given}


_TEXT_PARTS: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {"text": _text}
_USER_PARTS: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {
    "file": _file,
    "image_url": _image,
    "text": _text,
}
_ASSISTANT_PARTS: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {"refusal": _refusal, "text": _said}
