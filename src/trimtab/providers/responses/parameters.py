"""Parameters in the names of chat completions, as fields of a Responses request.

Both a merged chat request and the parameters that a release pins go through here, so that one table says what each
becomes. A release may also pin what the Responses API alone has, under its own name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.core.errors import InputError
from trimtab.providers.openai.fields import CHAT_FIELDS
from trimtab.providers.responses.request_to_chat import LOGPROBS
from trimtab.providers.responses.tools import responses_tool, responses_tool_choice
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

__all__ = ["responses_fields"]

_SAYS_NOTHING: dict[str, Any] = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "n": 1,
    "presence_penalty": 0,
    "stop": [],
    "store": False,
}
"""Values that ask for what every response is anyway."""
_WHY = {
    "function_call": "use `tool_choice`",
    "functions": "use `tools`",
    "stop": "use a model whose API knows stop sequences, or cut the text yourself",
}


def responses_fields(parameters: Mapping[str, Any], *, at: str = "") -> dict[str, Any]:
    """Return the fields of a Responses request that say what `parameters` say; `null` says nothing.

    Raises `InputError`, `param` naming the parameter below `at`: `cannot_carry`, `unknown_field`, `invalid_type`.
    """
    fields: dict[str, Any] = {}
    for name, value in parameters.items():
        if value is None or (name in _SAYS_NOTHING and value == _SAYS_NOTHING[name]):
            continue
        if name in _SAME:
            _set(fields, name, value, at + name)
            continue
        translate = _TRANSLATIONS.get(name)
        if translate is None:
            raise _no_counterpart(name, at)
        for target, translated in translate(value, at + name).items():
            _set(fields, target, translated, at + name)
    return fields


def _set(fields: dict[str, Any], target: str, value: Any, at: str) -> None:  # noqa: ANN401 - any JSON value
    """Set a field, or add to an object that holds other keys; the same said twice is no contradiction."""
    present = fields.get(target)
    if present is None:
        fields[target] = value
    elif isinstance(present, dict) and isinstance(value, dict) and present.keys().isdisjoint(value):
        fields[target] = {**present, **value}
    elif target == "include" and isinstance(present, list) and isinstance(value, list):
        fields[target] = [*present, *(name for name in value if name not in present)]
    elif present != value:
        raise uncarried(at, why=f"another parameter sets `{target}` already")


def _no_counterpart(name: str, at: str) -> InputError:
    if name not in CHAT_FIELDS:
        error = _unknown_field(name, {*CHAT_FIELDS, *_TRANSLATIONS, *_SAME})
        return InputError(error.code, error.message, param=at + name, hint=error.hint)
    return uncarried(at + name, why="the Responses API has no such parameter", hint=_WHY.get(name))


def _renamed(name: str) -> Callable[[Any, str], dict[str, Any]]:
    return lambda value, _at: {name: value}


def _effort(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"reasoning": {"effort": text_of(value, at)}}


def _verbosity(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"text": {"verbosity": text_of(value, at)}}


def _response_format(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    wanted = object_of(value, at)
    kind = wanted.get("type")
    if kind in ("text", "json_object"):
        refuse_other_fields(wanted, frozenset({"type"}), at=at)
        return {"text": {"format": {"type": kind}}}
    if kind != "json_schema":
        raise uncarried(f"{at}.type", why=f"`{kind}` is no format of the Responses API")
    refuse_other_fields(wanted, frozenset({"json_schema", "type"}), at=at)
    at = f"{at}.json_schema"
    schema = object_of(wanted.get("json_schema"), at)
    refuse_other_fields(schema, frozenset({"description", "name", "schema", "strict"}), at=at)
    text_of(schema.get("name"), f"{at}.name")
    object_of(schema.get("schema"), f"{at}.schema")
    said = {name: item for name, item in schema.items() if item is not None}
    return {"text": {"format": {"type": kind, **said}}}


def _tools(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"tools": [responses_tool(tool, f"{at}[{index}]") for index, tool in enumerate(items_of(value, at))]}


def _tool_choice(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"tool_choice": responses_tool_choice(value, at)}


def _logprobs(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"include": [LOGPROBS]} if truth_of(value, at) else {}


def _prompt_cache_options(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    refuse_other_fields(object_of(value, at), frozenset({"mode", "ttl"}), at=at)
    return {"prompt_cache_options": value}


def _stream_options(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Usage comes with every stream of the Responses API, so asking for it or not changes nothing upstream."""
    options = object_of(value, at)
    refuse_other_fields(options, frozenset({"include_obfuscation", "include_usage"}), at=at)
    left = {name: item for name, item in options.items() if name != "include_usage" and item is not None}
    return {"stream_options": left} if left else {}


_SAME = frozenset(
    {
        "include",
        "max_output_tokens",
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "temperature",
        "text",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)
"""The same in both APIs, or the Responses API's own."""

_TRANSLATIONS: dict[str, Callable[[Any, str], dict[str, Any]]] = {
    "logprobs": _logprobs,
    "max_completion_tokens": _renamed("max_output_tokens"),
    "max_tokens": _renamed("max_output_tokens"),
    "prompt_cache_options": _prompt_cache_options,
    "reasoning_effort": _effort,
    "response_format": _response_format,
    "stream_options": _stream_options,
    "tool_choice": _tool_choice,
    "tools": _tools,
    "verbosity": _verbosity,
}
