from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.providers.anthropic_requests import PNG, QUESTION, SCHEMA, chat, refusal, release

from trimtab.core.errors import InputError
from trimtab.providers.anthropic import (
    from_chat_request,
    merge_request,
    to_chat_request,
    unit_of,
)

CONVERSATION: dict[str, Any] = {
    "model": "support-reply",
    "max_tokens": 300,
    "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {"type": "text", "text": "Where are A-1 and B-2?"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"order": "A-1"}},
                {"type": "tool_use", "id": "toolu_2", "name": "find", "input": {"order": "B-2"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "in transit"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "lost"}]},
                {"type": "text", "text": "Well?"},
            ],
        },
    ],
    "tools": [{"name": "find", "description": "Finds", "input_schema": SCHEMA, "strict": True}],
    "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    "stop_sequences": ["END"],
    "temperature": 0.5,
    "top_p": 0.9,
    "metadata": {"user_id": "u-1"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "stream": True,
}


def test_a_messages_request_becomes_the_chat_request_that_says_the_same() -> None:
    assert to_chat_request({**CONVERSATION, "trimtab": {"variables": {"a": 1}}}) == {
        "model": "support-reply",
        "trimtab": {"variables": {"a": 1}},
        "max_completion_tokens": 300,
        "messages": [
            {
                "role": "system",
                "content": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {"type": "text", "text": "Where are A-1 and B-2?"},
                ],
            },
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {"id": "toolu_1", "type": "function", "function": {"name": "find", "arguments": '{"order":"A-1"}'}},
                    {"id": "toolu_2", "type": "function", "function": {"name": "find", "arguments": '{"order":"B-2"}'}},
                ],
            },
            {"role": "tool", "tool_call_id": "toolu_1", "content": "in transit"},
            {"role": "tool", "tool_call_id": "toolu_2", "content": "lost"},
            {"role": "user", "content": "Well?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "find", "description": "Finds", "parameters": SCHEMA, "strict": True},
            }
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "stop": ["END"],
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u-1",
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "response", "schema": SCHEMA, "strict": True},
        },
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_there_and_back_a_messages_request_says_what_it_said() -> None:
    back = from_chat_request(to_chat_request(CONVERSATION))
    conversation = json.loads(json.dumps(CONVERSATION))
    conversation["messages"][2]["content"][1]["content"] = "lost"  # one text block is the same as its text
    assert back == conversation


TEXTS = st.text(min_size=1, max_size=8)
JSON_OBJECTS = st.dictionaries(TEXTS, st.integers() | TEXTS | st.lists(TEXTS, max_size=2), max_size=2)


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
                "function": {"name": draw(TEXTS), "arguments": json.dumps(arguments, separators=(",", ":"))},
            }
            for index, arguments in enumerate(draw(st.lists(JSON_OBJECTS, max_size=3)))
        ]
        if calls:
            message["tool_calls"] = calls
        elif message["content"] is None:
            message["content"] = "-"
        messages.append(message)
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": draw(st.text(max_size=5))} for call in calls
        ]
    return [*messages, {"role": "user", "content": draw(TEXTS)}]


@given(chat_conversations())
def test_there_and_back_a_chat_conversation_keeps_content_calls_and_ids(messages: list[dict[str, Any]]) -> None:
    request = {"model": "m", "max_completion_tokens": 5, "messages": messages}
    back = to_chat_request(from_chat_request(request))
    for message in [*messages, *back["messages"]]:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    assert back == request


def test_turns_alternate_whatever_chat_sends() -> None:
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": ""}} for n in (1, 2)
    ]  # some models send no arguments at all
    messages = [
        QUESTION,
        {"role": "user", "content": [{"type": "text", "text": "Please."}]},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": "And?"},
    ]
    assert chat(messages=messages)["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Where is A-1?"}, {"type": "text", "text": "Please."}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
                {"type": "tool_use", "id": "c2", "name": "f", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "two"}]},
                {"type": "text", "text": "And?"},
            ],
        },
    ]


def test_a_tool_whose_input_shall_be_streamed_eagerly_is_a_tool_of_chat_which_streams_it_anyway() -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}}
    asked = {"messages": [QUESTION], "tools": [{**tool, "eager_input_streaming": True}]}
    assert to_chat_request(asked) == to_chat_request({"messages": [QUESTION], "tools": [tool]})


def test_what_was_sent_is_left_as_it_was() -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "a"}]}, {"role": "user", "content": "b"}]
    before = json.dumps(messages)
    chat(messages=messages)
    assert json.dumps(messages) == before


def test_answers_of_a_client_can_be_sent_back_with_their_empty_fields() -> None:
    said: dict[str, Any] = {"role": "assistant", "content": "Yes.", "refusal": None, "annotations": [], "audio": None}
    assert chat(messages=[QUESTION, said, QUESTION])["messages"][1] == {"role": "assistant", "content": "Yes."}
    blocks = [
        {"type": "text", "text": "Yes.", "citations": None},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "direct"}, "toolset_name": None},
    ]
    turn = {"role": "assistant", "content": blocks}
    assert to_chat_request({"messages": [QUESTION, turn, QUESTION]})["messages"][1]["content"] == "Yes."


