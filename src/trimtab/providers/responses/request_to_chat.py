"""A caller's Responses request as the chat request that says the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from trimtab.providers.openai.fields import OURS
from trimtab.providers.responses.fields import CHAT_NAMES, RESPONSES_FIELDS, SAYS_NOTHING, UNCARRIED_FIELDS
from trimtab.providers.responses.items_to_chat import chat_messages
from trimtab.providers.responses.places import place_in_input, place_of_instruction
from trimtab.providers.responses.tools import chat_tool, chat_tool_choice
from trimtab.providers.strictness import items_of, object_of, refuse_other_fields, text_of, uncarried

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.core.errors import InputError

__all__ = ["LOGPROBS", "in_responses_words", "to_chat_request"]

LOGPROBS = "message.output_text.logprobs"
"""The one thing to include that chat has too."""
_CARRIED = (RESPONSES_FIELDS | {OURS}) - UNCARRIED_FIELDS.keys()
_UNCARRIED_IN_REASONING = {
    "context": "chat completions have no choice of earlier reasoning",
    "generate_summary": "chat completions return no reasoning",
    "mode": "chat completions have no reasoning modes",
    "summary": "chat completions return no reasoning",
}
_UNCARRIED_IN_CACHE = {
    "comparison_response_id": "chat completions have no cache diagnostics",
    "prewarm": "chat completions always answer",
}
_CACHE_LIFETIME = "30m"
_ROLE = re.compile(r"messages\[\d+\]\.role")
_WRAPPERS = {"response_format": ".json_schema", "tool_choice": ".function", "tools": ".function"}
"""What chat puts around what stands at the top in the Responses API."""


def to_chat_request(body: dict[str, Any]) -> dict[str, Any]:
    """Return the chat request that says what a caller's Responses body says; `model` and `trimtab` stay as they are.

    `instructions` become the first message. A stream asks for its usage, which every stream of the Responses API has.
    Ids and the status `completed` of earlier output are labels and stay behind. A function tool that does not say
    whether it is `strict` does not say so in chat either: chat does not rewrite schemas to make them so.

    Raises `InputError`, `param` in the caller's names: `cannot_carry` for what chat has no place for, `unknown_field`,
    `invalid_type`.
    """
    chat: dict[str, Any] = {}
    if not body.keys() <= _CARRIED:
        said = {name: value for name, value in body.items() if name not in SAYS_NOTHING or value != SAYS_NOTHING[name]}
        refuse_other_fields(said, _CARRIED, why=UNCARRIED_FIELDS)
    for name, value in body.items():
        if value is None or name in UNCARRIED_FIELDS:
            continue
        translate = _TRANSLATIONS.get(name)
        if translate is None:
            chat[name] = value
        else:
            chat |= translate(value)
    instructions = body.get("instructions")
    if instructions is not None:
        first = {"role": "system", "content": text_of(instructions, "instructions")}
        chat["messages"] = [first, *chat.get("messages", ())]
    if chat.get("stream"):
        chat["stream_options"] = {**chat.get("stream_options", {}), "include_usage": True}
    if chat.get("top_logprobs"):
        chat["logprobs"] = True
    elif not chat.get("logprobs"):
        chat.pop("top_logprobs", None)  # none of nothing
    return chat


def in_responses_words(error: InputError, body: dict[str, Any]) -> InputError:
    """Return an error about a translated request (`providers.openai.build_request`) in the words of its caller."""
    param = error.param
    if param is None:
        return error
    head = re.split(r"[.\[]", param, maxsplit=1)[0]
    if head == "messages":
        pinned = _ROLE.fullmatch(param) and error.code == "pinned_field"
        told = place_of_instruction(body) if pinned else place_in_input(param, body)
    else:
        wrapper, tail = _WRAPPERS.get(head), param[len(head) :]
        told = CHAT_NAMES.get(head, head) + (tail.replace(wrapper, "", 1) if wrapper else tail)
    if told == param:
        return error
    message = error.message.replace(f"`{param}`", f"`{told}`").replace(f"`{head}`", f"`{CHAT_NAMES.get(head, head)}`")
    hint = error.hint and error.hint.replace(f"`{param}`", f"`{told}`")
    return type(error)(error.code, message, param=told, hint=hint)


def _same(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {name: value}


def _include(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    wanted = items_of(value, "include")
    for index, name in enumerate(wanted):
        if name != LOGPROBS:
            raise uncarried(
                f"include[{index}]",
                why=f"chat completions have nothing like `{name}`",
                hint=f"`{LOGPROBS}` is the one thing that can be included",
            )
    return {"logprobs": True} if wanted else {}


def _prompt_cache_options(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    at = "prompt_cache_options"
    options = {name: item for name, item in object_of(value, at).items() if (name, item) != ("prewarm", False)}
    refuse_other_fields(options, frozenset({"mode", "ttl"}), why=_UNCARRIED_IN_CACHE, at=at)
    if options.get("ttl") not in (None, _CACHE_LIFETIME):
        raise uncarried(f"{at}.ttl", why=f"chat completions know `{_CACHE_LIFETIME}` alone")
    return {at: {name: item for name, item in options.items() if name in ("mode", "ttl")}}


def _reasoning(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    reasoning = object_of(value, "reasoning")
    refuse_other_fields(reasoning, frozenset({"effort"}), why=_UNCARRIED_IN_REASONING, at="reasoning")
    effort = reasoning.get("effort")
    return {} if effort is None else {"reasoning_effort": text_of(effort, "reasoning.effort")}


def _service_tier(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    if value == "ultrafast":
        raise uncarried("service_tier", why="chat completions have no tier `ultrafast`")
    return {"service_tier": value}


def _stream_options(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    options = object_of(value, "stream_options")
    refuse_other_fields(options, frozenset({"include_obfuscation"}), at="stream_options")
    return {"stream_options": dict(options)} if options else {}


def _text(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    text = object_of(value, "text")
    refuse_other_fields(text, frozenset({"format", "verbosity"}), at="text")
    chat: dict[str, Any] = {}
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    if text.get("format") is not None:
        chat["response_format"] = _format(object_of(text["format"], "text.format"))
    return chat


def _format(wanted: dict[str, Any]) -> dict[str, Any]:
    at = "text.format"
    kind = wanted.get("type")
    if kind in ("text", "json_object"):
        refuse_other_fields(wanted, frozenset({"type"}), at=at)
        return {"type": kind}
    if kind != "json_schema":
        raise uncarried(f"{at}.type", why=f"`{kind}` is no format of chat completions")
    refuse_other_fields(wanted, frozenset({"description", "name", "schema", "strict", "type"}), at=at)
    text_of(wanted.get("name"), f"{at}.name")
    object_of(wanted.get("schema"), f"{at}.schema")
    schema = {name: value for name, value in wanted.items() if name != "type" and value is not None}
    return {"type": kind, "json_schema": schema}


def _tools(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"tools": [chat_tool(tool, f"tools[{index}]") for index, tool in enumerate(items_of(value, "tools"))]}


_TRANSLATIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "include": _include,
    "input": lambda value: {"messages": chat_messages(value)},
    "instructions": lambda _value: {},  # the first message; see to_chat_request
    "max_output_tokens": _same("max_completion_tokens"),
    "prompt_cache_options": _prompt_cache_options,
    "reasoning": _reasoning,
    "service_tier": _service_tier,
    "stream_options": _stream_options,
    "text": _text,
    "tool_choice": lambda value: {"tool_choice": chat_tool_choice(value)},
    "tools": _tools,
}
"""Every other field that is carried has the same name and meaning in both APIs."""
