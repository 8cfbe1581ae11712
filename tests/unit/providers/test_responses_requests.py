from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.providers.responses_requests import (
    CHAT_TYPE,
    PICTURE,
    QUESTION,
    RESPONSES_TYPE,
    SCHEMA,
    refusal,
    release,
)

from trimtab.artifacts.model import (
    SchemaContent,
)
from trimtab.core.errors import InputError
from trimtab.providers.openai import build_request
from trimtab.providers.responses import (
    from_chat_request,
    in_responses_words,
    merge_request,
    to_chat_request,
)

if TYPE_CHECKING:
    from trimtab.releases.model import CompiledRelease

RESPONSES: dict[str, Any] = {
    "model": "support-reply",
    "instructions": "Be brief.",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Where are A-1 and B-2?"},
                {"type": "input_image", "image_url": PICTURE, "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            ],
        },
        {"role": "assistant", "content": "Let me look."},
        {"type": "function_call", "call_id": "call_1", "name": "find", "arguments": '{"order":"A-1"}'},
        {"type": "function_call", "call_id": "call_2", "name": "find", "arguments": '{"order":"B-2"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "in transit"},
        {"type": "function_call_output", "call_id": "call_2", "output": "lost"},
        {"role": "developer", "content": "Now in French."},
        {"role": "user", "content": "Well?"},
    ],
    "tools": [{"type": "function", "name": "find", "description": "Finds", "parameters": SCHEMA, "strict": True}],
    "tool_choice": {"type": "function", "name": "find"},
    "parallel_tool_calls": False,
    "max_output_tokens": 300,
    "temperature": 0.5,
    "top_p": 0.9,
    "text": {
        "format": {"type": "json_schema", "name": "reply", "schema": SCHEMA, "strict": True, "description": "A reply"},
        "verbosity": "low",
    },
    "reasoning": {"effort": "low"},
    "include": ["message.output_text.logprobs"],
    "top_logprobs": 2,
    "metadata": {"a": "b"},
    "user": "u-1",
    "safety_identifier": "s-1",
    "prompt_cache_key": "k",
    "service_tier": "flex",
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    "store": False,
}

CHAT: dict[str, Any] = {
    "model": "support-reply",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Where are A-1 and B-2?"},
                {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
                },
            ],
        },
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"order":"A-1"}'}},
                {"id": "call_2", "type": "function", "function": {"name": "find", "arguments": '{"order":"B-2"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "in transit"},
        {"role": "tool", "tool_call_id": "call_2", "content": "lost"},
        {"role": "developer", "content": "Now in French."},
        {"role": "user", "content": "Well?"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {"name": "find", "description": "Finds", "parameters": SCHEMA, "strict": True},
        }
    ],
    "tool_choice": {"type": "function", "function": {"name": "find"}},
    "parallel_tool_calls": False,
    "max_completion_tokens": 300,
    "temperature": 0.5,
    "top_p": 0.9,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": SCHEMA, "strict": True, "description": "A reply"},
    },
    "verbosity": "low",
    "reasoning_effort": "low",
    "logprobs": True,
    "top_logprobs": 2,
    "metadata": {"a": "b"},
    "user": "u-1",
    "safety_identifier": "s-1",
    "prompt_cache_key": "k",
    "service_tier": "flex",
    "stream": True,
    "stream_options": {"include_obfuscation": False, "include_usage": True},
}


def test_a_responses_request_becomes_the_chat_request_that_says_the_same() -> None:
    told = to_chat_request({**RESPONSES, "trimtab": {"variables": {"a": 1}}})
    assert told == {**CHAT, "trimtab": {"variables": {"a": 1}}}
    CHAT_TYPE.validate_python({name: value for name, value in CHAT.items() if name != "stream"})


def test_a_chat_request_becomes_the_responses_request_that_says_the_same_and_stores_nothing() -> None:
    told = from_chat_request(CHAT)
    assert told == RESPONSES
    RESPONSES_TYPE.validate_python({name: value for name, value in told.items() if name != "stream"})


