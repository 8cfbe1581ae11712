"""Requests that use every field of the Responses API and of chat completions, one at a time, and what says nothing.

Not a test module: tests load it by its path, as `request_cases`, which it fills out.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)

from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CASES = _load("request_cases")
QUESTION = {"role": "user", "content": "hi"}
_RESPONSES_BASE = {"model": "m", "input": [QUESTION]}
_CHAT_BASE = {"model": "m", "messages": [QUESTION]}
_PICTURE = "https://example.com/p.png"

SAYS_NOTHING_IN_RESPONSES = [
    (r"background|store", False),
    (r"truncation", "disabled"),
    (r"prompt_cache_options\.prewarm", False),
    (r"tools\[0\]\.(async|defer_loading)", False),
    (r"input\[0\]\.async", False),
    (r"input\[0\]\.caller\.type", "direct"),  # as every tool of chat is called
    (r"input\[0\]\.id", CASES.MARKER),  # a label of what nobody stores
    (r"input\[0\]\.status", "completed"),
    (r"input\[0\]\.type", "message"),  # what an item is where it says nothing
    (r"input\[0\]\.content\[0\]\.detail", "auto"),  # of a file
]
SAYS_NOTHING_IN_CHAT = [
    (r"logprobs|store", False),
    (r"modalities\[0\]", "text"),
    (r"stream_options\.include_usage", True),  # every stream of responses has its usage
    (r"stream_options\.include_usage", False),
    (r"tools\[0\]\.function\.strict", False),
    (r".*\.image_url\.detail", "auto"),
]


def _filled_out(path: str, body: Any) -> Any:
    """Return a body that is valid beside the field that its case is about."""
    if body is CASES.ABSENT:
        return body
    body = copy.deepcopy(body)
    items = body.get("input")
    for item in items if isinstance(items, list) else ():
        _fill_item(path, item)
    for choice in (body.get("tool_choice"), _allowed_of(body)):
        if isinstance(choice, dict) and "tools" in choice and path.endswith(".mode"):
            name = {"name": "f"} if "type" in choice else {"function": {"name": "f"}}
            choice["tools"] = [{"type": "function", **name}]
    return body


def _allowed_of(body: dict[str, Any]) -> Any:
    choice = body.get("tool_choice")
    return choice.get("allowed_tools") if isinstance(choice, dict) else None


def _fill_item(path: str, item: dict[str, Any]) -> None:
    if "status" in item and path != "input[0].status":
        item["status"] = "completed"
    if item.get("type") == "function_call_output":
        item.setdefault("call_id", "call_1")
    for part in item["content"] if isinstance(item.get("content"), list) else ():
        if part.get("type") == "input_image" and not part.keys() & {"file_id", "image_url"}:
            part["image_url"] = _PICTURE
        if "annotations" in part and ".annotations" not in path:
            part["annotations"] = []


def _cases(base: dict[str, Any], *parameters: Any) -> list[Any]:
    return [
        case._replace(body=_filled_out(case.path, case.body), without=_filled_out(case.path, case.without))
        for kind in parameters
        for case in CASES.cases_of(kind, base, QUESTION)
    ]


RESPONSES_CASES = _cases(_RESPONSES_BASE, ResponseCreateParamsNonStreaming, ResponseCreateParamsStreaming)
CHAT_CASES = _cases(_CHAT_BASE, CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming)


def outcome(translate: Callable[[dict[str, Any]], dict[str, Any]], body: dict[str, Any]) -> Any:
    """Return a translation, or the error that refuses it."""
    try:
        return translate(body)
    except InputError as error:
        return error


def silent_drop(translate: Callable[[dict[str, Any]], dict[str, Any]], case: Any) -> str:
    """Return what is wrong with the translation of a case, nothing where it is carried or refused by its name."""
    told = outcome(translate, case.body)
    rest = None if case.without is CASES.ABSENT else outcome(translate, case.without)
    if isinstance(told, InputError):
        named = CASES.names(told.param, case.path) and told.code in {"cannot_carry", "invalid_type"}
        same = isinstance(rest, InputError) and rest.param == told.param  # it is what stands beside the field
        return "" if named or same else f"{case.path}={case.value!r}: {told.code} at {told.param}"
    if rest is None:
        value = CASES.MARKER if CASES.MARKER in str(case.value) else str(case.value)
        return "" if CASES.is_kind(case.path) or value in json.dumps(told) else f"{case.path}: not found"
    return f"{case.path}={case.value!r}: dropped" if rest == told else ""


def says_nothing(case: Any, nothing: list[tuple[str, Any]]) -> bool:
    """Return whether a case gives a value that asks for what the other API does anyway."""
    return any(re.fullmatch(path, case.path) and case.value == value for path, value in nothing)
