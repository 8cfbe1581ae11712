"""The input of a Responses request as chat messages: what an assistant says and the tools it calls are one message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.core.errors import InputError
from trimtab.providers.strictness import items_of, object_of, refuse_other_fields, text_of, uncarried

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["INSTRUCTING", "chat_messages", "kind_of"]

INSTRUCTING = ("developer", "system")
"""Roles that tell the model how to answer."""
_SHARED = frozenset({"id", "status", "type"})
_MESSAGE_FIELDS = _SHARED | {"content", "role"}
_CALL_FIELDS = _SHARED | {"arguments", "call_id", "caller", "name"}
_OUTPUT_FIELDS = _SHARED | {"call_id", "caller", "output"}
_NAMESPACE = {"namespace": "the tools of chat have no namespaces"}
_UNCARRIED_IN_MESSAGES = {"phase": "chat completions do not mark the phases of an answer"}
_UNCARRIED_IN_CALLS = {"async": "the tools of chat are waited for", **_NAMESPACE}
_UNCARRIED_IN_OUTPUTS = {"name": "chat names the call alone", **_NAMESPACE}
_BREAKPOINT = "prompt_cache_breakpoint"
_SEND_ITEMS = "send the item itself; a client that refers by itself sends items once it is told `store: false`"
_UNCARRIED_ITEMS = {
    "compaction": "chat completions do not compact a conversation",
    "custom_tool_call": "custom tools are not translated; declare a function",
    "custom_tool_call_output": "custom tools are not translated; declare a function",
    "item_reference": "chat completions keep no items to refer to",
    "reasoning": "chat completions take no reasoning back",
}


def chat_messages(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    """Return the chat messages that say what the `input` of a Responses request says.

    Raises `InputError`, `param` naming the place: `cannot_carry`, `unknown_field`, `invalid_type`.
    """
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    chat: list[dict[str, Any]] = []
    for index, given in enumerate(items_of(value, "input")):
        at = f"input[{index}]"
        item = object_of(given, at)
        match kind_of(item):
            case "message":
                _add_message(chat, item, at)
            case "function_call":
                _add_call(chat, item, at)
            case "function_call_output":
                chat.append(_output(item, at))
            case kind:
                raise _wrong_item(kind, at)
    return chat


def kind_of(item: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    """Return an item's type; a message need not say that it is one, and neither need a reference."""
    kind = item.get("type")
    if kind is not None:
        return kind
    return "message" if "role" in item else "item_reference" if "id" in item else None


def _wrong_item(kind: Any, at: str) -> InputError:  # noqa: ANN401 - any JSON value
    if not isinstance(kind, str):
        return InputError("invalid_type", "an item needs a `type` or a `role`", param=f"{at}.type")
    why = _UNCARRIED_ITEMS.get(kind, f"chat completions have no items `{kind}`")
    return uncarried(f"{at}.type", why=why, hint=_SEND_ITEMS if kind == "item_reference" else None)


def _check(item: dict[str, Any], at: str, fields: frozenset[str], why: Mapping[str, str]) -> None:
    refuse_other_fields(item, fields, why=why, at=at)
    if item.get("status") not in (None, "completed"):
        raise uncarried(f"{at}.status", why="chat completions do not mark what was left incomplete")
    if item.get("caller") not in (None, {"type": "direct"}):
        raise uncarried(f"{at}.caller", why="the tools of chat are called by the model alone")


def _add_message(chat: list[dict[str, Any]], item: dict[str, Any], at: str) -> None:
    _check(item, at, _MESSAGE_FIELDS, _UNCARRIED_IN_MESSAGES)
    role, content, where = item.get("role"), item.get("content"), f"{at}.content"
    if role == "user":
        chat.append({"role": role, "content": _content(content, where, _USER_PARTS)})
    elif role in INSTRUCTING:
        chat.append({"role": role, "content": _content(content, where, _TEXT_PARTS)})
    elif role == "assistant":
        if chat and "tool_calls" in chat[-1]:
            raise uncarried(at, why="chat completions have nothing said between a tool call and its output")
        chat.append(_assistant(_content(content, where, _ASSISTANT_PARTS)))
    else:
        raise InputError("invalid_type", f"`{role}` is no role of a message", param=f"{at}.role")


def _assistant(content: str | list[dict[str, Any]]) -> dict[str, Any]:
    """A refusal alone has a field of its own in chat."""
    if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "refusal":
        return {"role": "assistant", "content": None, "refusal": content[0]["refusal"]}
    return {"role": "assistant", "content": content}