def test_output_that_came_before_goes_back_as_it_came() -> None:
    output = [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "One.", "annotations": [], "logprobs": []}],
        },
        {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "c1", "name": "f", "arguments": "{}"},
        {
            "id": "fc_2",
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "2"}],
        },
        {"id": "msg_2", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]
    assert to_chat_request({"model": "m", "input": output})["messages"] == [
        {
            "role": "assistant",
            "content": "One.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {"role": "assistant", "content": None, "refusal": "No."},
    ]


def test_a_refusal_is_carried_to_responses() -> None:
    said = {"role": "assistant", "content": "Hm.", "refusal": "No."}
    assert from_chat_request({"messages": [QUESTION, said]})["input"][1] == {
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hm."}, {"type": "refusal", "refusal": "No."}],
    }


def test_a_string_is_a_users_message_and_a_bare_system_message_stays_an_item() -> None:
    assert to_chat_request({"input": "hi"}) == {"messages": [{"role": "user", "content": "hi"}]}
    alone = {"role": "system", "content": "Say hi."}
    assert from_chat_request({"messages": [alone]}) == {"input": [alone], "store": False}


def test_chats_tools_are_not_strict_unless_they_say_so() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert from_chat_request({"messages": [QUESTION], "tools": tools})["tools"] == [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}
    ]


TEXTS = st.text(min_size=1, max_size=8)


@st.composite
def chat_conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": draw(TEXTS)}] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(TEXTS)})
        message: dict[str, Any] = {"role": "assistant", "content": draw(st.none() | TEXTS)}
        calls = [
            {
                "id": f"call_{turn}_{index}",
                "type": "function",
                "function": {"name": draw(TEXTS), "arguments": draw(st.text(max_size=8))},
            }
            for index in range(draw(st.integers(0, 3)))
        ]
        if calls:
            message["tool_calls"] = calls
        elif message["content"] is None:
            message["content"] = draw(st.just(""))
        messages.append(message)
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": draw(st.text(max_size=5))} for call in calls
        ]
    return [*messages, {"role": "user", "content": draw(TEXTS)}]


@given(chat_conversations())
def test_there_and_back_a_chat_conversation_keeps_content_calls_and_ids(messages: list[dict[str, Any]]) -> None:
    request = {"model": "m", "max_completion_tokens": 5, "messages": messages}
    before = json.dumps(request)
    assert to_chat_request(from_chat_request(request)) == request
    assert json.dumps(request) == before


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"store": True}, "store"),
        ({"truncation": "auto"}, "truncation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"include": ["message.output_text.logprobs", "reasoning.encrypted_content"]}, "include[1]"),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, "reasoning.summary"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "custom", "name": "x"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "name": "x", "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tool_choice": {"type": "mcp", "server_label": "s"}}, "tool_choice.type"),
        ({"service_tier": "ultrafast"}, "service_tier"),
        ({"prompt_cache_options": {"ttl": "12h"}}, "prompt_cache_options.ttl"),
        ({"input": [{"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"}]}, "input[0].type"),
        ({"input": [QUESTION, {"id": "msg_1"}]}, "input[1].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
         "input[0].content[0].file_id"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}]},
         "input[0].content[0].file_url"),
        ({"input": [{"role": "system", "content": [{"type": "input_image", "image_url": "u"}]}]},
         "input[0].content[0].type"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                    {"role": "assistant", "content": "Wait."}]}, "input[1]"),
        ({"input": [{"role": "assistant", "content": "a", "phase": "commentary"}]}, "input[0].phase"),
    ],
)  # fmt: skip
def test_what_chat_has_no_place_for_is_named_as_the_caller_wrote_it(body: dict[str, Any], param: str) -> None:
    assert refusal(to_chat_request, {"model": "m", "input": "hi", **body}) == ("cannot_carry", param)


def test_what_openais_clients_add_to_an_answer_stays_behind_for_the_answer_says_it() -> None:
    function = {"name": "f", "arguments": '{"a":1}'}
    said = {"role": "assistant", "content": "Yes.", "tool_calls": [{"id": "t", "function": function}]}
    parsed = {"id": "t", "index": 0, "function": {**function, "parsed_arguments": {"a": 1}}}
    ask = {"model": "m", "messages": [QUESTION, said]}
    again = {**ask, "messages": [QUESTION, {**said, "parsed": {"b": 2}, "tool_calls": [parsed]}]}
    assert from_chat_request(again) == from_chat_request(ask)


