"""Whatever a request says, its translation says too or an error names it: for each field of both APIs, one by one."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from trimtab.core.errors import InputError
from trimtab.providers.anthropic import MESSAGES_FIELDS, from_chat_request, to_chat_request
from trimtab.providers.openai.fields import CHAT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable


def load_cases() -> Any:
    spec = importlib.util.spec_from_file_location("request_cases", Path(__file__).with_name("request_cases.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CASES = load_cases()
QUESTION = {"role": "user", "content": "hi"}
MESSAGES_BASE = {"model": "m", "max_tokens": 3, "messages": [QUESTION]}
CHAT_BASE = {"model": "m", "max_tokens": 3, "messages": [QUESTION]}
MESSAGES_CASES = CASES.cases_of(MessageCreateParamsNonStreaming, MESSAGES_BASE, QUESTION) + CASES.cases_of(
    MessageCreateParamsStreaming, MESSAGES_BASE, QUESTION
)
CHAT_CASES = CASES.cases_of(CompletionCreateParamsNonStreaming, CHAT_BASE, QUESTION) + CASES.cases_of(
    CompletionCreateParamsStreaming, CHAT_BASE, QUESTION
)

SAYS_NOTHING_IN_MESSAGES = [
    (r"tools\[0\]\.type", "custom"),  # what a tool is where it says nothing
    (r"tools\[0\]\.eager_input_streaming", True),  # as chat streams the input of every tool
    (r".*\.is_error", False),
    (r".*\.caller\.type", "direct"),  # as every tool of chat is called
]
SAYS_NOTHING_IN_CHAT = [
    (r"max_completion_tokens", 3),  # the same as `max_tokens` says already
    (r"logprobs|store", False),
    (r"modalities\[0\]", "text"),
    (r"response_format\.type", "text"),
    (r"response_format\.json_schema\.name", CASES.MARKER),  # a label; see `parameters`
    (r"response_format\.json_schema\.strict", True),  # as every output format of Anthropic's is
    (r"tools\[0\]\.function\.strict", False),
    (r"stream_options\.include_usage", True),  # every stream of messages has its usage
    (r"stream_options\.include_usage|stream_options\.include_obfuscation", False),
    (r".*\.image_url\.detail", "auto"),
]


def outcome(translate: Callable[[dict[str, Any]], dict[str, Any]], body: dict[str, Any]) -> Any:
    try:
        return translate(body)
    except InputError as error:
        return error


def silent_drop(translate: Callable[[dict[str, Any]], dict[str, Any]], case: Any) -> str:
    """Return what is wrong with the translation of a case, nothing where it is carried or refused by its name."""
    told, rest = outcome(translate, case.body), None
    if case.without is not CASES.ABSENT:
        rest = outcome(translate, case.without)
    if isinstance(told, InputError):
        named = CASES.names(told.param, case.path) and told.code in {"cannot_carry", "invalid_type"}
        same = isinstance(rest, InputError) and rest.param == told.param  # it is what stands beside the field
        return "" if named or same else f"{case.path}={case.value!r}: {told.code} at {told.param}"
    if rest is None:
        value = CASES.MARKER if CASES.MARKER in str(case.value) else str(case.value)
        return "" if CASES.is_kind(case.path) or value in json.dumps(told) else f"{case.path}: not found"
    return f"{case.path}={case.value!r}: dropped" if rest == told else ""


def dropped(translate: Callable[[dict[str, Any]], dict[str, Any]], cases: list[Any], nothing: Any) -> list[str]:
    said = [c for c in cases if not any(re.fullmatch(path, c.path) and c.value == value for path, value in nothing)]
    return sorted({text for case in said if (text := silent_drop(translate, case))})


def by_field(cases: list[Any]) -> dict[str, list[Any]]:
    fields: dict[str, list[Any]] = {}
    for case in cases:
        fields.setdefault(re.split(r"[.\[]", case.path)[0], []).append(case)
    return fields


@pytest.mark.parametrize(("field", "cases"), by_field(MESSAGES_CASES).items(), ids=lambda value: str(value)[:30])
def test_a_field_of_a_message_request_is_carried_to_chat_or_named(field: str, cases: list[Any]) -> None:
    assert dropped(to_chat_request, cases, SAYS_NOTHING_IN_MESSAGES) == []


@pytest.mark.parametrize(("field", "cases"), by_field(CHAT_CASES).items(), ids=lambda value: str(value)[:30])
def test_a_field_of_a_chat_request_is_carried_to_messages_or_named(field: str, cases: list[Any]) -> None:
    assert dropped(from_chat_request, cases, SAYS_NOTHING_IN_CHAT) == []


def test_the_cases_reach_every_field_and_a_good_part_of_them_is_carried() -> None:
    assert len(MESSAGES_CASES) > 200
    assert len(CHAT_CASES) > 150
    assert {"messages[0].content[0].cache_control.ttl", "tools[0].input_examples[0]"} <= {
        c.path for c in MESSAGES_CASES
    }
    for translate, cases in ((to_chat_request, MESSAGES_CASES), (from_chat_request, CHAT_CASES)):
        assert sum(isinstance(outcome(translate, case.body), dict) for case in cases) >= 25


FREE = re.compile(r".*(input_schema|schema|parameters|input|thinking)$")
"""Places whose keys are the caller's own."""


