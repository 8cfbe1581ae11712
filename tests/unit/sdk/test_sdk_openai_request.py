from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.artifacts.model import (
    ModelContent,
    PromptContent,
    SchemaContent,
    ToolDefinition,
    ToolsContent,
)
from trimtab.core.errors import InputError
from trimtab.releases.model import CompiledRelease
from trimtab.sdk.openai_request import merge_chat_request
from trimtab.sdk.request import ModelRequest, given_arguments, take_options

ACCEPTED = frozenset(
    {"model", "messages", "temperature", "max_tokens", "stream", "stream_options", "extra_body", "user"}
)
PROMPT = [{"role": "system", "content": "You answer customers of Acme."}]
QUESTION = {"role": "user", "content": "Where is my order?"}


def release(**changes: Any) -> CompiledRelease:
    fields: dict[str, Any] = {
        "digest": "sha256:" + "a" * 64,
        "feature": "support-reply",
        "number": 3,
        "prompt": PromptContent(messages=[], variables={}),
        "model": ModelContent(
            provider="openai", model="gpt-4o-mini", parameters={"temperature": 0.2, "max_tokens": 400}
        ),
    }
    return CompiledRelease(**fields | changes)


def merge(caller: dict[str, Any], compiled: CompiledRelease | None = None) -> ModelRequest:
    return merge_chat_request(compiled or release(), PROMPT, caller, accepted=ACCEPTED | {"tools", "response_format"})


def test_the_release_brings_model_prompt_and_parameters_and_the_caller_brings_its_messages() -> None:
    request = merge({"model": "support-reply", "messages": [QUESTION], "user": "u1"})
    assert request.arguments == {
        "model": "gpt-4o-mini",
        "messages": [*PROMPT, QUESTION],
        "temperature": 0.2,
        "max_tokens": 400,
        "user": "u1",
    }


@pytest.mark.parametrize(
    ("caller", "param"),
    [
        ({"temperature": 1.0}, "temperature"),
        ({"max_completion_tokens": 5}, "max_completion_tokens"),
        ({"extra_body": {"temperature": 1.0}}, "temperature"),
        ({"extra_body": {"model": "gpt-5"}}, "extra_body.model"),
    ],
)
def test_an_argument_that_the_release_pins_is_refused_by_name(caller: dict[str, Any], param: str) -> None:
    with pytest.raises(InputError) as caught:
        merge({"messages": [QUESTION], **caller})
    assert (caught.value.code, caught.value.param) == ("pinned_field", param)


def test_tools_and_schema_of_the_release_are_sent_and_cannot_be_replaced() -> None:
    compiled = release(
        tools=ToolsContent(tools=[ToolDefinition(name="find_order", parameters={"type": "object"}, strict=True)]),
        schema=SchemaContent(name="reply", schema={"type": "object"}),
    )
    arguments = merge({"messages": [QUESTION]}, compiled).arguments
    assert arguments["tools"] == [
        {"type": "function", "function": {"name": "find_order", "parameters": {"type": "object"}, "strict": True}}
    ]
    assert arguments["response_format"]["json_schema"] == {
        "name": "reply",
        "schema": {"type": "object"},
        "strict": True,
    }
    for name in ("tools", "functions", "response_format"):
        with pytest.raises(InputError, match="release support-reply#3 pins"):
            merge({"messages": [QUESTION], name: [{}]}, compiled)


def test_what_the_installed_client_does_not_know_travels_in_the_body() -> None:
    compiled = release(model=ModelContent(provider="vllm", model="qwen", parameters={"top_k": 20}))
    request = merge({"messages": [QUESTION], "extra_headers": {"x": "1"}}, compiled)
    assert request.arguments["extra_body"] == {"top_k": 20}
    assert request.arguments["extra_headers"] == {"x": "1"}
    assert "top_k" not in request.arguments


def test_an_argument_that_is_no_field_of_the_api_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        merge({"messages": [QUESTION], "extra_body": {"temprature": 1}})
    assert (caught.value.code, caught.value.param) == ("unknown_field", "temprature")


def test_messages_of_the_client_itself_are_taken_back() -> None:
    from openai.types.chat import ChatCompletionMessage

    earlier = ChatCompletionMessage(role="assistant", content="Which order?")
    request = merge({"messages": (QUESTION, earlier, QUESTION)})
    assert request.messages == [*PROMPT, QUESTION, {"role": "assistant", "content": "Which order?"}, QUESTION]


def test_a_stream_reports_usage_to_trimtab_even_if_the_caller_did_not_ask() -> None:
    asked = merge({"messages": [QUESTION], "stream": True, "stream_options": {"include_usage": True}})
    unasked = merge({"messages": [QUESTION], "stream": True})
    assert (asked.usage_is_ours, unasked.usage_is_ours) == (False, True)
    assert asked.arguments["stream_options"] == unasked.arguments["stream_options"] == {"include_usage": True}


def test_a_release_of_anthropic_is_refused_by_an_openai_client() -> None:
    compiled = release(model=ModelContent(provider="anthropic", model="claude"))
    with pytest.raises(InputError) as caught:
        merge({"messages": [QUESTION]}, compiled)
    assert caught.value.code == "cannot_carry"


def test_nothing_to_say_is_an_error() -> None:
    with pytest.raises(InputError) as caught:
        merge_chat_request(release(), [], {"messages": []}, accepted=ACCEPTED)
    assert caught.value.code == "no_messages"


@given(st.dictionaries(st.sampled_from(["user", "seed", "top_p", "n", "logprobs"]), st.integers(1, 9)))
def test_every_argument_the_release_does_not_pin_arrives_unchanged(caller: dict[str, int]) -> None:
    before = dict(caller)
    arguments = merge_chat_request(release(), PROMPT, caller, accepted=ACCEPTED | set(caller)).arguments
    assert {name: arguments[name] for name in caller} == before == caller


def test_options_come_from_either_place_and_leave_nothing_behind() -> None:
    direct = {"trimtab": {"variables": {"shop": "Acme"}}}
    as_for_the_gateway = {"extra_body": {"trimtab": {"variables": {"shop": "Acme"}}, "min_p": 1}}
    assert take_options(direct) == take_options(as_for_the_gateway)
    assert take_options(direct) is None
    assert direct == {}
    assert as_for_the_gateway == {"extra_body": {"min_p": 1}}


def test_an_unknown_option_is_an_error_that_names_it() -> None:
    with pytest.raises(InputError, match="unknown field `variable`"):
        take_options({"trimtab": {"variable": {}}})


def test_arguments_left_at_the_clients_sentinel_count_as_not_given() -> None:
    from anthropic import NOT_GIVEN as ANTHROPIC_NOT_GIVEN
    from openai import NOT_GIVEN, omit

    assert given_arguments({"a": NOT_GIVEN, "b": omit, "c": ANTHROPIC_NOT_GIVEN, "d": None, "e": 0}) == {"e": 0}