def test_a_reference_is_refused_with_what_makes_clients_send_items() -> None:
    with pytest.raises(InputError) as caught:
        to_chat_request({"model": "m", "input": [{"type": "item_reference", "id": "msg_1"}]})
    assert (caught.value.code, caught.value.param) == ("cannot_carry", "input[0].type")
    assert "`store: false`" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"n": 2}, "n"),
        ({"stop": "END"}, "stop"),
        ({"seed": 1}, "seed"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"store": True}, "store"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_completion_tokens"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"messages": [{**QUESTION, "name": "Ann"}]}, "messages[0].name"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
         "messages[0].content[0].type"),
    ],
)  # fmt: skip
def test_what_responses_has_no_place_for_is_named_in_the_words_of_chat(request_: dict[str, Any], param: str) -> None:
    assert refusal(from_chat_request, {"model": "m", "messages": [QUESTION], **request_}) == ("cannot_carry", param)


def test_a_field_that_no_api_has_is_unknown_and_the_nearest_is_named() -> None:
    with pytest.raises(InputError) as caught:
        to_chat_request({"max_output_token": 1, "input": "hi"})
    assert (caught.value.code, caught.value.param, caught.value.hint) == (
        "unknown_field",
        "max_output_token",
        "did you mean `max_output_tokens`?",
    )
    assert refusal(to_chat_request, {"input": [{**QUESTION, "nam": "x"}]}) == ("unknown_field", "input[0].nam")
    assert refusal(merge_request, release(), [], {"inpt": "hi"}) == ("unknown_field", "inpt")
    assert refusal(from_chat_request, {"messages": [QUESTION], "top_k": 3}) == ("unknown_field", "top_k")
    assert refusal(to_chat_request, {"input": 7}) == ("invalid_type", "input")
    assert refusal(to_chat_request, {"input": [{"content": "x"}]}) == ("invalid_type", "input[0].type")


@pytest.mark.parametrize(
    ("compiled", "body", "param"),
    [
        (release({"max_tokens": 5}), {"max_output_tokens": 9}, "max_output_tokens"),
        (release({"reasoning_effort": "low"}), {"reasoning": {"effort": "high"}}, "reasoning.effort"),
        (release({"verbosity": "low"}), {"text": {"verbosity": "high"}}, "text.verbosity"),
        (release(schema=SchemaContent(name="r", schema=SCHEMA)), {"text": {"format": {"type": "text"}}}, "text.format"),
        (release({}, ("system", "Be kind.")), {"instructions": "Be rude."}, "instructions"),
        (release({}, ("system", "Be kind.")), {"input": [QUESTION, {"role": "developer", "content": "x"}]},
         "input[1].role"),
    ],
)  # fmt: skip
def test_errors_about_a_translated_request_are_told_in_the_callers_words_as_natively(
    compiled: CompiledRelease, body: dict[str, Any], param: str
) -> None:
    body = {"model": "m", "input": "hi", **body}
    with pytest.raises(InputError) as caught:
        build_request(compiled, [], to_chat_request(body))
    told = in_responses_words(caught.value, body)
    assert (told.code, told.param) == ("pinned_field", param)
    assert told.hint
    assert f"`{param}`" in told.hint
    assert refusal(merge_request, compiled, [], body) == ("pinned_field", param)


def test_the_places_of_later_translations_are_told_in_the_callers_words() -> None:
    for param, told in [
        ("response_format.json_schema.strict", "text.format.strict"),
        ("tools[0].function.strict", "tools[0].strict"),
        ("messages[2].content[0].image_url.detail", "input"),
        ("temperature", "temperature"),
        ("model.parameters.response_format.json_schema.strict", "model.parameters.response_format.json_schema.strict"),
    ]:
        error = InputError("cannot_carry", f"`{param}` cannot be carried", param=param)
        assert in_responses_words(error, {"input": "hi"}).param == told
