"""Parameters in the names of chat completions, as fields of a Messages request.

Both a merged chat request and the parameters that a release pins go through here, so that one table says what each
becomes. `reasoning_effort` and `output_config.effort` have the same values in the same order and are taken for the
same thing. The `name` of a JSON schema is a label that the Messages API does not take; it changes nothing of what is
asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.core.errors import InputError
from trimtab.providers.openai.fields import CHAT_FIELDS
from trimtab.providers.strictness import (
    items_of,
    object_of,
    refuse_other_fields,
    text_of,
    truth_of,
    uncarried,
)
from trimtab.providers.strictness import unknown_field as _unknown_field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["EFFORTS", "ONLY_STRICT", "messages_fields"]

EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
"""What both `reasoning_effort` and `output_config.effort` know."""
ONLY_STRICT = "Anthropic's structured output is always strict, and this schema is declared `strict: false`"

_SAYS_NOTHING: dict[str, Any] = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "metadata": {},
    "modalities": ["text"],
    "n": 1,
    "presence_penalty": 0,
    "store": False,
    "top_logprobs": 0,
}
"""Values that ask for what every message is anyway."""
_TOOL_FIELDS = frozenset({"function", "type"})
_FUNCTION_FIELDS = frozenset({"description", "name", "parameters", "strict"})
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def messages_fields(parameters: Mapping[str, Any], *, at: str = "") -> dict[str, Any]:
    """Return the fields of a Messages request that say what `parameters` say; `null` says nothing.

    Raises `InputError`, `param` naming the parameter below `at`: `cannot_carry`, `unknown_field`, `invalid_type`.
    """
    fields: dict[str, Any] = {}
    for name, value in parameters.items():
        if value is None or (name in _SAYS_NOTHING and value == _SAYS_NOTHING[name]):
            continue
        translate = _TRANSLATIONS.get(name)
        if translate is None:
            raise _no_counterpart(name, at)
        for target, translated in translate(value, at + name).items():
            _set(fields, target, translated, at + name)
    if "tool_choice" in fields:
        _complete_tool_choice(fields)
    return fields


def _set(fields: dict[str, Any], target: str, value: Any, at: str) -> None:  # noqa: ANN401 - any JSON value
    """Set a field, or add to an object that holds other keys; the same said twice is no contradiction."""
    present = fields.get(target)
    if present is None:
        fields[target] = value
    elif isinstance(present, dict) and isinstance(value, dict) and present.keys().isdisjoint(value):
        fields[target] = {**present, **value}
    elif present != value:
        raise uncarried(at, why=f"another parameter sets `{target}` already")


def _no_counterpart(name: str, at: str) -> InputError:
    if name not in CHAT_FIELDS:
        error = _unknown_field(name, {*CHAT_FIELDS, *_TRANSLATIONS})
        return InputError(error.code, error.message, param=at + name, hint=error.hint)
    hint = "use `tools` and `tool_choice`" if name in {"functions", "function_call"} else None
    return uncarried(at + name, why="the Anthropic Messages API has no such parameter", hint=hint)


def _complete_tool_choice(fields: dict[str, Any]) -> None:
    """The API wants a `type` with `disable_parallel_tool_use`; calling no tool, it has no parallel calls to allow."""
    choice = fields["tool_choice"]
    choice.setdefault("type", "auto")
    if choice["type"] == "none":
        fields["tool_choice"] = {"type": "none"}


def _same(name: str) -> Callable[[Any, str], dict[str, Any]]:
    return lambda value, _at: {name: value}


def _temperature(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    if isinstance(value, (int, float)) and value > 1:
        raise uncarried(at, why=f"Anthropic takes 0 to 1, and this is {value}")
    return {"temperature": value}


def _stop(value: Any, _at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"stop_sequences": [value] if isinstance(value, str) else value}


def _parallel(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"tool_choice": {"disable_parallel_tool_use": not truth_of(value, at)}}


def _tool_choice(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    if isinstance(value, str) and value in _CHOICES:
        return {"tool_choice": {"type": _CHOICES[value]}}
    if isinstance(value, dict) and value.get("type") == "function":
        refuse_other_fields(value, _TOOL_FIELDS, at=at)
        function = object_of(value.get("function"), f"{at}.function")
        refuse_other_fields(function, frozenset({"name"}), at=f"{at}.function")
        return {"tool_choice": {"type": "tool", "name": text_of(function.get("name"), f"{at}.function.name")}}
    raise uncarried(at, why=f"`{value}` has no counterpart in the Messages API")


def _user(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"metadata": {"user_id": text_of(value, at)}}


def _effort(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, str) or value not in EFFORTS:
        raise uncarried(at, why=f"`{value}` is no effort of the Messages API", hint="it knows low to max")
    return {"output_config": {"effort": value}}


def _response_format(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    wanted = object_of(value, at)
    if wanted.get("type") == "text":
        refuse_other_fields(wanted, frozenset({"type"}), at=at)
        return {}  # as every message is
    if wanted.get("type") != "json_schema":
        raise uncarried(f"{at}.type", why="the Messages API has no output format but `json_schema`")
    refuse_other_fields(wanted, frozenset({"json_schema", "type"}), at=at)
    at = f"{at}.json_schema"
    schema = object_of(wanted.get("json_schema"), at)
    refuse_other_fields(
        schema,
        frozenset({"name", "schema", "strict"}),
        why={"description": "the Messages API takes the schema alone; describe it inside the schema"},
        at=at,
    )
    if schema.get("strict") is False:
        raise uncarried(f"{at}.strict", why=ONLY_STRICT, hint="leave `strict` out, or describe the format in words")
    schema_itself = object_of(schema.get("schema"), f"{at}.schema")
    return {"output_config": {"format": {"type": "json_schema", "schema": schema_itself}}}


def _tools(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"tools": [_tool(tool, f"{at}[{index}]") for index, tool in enumerate(items_of(value, at))]}


def _tool(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    tool = object_of(value, at)
    if tool.get("type") != "function":
        raise uncarried(f"{at}.type", why="the Messages API knows chat's `function` tools alone")
    refuse_other_fields(tool, _TOOL_FIELDS, at=at)
    at = f"{at}.function"
    function = object_of(tool.get("function"), at)
    refuse_other_fields(function, _FUNCTION_FIELDS, at=at)
    parameters = function.get("parameters")
    translated = {
        "name": text_of(function.get("name"), f"{at}.name"),
        "input_schema": {"type": "object", "properties": {}} if parameters in (None, {}) else parameters,
    }
    if function.get("description") not in (None, ""):
        translated["description"] = function["description"]
    if function.get("strict") not in (None, False):
        translated["strict"] = function["strict"]
    return translated


def _stream_options(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Usage comes with every stream of messages, so asking for it or not changes nothing that goes upstream."""
    options = object_of(value, at)
    refuse_other_fields(options, frozenset({"include_obfuscation", "include_usage"}), at=at)
    if options.get("include_obfuscation"):
        raise uncarried(f"{at}.include_obfuscation", why="streams of messages are not obfuscated")
    return {}


_TRANSLATIONS: dict[str, Callable[[Any, str], dict[str, Any]]] = {
    "max_completion_tokens": _same("max_tokens"),
    "max_tokens": _same("max_tokens"),
    "parallel_tool_calls": _parallel,
    "reasoning_effort": _effort,
    "response_format": _response_format,
    "safety_identifier": _user,
    "stop": _stop,
    "stop_sequences": _same("stop_sequences"),
    "stream_options": _stream_options,
    "temperature": _temperature,
    "thinking": _same("thinking"),
    "tool_choice": _tool_choice,
    "tools": _tools,
    "top_k": _same("top_k"),
    "top_p": _same("top_p"),
    "user": _user,
}
"""Chat's parameters, and those of Anthropic's own that a release may pin under their own names."""