def test_what_openais_clients_add_to_an_answer_stays_behind_for_the_answer_says_it() -> None:
    call: dict[str, Any] = {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    parsed = {**call, "index": 0, "function": {**call["function"], "parsed_arguments": {"a": 1}}}
    said = {"role": "assistant", "content": "Yes.", "tool_calls": [call]}
    again = {**said, "parsed": None, "tool_calls": [parsed]}
    assert chat(messages=[QUESTION, again, QUESTION]) == chat(messages=[QUESTION, said, QUESTION])


@pytest.mark.parametrize(
    ("fields", "carried"),
    [
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"user": "u", "safety_identifier": "u"}, {"metadata": {"user_id": "u"}}),
        ({"max_completion_tokens": 9}, {}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"tool_choice": {"type": "none"}}),
        (
            {"parallel_tool_calls": True},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": False}},
        ),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tool_choice": {"type": "tool", "name": "f"}},
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]},
        ),
        (
            {
                "reasoning_effort": "high",
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
            },
            {"output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}}},
        ),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
        ({"seed": None, "n": 1, "logprobs": False, "presence_penalty": 0.0}, {}),
        ({"thinking": {"type": "adaptive"}, "top_k": 4}, {"thinking": {"type": "adaptive"}, "top_k": 4}),
    ],
)
def test_parameters_of_chat_travel_under_anthropics_names(fields: dict[str, Any], carried: dict[str, Any]) -> None:
    assert chat(**fields) == {"model": "m", "max_tokens": 9, "messages": [QUESTION], **carried}


def part(**fields: Any) -> list[dict[str, Any]]:
    return [QUESTION, {"role": "user", "content": [{"type": "text", "text": "a"}, fields]}]


def image(**fields: Any) -> list[dict[str, Any]]:
    return part(type="image_url", image_url=fields)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"seed": 7}, "seed"),
        ({"n": 2}, "n"),
        ({"temperature": 1.5}, "temperature"),
        ({"reasoning_effort": "minimal"}, "reasoning_effort"),
        ({"max_completion_tokens": 10}, "max_completion_tokens"),
        ({"user": "a", "safety_identifier": "b"}, "safety_identifier"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": False}}},
            "response_format.json_schema.strict",
        ),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0].type"),
        ({"messages": part(type="input_audio", input_audio={})}, "messages[1].content[1].input_audio"),
        ({"messages": image(url="ftp://x")}, "messages[1].content[1].image_url.url"),
        ({"messages": image(url="data:image/svg+xml;base64,AA==")}, "messages[1].content[1].image_url.url"),
        ({"messages": image(url="https://x", detail="high")}, "messages[1].content[1].image_url.detail"),
        ({"messages": [QUESTION, {"role": "system", "content": "late"}]}, "messages[1].role"),
        ({"messages": [QUESTION, {"role": "assistant", "content": "The answer is"}]}, "messages[1].role"),
        ({"messages": [{"role": "function", "name": "f", "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "a", "name": "Ann"}]}, "messages[0].name"),
    ],
)
def test_what_anthropic_has_no_place_for_is_named(fields: dict[str, Any], param: str) -> None:
    assert refusal(lambda: chat(**fields)) == ("cannot_carry", param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": "hi"}, "messages"),
        ({"messages": [7]}, "messages[0]"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "guest", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "hi"}]}, "messages[0].tool_call_id"),
        ({"messages": part(text="no type")}, "messages[1].content[1].type"),
        ({"tools": {}}, "tools"),
        ({"user": 7}, "user"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ],
)
def test_what_has_a_wrong_type_is_named_where_it_stands(fields: dict[str, Any], param: str) -> None:
    assert refusal(lambda: chat(**fields)) == ("invalid_type", param)


JUNK: list[Any] = [None, True, 7, 0.5, "x", "", [], [7], [[]], {}, {"x": 1}, {"type": []}, {"type": "text"}]


def with_junk(value: Any) -> list[Any]:
    """Every value that differs from `value` in one place, where something stands that belongs nowhere."""
    changed = list(JUNK)
    if isinstance(value, dict):
        changed += [{**value, name: junk} for name, item in value.items() for junk in with_junk(item)]
    elif isinstance(value, list):
        changed += [[*value[:at], junk, *value[at + 1 :]] for at, item in enumerate(value) for junk in with_junk(item)]
    return changed


@pytest.mark.parametrize("name", [*CONVERSATION])
def test_whatever_a_caller_sends_is_carried_or_refused_and_never_a_defect(name: str) -> None:
    translated = to_chat_request(CONVERSATION)
    for junk in with_junk(CONVERSATION[name]):
        for translate in (to_chat_request, lambda body: merge_request(release(), [], body), unit_of):
            with contextlib.suppress(InputError):
                translate({**CONVERSATION, name: junk})
    chat_name = name if name in translated else "response_format"
    for junk in with_junk(translated[chat_name]):
        with contextlib.suppress(InputError):
            from_chat_request({**translated, chat_name: junk})


def test_anthropic_wants_max_tokens_and_a_message() -> None:
    assert refusal(from_chat_request, {"model": "m", "messages": [QUESTION]}) == ("missing_max_tokens", "max_tokens")
    only_system = {"model": "m", "max_tokens": 1, "messages": [{"role": "system", "content": "Be brief."}]}
    assert refusal(from_chat_request, only_system) == ("no_messages", "messages")
