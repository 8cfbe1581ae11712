"""A release and a caller's arguments become one Messages request. Pure.

Parameters of a release are in the names of the OpenAI API; the table below says how each travels. What has no place
in the Messages API is an error that names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import InputError
from trimtab.sdk.request import carry_unknown, refuse_pinned, uncarried

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trimtab.artifacts.model import SchemaContent, ToolsContent
    from trimtab.releases.model import CompiledRelease

__all__ = ["MessagesRequest", "anthropic_tools", "anthropic_unit", "merge_messages_request"]


class MessagesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent."""

    arguments: dict[str, Any]
    """Keyword arguments of `messages.create`."""


def merge_messages_request(
    release: CompiledRelease,
    prompt: Sequence[Mapping[str, Any]],
    caller: Mapping[str, Any],
    *,
    accepted: frozenset[str],
) -> MessagesRequest:
    """Return the request: the release's model, prompt, parameters, tools and schema, and what the caller adds.

    System messages of the prompt become `system`, followed by the caller's own; the caller's messages follow the
    prompt's. Raises `InputError`: `pinned_parameter`, `cannot_carry`, `missing_max_tokens`, `missing_messages`, each
    naming the field. `accepted` holds the parameters that the installed client knows; others travel in `extra_body`.
    """
    label = f"{release.feature}#{release.number}"
    if release.model.provider == "openai":
        raise uncarried(
            "model.provider",
            why=f"{label} is served by OpenAI, and this is an Anthropic client",
            hint="call the feature through a wrapped OpenAI client",
        )
    pinned = _release_arguments(release)
    output_config = pinned.pop("output_config", None)
    refuse_pinned(caller, pinned, release=label)
    refuse_pinned({"extra_body": caller.get("extra_body")}, ["model", "messages", "system"], release=label)
    arguments = {name: value for name, value in caller.items() if name not in {"model", "messages", "system"}}
    arguments |= pinned
    if output_config is not None:
        _refuse_format(caller, label)
        arguments["output_config"] = {**(caller.get("output_config") or {}), **output_config}
    arguments["model"] = release.model.model
    arguments |= _conversation(prompt, caller, label)
    if arguments.get("max_tokens") is None:
        raise InputError(
            "missing_max_tokens",
            f"Anthropic requires `max_tokens` and {label} does not set it",
            param="max_tokens",
            hint="add `max_tokens` to the release's model parameters, or pass it with the call",
        )
    return MessagesRequest(arguments=carry_unknown(arguments, accepted=accepted))


def _conversation(prompt: Sequence[Mapping[str, Any]], caller: Mapping[str, Any], label: str) -> dict[str, Any]:
    system: list[dict[str, Any]] = []
    messages: list[Any] = []
    for index, message in enumerate(prompt):
        if message["role"] not in {"system", "developer"}:
            messages.append({"role": message["role"], "content": message["content"]})
        elif messages:
            raise uncarried(
                f"prompt.messages[{index}].role",
                why="Anthropic takes system messages only before the first user or assistant message",
            )
        else:
            system.append({"type": "text", "text": message["content"]})
    messages += caller.get("messages") or ()
    if not messages:
        raise InputError(
            "missing_messages",
            f"{label} has no user message and the call brings none",
            param="messages",
            hint="pass `messages`, or add a user message to the prompt",
        )
    own = caller.get("system")
    blocks = [*system, *([{"type": "text", "text": own}] if isinstance(own, str) else own or ())]
    if not blocks:
        return {"messages": messages}
    alone = len(blocks) == 1 and len(system) == 1
    return {"messages": messages, "system": blocks[0]["text"] if alone else blocks}


def _refuse_format(caller: Mapping[str, Any], label: str) -> None:
    """The release's schema owns the output format, however the caller tries to set another."""
    own = caller.get("output_config")
    given = {
        "output_config.format": own.get("format") if isinstance(own, dict) else None,
        "output_format": caller.get("output_format"),
        "extra_body": caller.get("extra_body"),
    }
    refuse_pinned(given, ["output_config.format", "output_format", "output_config"], release=label)


def _release_arguments(release: CompiledRelease) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, value in release.model.parameters.items():
        translate = _PARAMETERS.get(name)
        if translate is None:
            raise uncarried(f"model.parameters.{name}", why="the Anthropic Messages API has no such parameter")
        for target, translated in translate(name, value).items():
            if target in arguments and target != "tool_choice":
                raise uncarried(f"model.parameters.{name}", why=f"another parameter sets `{target}` already")
            arguments[target] = {**arguments.get(target, {}), **translated} if target == "tool_choice" else translated
    if "tool_choice" in arguments:
        arguments["tool_choice"].setdefault("type", "auto")
    if release.tools is not None:
        arguments["tools"] = anthropic_tools(release.tools)
    if release.schema is not None:
        arguments["output_config"] = {"format": _format(release.schema)}
    return arguments


def anthropic_tools(tools: ToolsContent) -> list[dict[str, Any]]:
    """Return the tools in the shape of the Messages API."""
    return [
        {
            "name": tool.name,
            **({"description": tool.description} if tool.description else {}),
            "input_schema": tool.parameters or {"type": "object", "properties": {}},
            **({"strict": True} if tool.strict else {}),
        }
        for tool in tools.tools
    ]


def _format(schema: SchemaContent) -> dict[str, Any]:
    """The schema's name is a label that the Messages API does not take; it does not change what is asked."""
    if not schema.strict:
        raise uncarried(
            "schema.strict",
            why="Anthropic's structured output is always strict, and this schema is declared `strict: false`",
            hint="declare the schema strict, or describe the format in the prompt",
        )
    return {"type": "json_schema", "schema": schema.schema}


def anthropic_unit(caller: Mapping[str, Any]) -> str:
    """Return `metadata.user_id` of the caller, empty where it gave none."""
    metadata = caller.get("metadata")
    value = metadata.get("user_id") if isinstance(metadata, dict) else None
    return value if isinstance(value, str) else ""


def _same(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {name: value}


def _max_tokens(_name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"max_tokens": value}


def _temperature(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    if isinstance(value, (int, float)) and value > 1:
        raise uncarried(f"model.parameters.{name}", why=f"Anthropic takes 0 to 1, and the release says {value}")
    return {name: value}


def _stop(_name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"stop_sequences": [value] if isinstance(value, str) else value}


def _parallel(_name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"tool_choice": {"disable_parallel_tool_use": not value}}


def _tool_choice(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    named = {"auto": "auto", "none": "none", "required": "any"}
    if isinstance(value, str) and value in named:
        return {"tool_choice": {"type": named[value]}}
    if isinstance(value, dict) and value.get("type") == "function":
        return {"tool_choice": {"type": "tool", "name": value["function"]["name"]}}
    raise uncarried(f"model.parameters.{name}", why=f"`{value}` has no counterpart in the Messages API")


_PARAMETERS: dict[str, Callable[[str, Any], dict[str, Any]]] = {
    "max_tokens": _max_tokens,
    "max_completion_tokens": _max_tokens,
    "temperature": _temperature,
    "top_p": _same,
    "top_k": _same,
    "stop": _stop,
    "stop_sequences": _same,
    "thinking": _same,
    "parallel_tool_calls": _parallel,
    "tool_choice": _tool_choice,
}
