"""Reads which model a release calls, and the parameters it pins, in the names of OpenAI's chat completions API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from trimtab.artifacts.document import nearest
from trimtab.artifacts.model import ModelApi, ModelContent
from trimtab.core.errors import InputError
from trimtab.core.ids import check_name

if TYPE_CHECKING:
    from trimtab.artifacts.document import Node

__all__ = ["DEFAULT_PROVIDER", "PARAMETERS", "read_model", "read_model_name", "read_parameters", "snake_case"]

DEFAULT_PROVIDER = "openai"

_APIS: tuple[ModelApi, ...] = get_args(ModelApi)
_NUMBER = (int, float)
PARAMETERS: dict[str, tuple[type, ...]] = {
    "audio": (dict,),
    "frequency_penalty": _NUMBER,
    "logit_bias": (dict,),
    "logprobs": (bool,),
    "max_completion_tokens": (int,),
    "max_tokens": (int,),
    "metadata": (dict,),
    "modalities": (list,),
    "n": (int,),
    "parallel_tool_calls": (bool,),
    "prediction": (dict,),
    "presence_penalty": _NUMBER,
    "prompt_cache_key": (str,),
    "prompt_cache_retention": (str,),
    "reasoning_effort": (str,),
    "response_format": (dict,),
    "safety_identifier": (str,),
    "seed": (int,),
    "service_tier": (str,),
    "stop": (str, list),
    "store": (bool,),
    "temperature": _NUMBER,
    "tool_choice": (str, dict),
    "top_logprobs": (int,),
    "top_p": _NUMBER,
    "verbosity": (str,),
    "web_search_options": (dict,),
}
"""What a release may pin, and of which type. The rest of a request (messages, tools, stream, user) the call decides."""

_TYPE_WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "a string", list: "a list"}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def snake_case(name: str) -> str:
    """Return `max_tokens` for GitHub's `maxTokens`."""
    return _HUMP.sub("_", name).lower()


def read_model(node: Node) -> ModelContent:
    """Return the model that `openai/gpt-4o` or `{provider, model, api, parameters}` names.

    Raises `SourceError`: `unknown_field`, `missing_field`, `wrong_type`, `malformed_name`, `unknown_api`,
    `unknown_parameter`.
    """
    if isinstance(node.value, str):
        provider, model = read_model_name(node)
        return ModelContent(provider=provider, model=model)
    fields = node.fields(["provider", "model", "api", "parameters"], required=["model"])
    provider, model = read_model_name(fields["model"])
    if "provider" in fields:
        # A slash is then part of the model's own name, as in `meta-llama/Llama-3.1-8B`.
        provider, model = _provider(fields["provider"], fields["provider"].text()), fields["model"].text()
    parameters = read_parameters(fields["parameters"]) if "parameters" in fields else {}
    content = ModelContent(provider=provider, model=model, parameters=parameters)
    api = _api(fields["api"]) if "api" in fields else content.called_by
    # The default stays unset, also where it is written out: one meaning has one digest.
    return content if api == content.called_by else msgspec.structs.replace(content, api=api)


def _api(node: Node) -> ModelApi:
    text = node.text()
    for api in _APIS:
        if text == api:
            return api
    raise node.error(
        "unknown_api", f"`{text}` is none of the APIs that models are called by", hint=f"one of {', '.join(_APIS)}"
    )


def read_model_name(node: Node) -> tuple[str, str]:
    """Return provider and model of `provider/model`; without provider it is OpenAI's."""
    text = node.text()
    provider, slash, model = text.partition("/")
    if not slash:
        provider, model = DEFAULT_PROVIDER, text
    if not model.strip():
        raise node.error("malformed_name", f"`{text}` names no model", hint="write e.g. openai/gpt-4o")
    return _provider(node, provider), model


def read_parameters(node: Node) -> dict[str, Any]:
    """Return the pinned parameters; `maxTokens` and `max_tokens` are the same.

    Raises `SourceError`: `unknown_parameter`, which names the known ones, `duplicate_key`, `wrong_type`.
    """
    parameters: dict[str, Any] = {}
    for key, value in node.mapping().items():
        if value.value is None:
            continue
        name = snake_case(key)
        if name not in PARAMETERS:
            raise _unknown(key, name, value)
        if name in parameters:
            raise value.error("duplicate_key", f"`{key}` is given twice, as `{name}` and in camelCase")
        _check_type(name, value)
        parameters[name] = value.plain()
    return parameters


def _unknown(key: str, name: str, value: Node) -> InputError:
    known = ", ".join(sorted(PARAMETERS))
    hint = nearest(name, PARAMETERS)
    return value.error(
        "unknown_parameter",
        f"`{key}` is not a parameter of OpenAI's chat completions that a release can pin; known: {known}",
        hint=hint if hint.startswith("did you mean") else "parameters of other APIs must be translated to these names",
    )


def _check_type(name: str, value: Node) -> None:
    allowed = PARAMETERS[name]
    plain = value.value
    if not isinstance(plain, allowed) or (isinstance(plain, bool) and bool not in allowed):
        words = [_TYPE_WORDS.get(kind, "a mapping") for kind in allowed if (kind, allowed) != (int, _NUMBER)]
        raise value.wrong_type(" or ".join(words))
    if name == "response_format" and value.plain().get("type") not in {"json_object", "text"}:
        raise value.error(
            "wrong_type",
            "`response_format` can only be {type: json_object} or {type: text} here",
            hint="a JSON Schema goes into schema.json, or into responseFormat and jsonSchema of the prompt file",
        )


def _provider(node: Node, name: str) -> str:
    try:
        return check_name(name, what="provider")
    except InputError as error:
        raise node.error(error.code, error.message, hint=error.hint) from None
