"""A release and a caller's arguments become one chat completions request. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import InputError
from trimtab.sdk.request import carry_unknown, refuse_pinned, uncarried

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.artifacts.model import SchemaContent, ToolsContent
    from trimtab.releases.model import CompiledRelease

__all__ = ["ChatRequest", "merge_chat_request", "openai_response_format", "openai_tools", "openai_unit"]

_ALIASES = {"max_tokens": ("max_completion_tokens",), "max_completion_tokens": ("max_tokens",)}


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent, and what the caller must not see of it."""

    arguments: dict[str, Any]
    """Keyword arguments of `chat.completions.create`."""
    usage_is_ours: bool
    """Whether the usage chunk at the end of a stream was asked for by Trimtab and not by the caller."""


def merge_chat_request(
    release: CompiledRelease,
    prompt: Sequence[Mapping[str, Any]],
    caller: Mapping[str, Any],
    *,
    accepted: frozenset[str],
) -> ChatRequest:
    """Return the request: the release's model, prompt, parameters, tools and schema, and what the caller adds.

    The caller's messages follow the prompt. Raises `InputError`: `pinned_parameter` names an argument that the
    release pins; `cannot_carry` names what this client cannot send; `missing_messages` where there is nothing to say.
    `accepted` holds the parameters that the installed client knows; others travel in `extra_body`.
    """
    label = f"{release.feature}#{release.number}"
    if release.model.provider == "anthropic":
        raise uncarried(
            "model.provider",
            why=f"{label} is served by Anthropic, and this is an OpenAI client",
            hint="call the feature through a wrapped Anthropic client",
        )
    refuse_pinned(caller, _pinned_names(release), release=label)
    refuse_pinned({"extra_body": caller.get("extra_body")}, ["model", "messages"], release=label)
    arguments = {name: value for name, value in caller.items() if name not in {"model", "messages"}}
    arguments |= release.model.parameters
    arguments["model"] = release.model.model
    arguments["messages"] = [*prompt, *(caller.get("messages") or ())]
    if not arguments["messages"]:
        raise InputError(
            "missing_messages",
            f"{label} has no prompt messages and the call brings none",
            param="messages",
            hint="pass `messages`, or add messages to the prompt",
        )
    if release.tools is not None:
        arguments["tools"] = openai_tools(release.tools)
    if release.schema is not None:
        arguments["response_format"] = openai_response_format(release.schema)
    usage_is_ours = bool(arguments.get("stream")) and not (arguments.get("stream_options") or {}).get("include_usage")
    if usage_is_ours:
        arguments["stream_options"] = {**(arguments.get("stream_options") or {}), "include_usage": True}
    return ChatRequest(arguments=carry_unknown(arguments, accepted=accepted), usage_is_ours=usage_is_ours)


def _pinned_names(release: CompiledRelease) -> list[str]:
    names = [alias for name in release.model.parameters for alias in (name, *_ALIASES.get(name, ()))]
    if release.tools is not None:
        names += ["tools", "functions"]
    if release.schema is not None:
        names.append("response_format")
    return names


def openai_tools(tools: ToolsContent) -> list[dict[str, Any]]:
    """Return the tools in the shape of the chat completions API."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                **({"description": tool.description} if tool.description else {}),
                "parameters": tool.parameters or {"type": "object", "properties": {}},
                **({"strict": True} if tool.strict else {}),
            },
        }
        for tool in tools.tools
    ]


def openai_response_format(schema: SchemaContent) -> dict[str, Any]:
    """Return the response format in the shape of the chat completions API."""
    return {
        "type": "json_schema",
        "json_schema": {"name": schema.name, "schema": schema.schema, "strict": schema.strict},
    }


def openai_unit(caller: Mapping[str, Any]) -> str:
    """Return the caller's own user field, empty where it gave none."""
    value = caller.get("user") or caller.get("safety_identifier")
    return value if isinstance(value, str) else ""
