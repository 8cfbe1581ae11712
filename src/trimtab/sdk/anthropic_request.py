"""A release and the arguments of `messages.create` become one Messages request. Pure.

Parameters of a release are in the names of the OpenAI API; the table below says how each travels. What has no place
in the Messages API is an error that names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.core.errors import InputError
from trimtab.sdk.request import ModelRequest, body_of, call_arguments, plain, uncarried

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trimtab.artifacts.model import SchemaContent, ToolsContent
    from trimtab.releases.model import CompiledRelease

__all__ = ["anthropic_tools", "anthropic_unit", "merge_messages_request"]


def merge_messages_request(
    release: CompiledRelease,
    prompt: Sequence[Mapping[str, Any]],
    caller: Mapping[str, Any],
    *,
    accepted: frozenset[str],
) -> ModelRequest:
    """Return the request: the release's model, prompt, parameters, tools and schema, and what the caller adds.

    System messages of the prompt become `system`; the caller's messages follow the prompt's. Raises `InputError`:
    `pinned_field`, `cannot_carry`, `missing_max_tokens`, `no_messages`, each naming the field. `accepted` holds the
    parameters that the installed client knows; others travel in `extra_body`.
    """
    label = f"{release.feature}#{release.number}"
    if release.model.provider == "openai":
        raise uncarried(
            "model.provider",
            why=f"{label} is served by OpenAI, and this is an Anthropic client",
            hint="call the feature through a wrapped OpenAI client",
        )
    system, turns = _split_prompt(prompt)
    pinned = _pinned(release) | ({"system": system} if system else {})
    body = body_of(caller)
    _refuse_pinned(body, pinned, label)
    output_config = {**(body.get("output_config") or {}), **pinned.get("output_config", {})}
    body |= pinned | {"model": release.model.model}
    if output_config:
        body["output_config"] = output_config
    body["messages"] = [*turns, *plain(list(body.get("messages") or ()))]
    _require(body, label)
    return ModelRequest(
        arguments=call_arguments(body, caller, accepted=accepted), messages=_recorded(body.get("system"), body)
    )


def _split_prompt(prompt: Sequence[Mapping[str, Any]]) -> tuple[str | list[dict[str, Any]], list[dict[str, Any]]]:
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for index, message in enumerate(prompt):
        if message["role"] not in {"system", "developer"}:
            turns.append({"role": message["role"], "content": message["content"]})
        elif turns:
            raise uncarried(
                f"prompt.messages[{index}].role",
                why="Anthropic takes system messages only before the first user or assistant message",
            )
        else:
            system.append({"type": "text", "text": message["content"]})
    return (system[0]["text"] if len(system) == 1 else system), turns


def _pinned(release: CompiledRelease) -> dict[str, Any]:
    pinned: dict[str, Any] = {}
    for name, value in release.model.parameters.items():
        translate = _PARAMETERS.get(name)
        if translate is None:
            raise uncarried(f"model.parameters.{name}", why="the Anthropic Messages API has no such parameter")
        for target, translated in translate(name, value).items():
            if target in pinned and target != "tool_choice":
                raise uncarried(f"model.parameters.{name}", why=f"another parameter sets `{target}` already")
            pinned[target] = {**pinned.get(target, {}), **translated} if target == "tool_choice" else translated
    if "tool_choice" in pinned:
        pinned["tool_choice"].setdefault("type", "auto")
    if release.tools is not None:
        pinned["tools"] = anthropic_tools(release.tools)
    if release.schema is not None:
        pinned["output_config"] = {"format": _format(release.schema)}
    return pinned


def _refuse_pinned(body: Mapping[str, Any], pinned: Mapping[str, Any], label: str) -> None:
    """Of `output_config` a schema pins the format alone; `output_format` is the same thing said differently."""
    own_config = body.get("output_config")
    taken = [name for name in pinned if name in body and name != "output_config"]
    if "output_config" in pinned:
        taken += ["output_config.format"] if isinstance(own_config, dict) and "format" in own_config else []
        taken += ["output_format"] if "output_format" in body else []
    if taken:
        raise InputError(
            "pinned_field",
            f"release {label} pins `{taken[0]}`; the caller may not set it",
            param=taken[0],
            hint=f"leave `{taken[0]}` out, or take it out of the release",
        )


def _require(body: Mapping[str, Any], label: str) -> None:
    if not body["messages"]:
        raise InputError(
            "no_messages",
            f"neither {label} nor the caller gives a user message",
            param="messages",
            hint="pass `messages`, or add a user message to the prompt",
        )
    if "max_tokens" not in body:
        raise InputError(
            "missing_max_tokens",
            f"Anthropic requires `max_tokens` and {label} does not set it",
            param="max_tokens",
            hint="add `max_tokens` to the release's model parameters, or pass it with the call",
        )


def _recorded(system: Any, body: Mapping[str, Any]) -> list[Any]:  # noqa: ANN401 - a string or text blocks
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else plain(list(system or ()))
    return [*({"role": "system", "content": block.get("text", "")} for block in blocks), *body["messages"]]


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
