"""A caller's Messages request as the chat request that says the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from trimtab.providers.anthropic.fields import CHAT_NAMES, MESSAGES_FIELDS, UNCARRIED_FIELDS
from trimtab.providers.anthropic.messages_to_chat import chat_messages, system_message
from trimtab.providers.anthropic.parameters import EFFORTS
from trimtab.providers.openai.fields import OURS
from trimtab.providers.strictness import (
    items_of,
    object_of,
    refuse_other_fields,
    text_of,
    truth_of,
    uncarried,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.core.errors import InputError

__all__ = ["in_messages_words", "to_chat_request"]

_CARRIED = (MESSAGES_FIELDS | {OURS}) - UNCARRIED_FIELDS.keys()
_SCHEMA_NAME = "response"
"""Chat wants a schema to have a name, and the Messages API gives it none."""
_TOOL_FIELDS = frozenset({"description", "input_schema", "name", "strict", "type"})
_UNCARRIED_IN_TOOLS = {
    "allowed_callers": "the tools of chat are called by the model alone",
    "cache_control": "chat completions have no cache breakpoints on tools",
    "defer_loading": "the tools of chat are always loaded",
    "eager_input_streaming": "chat completions cannot hold tool input back until it is whole",
    "input_examples": "the tools of chat have no examples; describe them",
}
_CHOICES = {"any": "required", "auto": "auto", "none": "none"}
_ROLE = re.compile(r"messages\[\d+\]\.role")


def to_chat_request(body: dict[str, Any]) -> dict[str, Any]:
    """Return the chat request that says what a caller's Messages body says; `model` and `trimtab` stay as they are.

    `max_tokens` becomes `max_completion_tokens`: both count what a model thinks. A stream asks for its usage, which
    every stream of messages has. Raises `InputError`, `param` in the caller's names: `cannot_carry` for what chat has
    no place for, `unknown_field`, `invalid_type`.
    """
    refuse_other_fields(body, _CARRIED, why=UNCARRIED_FIELDS)
    chat: dict[str, Any] = {}
    for name, value in body.items():
        if value is None or name in UNCARRIED_FIELDS:
            continue
        translate = _TRANSLATIONS.get(name)
        if translate is None:
            chat[name] = value
        else:
            chat |= translate(value)
    system = body.get("system")
    if system not in (None, "", []):
        chat["messages"] = [system_message(system), *chat.get("messages", ())]
    return chat


def in_messages_words(error: InputError, body: dict[str, Any]) -> InputError:
    """Return an error about a translated request (`providers.openai.build_request`) in the words of its caller."""
    param = error.param
    if param is None:
        return error
    head = param.split(".", 1)[0].split("[", 1)[0]
    if _ROLE.fullmatch(param):
        told = _system_of(body)
    elif head in CHAT_NAMES:
        told = CHAT_NAMES[head]
    else:
        return error
    if told == param:
        return error
    message = error.message.replace(f"`{param}`", f"`{told}`").replace(f"`{head}`", f"`{told}`")
    hint = error.hint and error.hint.replace(f"`{param}`", f"`{told}`")
    return type(error)(error.code, message, param=told, hint=hint)


def _system_of(body: dict[str, Any]) -> str:
    """Where the caller gave the first system message: the only role that a merge refuses."""
    if body.get("system"):
        return "system"
    messages = body.get("messages") or ()
    return next(
        (f"messages[{index}].role" for index, message in enumerate(messages) if message["role"] == "system"), "system"
    )


def _same(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {name: value}


def _messages(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"messages": chat_messages(items_of(value, "messages"))}


def _stream(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"stream": value, "stream_options": {"include_usage": True}} if value else {"stream": value}


def _metadata(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    metadata = object_of(value, "metadata")
    refuse_other_fields(metadata, frozenset({"user_id"}), at="metadata")
    user = metadata.get("user_id")
    return {} if user is None else {"user": text_of(user, "metadata.user_id")}


def _output_config(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    config = object_of(value, "output_config")
    refuse_other_fields(
        config,
        frozenset({"effort", "format"}),
        why={"task_budget": "chat completions have no budget for a task"},
        at="output_config",
    )
    chat: dict[str, Any] = {}
    if (effort := config.get("effort")) is not None:
        if not isinstance(effort, str) or effort not in EFFORTS:
            raise uncarried("output_config.effort", why=f"`{effort}` is no effort of chat completions")
        chat["reasoning_effort"] = effort
    if config.get("format") is not None:
        at = "output_config.format"
        wanted = object_of(config["format"], at)
        refuse_other_fields(wanted, frozenset({"schema", "type"}), at=at)
        if wanted.get("type") != "json_schema":
            raise uncarried(f"{at}.type", why="`json_schema` is the one format that both APIs know")
        schema = object_of(wanted.get("schema"), f"{at}.schema")
        named = {"name": _SCHEMA_NAME, "schema": schema, "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": named}
    return chat


def _tools(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"tools": [_tool(tool, f"tools[{index}]") for index, tool in enumerate(items_of(value, "tools"))]}


def _tool(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    tool = object_of(value, at)
    if tool.get("type") not in (None, "custom"):
        raise uncarried(f"{at}.type", why=f"chat completions have no tool `{tool['type']}`")
    if tool.get("eager_input_streaming") is True:  # as chat streams the input of every tool
        tool = {name: said for name, said in tool.items() if name != "eager_input_streaming"}
    refuse_other_fields(tool, _TOOL_FIELDS, why=_UNCARRIED_IN_TOOLS, at=at)
    function: dict[str, Any] = {"name": text_of(tool.get("name"), f"{at}.name")}
    if tool.get("description") not in (None, ""):
        function["description"] = tool["description"]
    function["parameters"] = object_of(tool.get("input_schema"), f"{at}.input_schema")
    if tool.get("strict") is not None:
        function["strict"] = tool["strict"]
    return {"type": "function", "function": function}


def _tool_choice(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    at = "tool_choice"
    choice = object_of(value, at)
    kind = choice.get("type")
    chat: dict[str, Any] = {}
    if kind == "tool":
        refuse_other_fields(choice, frozenset({"disable_parallel_tool_use", "name", "type"}), at=at)
        chat[at] = {"type": "function", "function": {"name": text_of(choice.get("name"), f"{at}.name")}}
    elif isinstance(kind, str) and kind in _CHOICES:
        refuse_other_fields(choice, frozenset({"disable_parallel_tool_use", "type"}), at=at)
        chat[at] = _CHOICES[kind]
    else:
        raise uncarried(f"{at}.type", why=f"`{kind}` has no counterpart in chat completions")
    disabled = choice.get("disable_parallel_tool_use")
    if disabled is not None:
        chat["parallel_tool_calls"] = not truth_of(disabled, f"{at}.disable_parallel_tool_use")
    return chat


_TRANSLATIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "max_tokens": _same("max_completion_tokens"),
    "messages": _messages,
    "metadata": _metadata,
    "output_config": _output_config,
    "stop_sequences": _same("stop"),
    "stream": _stream,
    "system": lambda _value: {},  # the first message; see to_chat_request
    "tool_choice": _tool_choice,
    "tools": _tools,
}
"""Every other field that is carried has the same name and meaning in both APIs."""