def _add_call(chat: list[dict[str, Any]], item: dict[str, Any], at: str) -> None:
    _check({**item, "async": item.get("async") or None}, at, _CALL_FIELDS, _UNCARRIED_IN_CALLS)
    if not (chat and chat[-1]["role"] == "assistant"):
        chat.append({"role": "assistant", "content": None})
    call = {
        "id": text_of(item.get("call_id"), f"{at}.call_id"),
        "type": "function",
        "function": {
            "name": text_of(item.get("name"), f"{at}.name"),
            "arguments": text_of(item.get("arguments"), f"{at}.arguments"),
        },
    }
    chat[-1].setdefault("tool_calls", []).append(call)


def _output(item: dict[str, Any], at: str) -> dict[str, Any]:
    _check(item, at, _OUTPUT_FIELDS, _UNCARRIED_IN_OUTPUTS)
    return {
        "role": "tool",
        "tool_call_id": text_of(item.get("call_id"), f"{at}.call_id"),
        "content": _content(item.get("output"), f"{at}.output", _TEXT_PARTS),
    }


def _content(
    value: Any,  # noqa: ANN401 - any JSON value
    at: str,
    known: Mapping[str, Callable[[dict[str, Any], str], dict[str, Any]]],
) -> str | list[dict[str, Any]]:
    """Return content as chat has it; one text alone is the same as its string."""
    if isinstance(value, str):
        return value
    parts = []
    for index, given in enumerate(items_of(value, at)):
        where = f"{at}[{index}]"
        part = object_of(given, where)
        kind = part.get("type")
        translate = known.get(kind) if isinstance(kind, str) else None
        if translate is None:
            raise _wrong_part(kind, where)
        parts.append(translate(part, where))
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0].keys() == {"text", "type"} else parts


def _wrong_part(kind: Any, at: str) -> InputError:  # noqa: ANN401 - any JSON value
    if not isinstance(kind, str):
        return InputError("invalid_type", "a content part needs a `type`", param=f"{at}.type")
    return uncarried(f"{at}.type", why=f"chat completions have no `{kind}` here")


def _text(part: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(part, frozenset({_BREAKPOINT, "text", "type"}), at=at)
    return _with_breakpoint(part, {"type": "text", "text": text_of(part.get("text"), f"{at}.text")})


def _said(part: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(
        part,
        frozenset({"text", "type"}),
        why={
            "annotations": "chat completions take no citations back",
            "logprobs": "chat completions take no log probabilities back",
        },
        at=at,
    )
    return {"type": "text", "text": text_of(part.get("text"), f"{at}.text")}


def _refusal(part: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(part, frozenset({"refusal", "type"}), at=at)
    return {"type": "refusal", "refusal": text_of(part.get("refusal"), f"{at}.refusal")}


def _image(part: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(
        part,
        frozenset({_BREAKPOINT, "detail", "image_url", "type"}),
        why={"file_id": "chat completions take the address or the data of an image"},
        at=at,
    )
    image = {"url": text_of(part.get("image_url"), f"{at}.image_url")}
    if part.get("detail") is not None:
        image["detail"] = part["detail"]
    return _with_breakpoint(part, {"type": "image_url", "image_url": image})


def _file(part: dict[str, Any], at: str) -> dict[str, Any]:
    names = ("file_data", "file_id", "filename")
    refuse_other_fields(
        {name: value for name, value in part.items() if (name, value) != ("detail", "auto")},
        frozenset({_BREAKPOINT, "type", *names}),
        why={
            "detail": "chat completions read a file at one level of detail",
            "file_url": "chat completions take the data or the id of a file",
        },
        at=at,
    )
    file = {name: part[name] for name in names if part.get(name) is not None}
    return _with_breakpoint(part, {"type": "file", "file": file})


def _with_breakpoint(part: dict[str, Any], translated: dict[str, Any]) -> dict[str, Any]:
    given = part.get(_BREAKPOINT)
    return translated if given is None else {**translated, _BREAKPOINT: given}


_TEXT_PARTS: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {"input_text": _text}
_USER_PARTS: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {
    "input_file": _file,
    "input_image": _image,
    "input_text": _text,
}
_ASSISTANT_PARTS: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {
    "input_text": _text,
    "output_text": _said,
    "refusal": _refusal,
}