def with_surprises(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Each object of a request in turn with a key that no API knows, and where it is."""
    found: list[tuple[str, Any]] = []
    if isinstance(value, dict) and not FREE.fullmatch(path):
        found.append((f"{path}.surprise".removeprefix("."), {**value, "surprise": 1}))
        for name, item in value.items():
            below = with_surprises(item, f"{path}.{name}".removeprefix("."))
            found += [(place, {**value, name: changed}) for place, changed in below]
    elif isinstance(value, list):
        for index, item in enumerate(value):
            below = with_surprises(item, f"{path}[{index}]")
            found += [(place, [*value[:index], changed, *value[index + 1 :]]) for place, changed in below]
    return found


@pytest.mark.parametrize(
    ("translate", "cases"),
    [(to_chat_request, MESSAGES_CASES), (from_chat_request, CHAT_CASES)],
    ids=["messages", "chat"],
)
def test_a_key_that_no_api_knows_is_refused_wherever_it_stands(
    translate: Callable[[dict[str, Any]], dict[str, Any]], cases: list[Any]
) -> None:
    places = set()
    for case in cases:
        if isinstance(outcome(translate, case.body), dict):
            for place, body in with_surprises(case.body):
                told = outcome(translate, body)
                assert isinstance(told, InputError), place
                assert told.code in {"unknown_field", "cannot_carry"}
                assert CASES.names(told.param, place), (told.param, place)
                places.add(place)
    assert len(places) > 10


def test_every_field_that_the_client_library_knows_is_known_here() -> None:
    assert {case.path.split(".", 1)[0].split("[", 1)[0] for case in MESSAGES_CASES} <= MESSAGES_FIELDS


def test_what_says_nothing_is_not_refused_either() -> None:
    for translate, cases, nothing in (
        (to_chat_request, MESSAGES_CASES, SAYS_NOTHING_IN_MESSAGES),
        (from_chat_request, CHAT_CASES, SAYS_NOTHING_IN_CHAT),
    ):
        for path, value in nothing:
            told = [outcome(translate, c.body) for c in cases if re.fullmatch(path, c.path) and c.value == value]
            assert told, path
            assert any(isinstance(one, dict) for one in told), (path, told)


def test_the_reference_page_names_every_field_that_is_refused() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "messages.md").read_text()
    for translate, fields, base in (
        (to_chat_request, MESSAGES_FIELDS, MESSAGES_BASE),
        (from_chat_request, CHAT_FIELDS, CHAT_BASE),
    ):
        for field in fields - base.keys():
            told = outcome(translate, {**base, field: CASES.MARKER})
            if isinstance(told, InputError) and told.code == "cannot_carry" and told.param == field:
                assert f"`{field}`" in page, field
