from __future__ import annotations

from typing import Any

import pytest
from tests.unit.providers.anthropic_requests import QUESTION, TEXT, chat, refusal, release, turn

from trimtab.artifacts.model import (
    PromptContent,
    PromptMessage,
)
from trimtab.core.errors import InputError
from trimtab.providers.anthropic import (
    in_messages_words,
    merge_request,
    to_chat_request,
)
from trimtab.providers.openai import build_request

USE = {"type": "tool_use", "id": "t", "name": "f", "input": {}}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"top_k": 4}, "top_k"),
        ({"thinking": {"type": "disabled"}}, "thinking"),
        ({"cache_control": {"type": "ephemeral"}}, "cache_control"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"name": "f", "input_schema": {}, "cache_control": {}}]}, "tools[0].cache_control"),
        (
            {"tools": [{"name": "f", "input_schema": {}, "eager_input_streaming": False}]},
            "tools[0].eager_input_streaming",
        ),
        ({"tool_choice": {"type": "sometimes"}}, "tool_choice.type"),
        ({"system": [{**TEXT, "cache_control": {"type": "ephemeral"}}]}, "system[0].cache_control"),
        (turn(TEXT, {**TEXT, "cache_control": {"type": "ephemeral"}}), "messages[0].content[1].cache_control"),
        (turn({"type": "document", "source": {}}), "messages[0].content[0].type"),
        (turn({"type": "image", "source": {"type": "file", "file_id": "f"}}), "messages[0].content[0].source.type"),
        (turn({"type": "tool_result", "tool_use_id": "t", "is_error": True}), "messages[0].content[0].is_error"),
        (turn({"type": "thinking", "thinking": "", "signature": ""}, role="assistant"), "messages[0].content[0].type"),
        (turn(USE, TEXT, role="assistant"), "messages[0].content[1]"),
        ({"messages": [QUESTION, {"role": "assistant", "content": "The answer is"}]}, "messages[1].role"),
    ],
)
def test_what_chat_has_no_place_for_is_named_as_the_caller_wrote_it(body: dict[str, Any], param: str) -> None:
    assert refusal(to_chat_request, {"model": "m", "max_tokens": 1, "messages": [QUESTION], **body}) == (
        "cannot_carry",
        param,
    )


def test_a_field_that_no_api_has_is_unknown_and_the_nearest_is_named() -> None:
    with pytest.raises(InputError) as caught:
        to_chat_request({"max_token": 1, "messages": [QUESTION]})
    assert (caught.value.code, caught.value.param, caught.value.hint) == (
        "unknown_field",
        "max_token",
        "did you mean `max_tokens`?",
    )
    assert refusal(to_chat_request, {"messages": [{**QUESTION, "nam": "x"}]}) == ("unknown_field", "messages[0].nam")
    assert refusal(lambda: chat(tools=[{"type": "function", "function": {"name": "f", "desc": "x"}}])) == (
        "unknown_field",
        "tools[0].function.desc",
    )
    assert refusal(merge_request, release(), [], {"max_token": 1, "messages": [QUESTION]}) == (
        "unknown_field",
        "max_token",
    )


def test_a_system_message_between_turns_stays_where_it_is_in_chat() -> None:
    messages = [QUESTION, {"role": "system", "content": "Now in French."}, QUESTION]
    assert to_chat_request({"messages": messages})["messages"] == messages


@pytest.mark.parametrize(
    ("pinned", "body", "param"),
    [
        ({"max_tokens": 5}, {"max_tokens": 9}, "max_tokens"),
        ({"stop": "END"}, {"stop_sequences": ["X"]}, "stop_sequences"),
        ({"parallel_tool_calls": True}, {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, None),
        ({"reasoning_effort": "low"}, {"output_config": {"effort": "high"}}, "output_config.effort"),
        ({"temperature": 0.1}, {"temperature": 0.2}, "temperature"),
    ],
)
def test_errors_about_a_translated_request_are_told_in_the_callers_words(
    pinned: dict[str, Any], body: dict[str, Any], param: str | None
) -> None:
    body = {"model": "m", "messages": [QUESTION], **body}
    with pytest.raises(InputError) as caught:
        build_request(release(pinned), [], to_chat_request(body))
    told = in_messages_words(caught.value, body)
    assert told.param == (param or "tool_choice.disable_parallel_tool_use")
    assert told.hint
    assert told.param in told.hint
    assert told.code == "pinned_field"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"system": "Be kind.", "messages": [QUESTION]}, "system"),
        ({"messages": [QUESTION, {"role": "system", "content": "x"}, QUESTION]}, "messages[1].role"),
    ],
)
def test_a_refused_system_prompt_is_named_where_the_caller_gave_it(body: dict[str, Any], param: str) -> None:
    instruction = PromptMessage(role="system", content="Be brief.")
    compiled = release(prompt=PromptContent(messages=[instruction], variables={}))
    with pytest.raises(InputError) as caught:
        build_request(compiled, [], to_chat_request(body))
    assert in_messages_words(caught.value, body).param == param
