from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import ErrorResponse, Message
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from trimtab.core.errors import UpstreamError
from trimtab.providers.anthropic import (
    adapt_answer,
    error_body,
    from_chat_completion,
    headers,
    read_answer,
    read_error,
    stream_error,
    to_chat_completion,
)
from trimtab.providers.openai import Answer, read_completion

MESSAGE: dict[str, Any] = {
    "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [
        {"type": "thinking", "thinking": "They ask for two orders.", "signature": "EqQBCgIYAhIM"},
        {"type": "text", "text": "Let me ", "citations": None},
        {"type": "text", "text": "look."},
        {"type": "tool_use", "id": "toolu_01T1x1fJ34qAmk2tNTrN7Up6", "name": "find", "input": {"order": "A-1"}},
        {"type": "tool_use", "id": "toolu_02", "name": "now", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 2095,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 51,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 503,
        "output_tokens_details": {"thinking_tokens": 400},
        "service_tier": "standard",
    },
}
CALLS = [
    {
        "id": "toolu_01T1x1fJ34qAmk2tNTrN7Up6",
        "type": "function",
        "function": {"name": "find", "arguments": '{"order":"A-1"}'},
    },
    {"id": "toolu_02", "type": "function", "function": {"name": "now", "arguments": "{}"}},
]
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion",
    "created": 1741569952,
    "model": "gpt-4.1-2025-04-14",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello!", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 19,
        "completion_tokens": 10,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 3, "accepted_prediction_tokens": 0},
    },
    "service_tier": "default",
}


def encoded(value: Any, **changes: Any) -> bytes:
    return json.dumps({**value, **changes}).encode()


def as_chat(**changes: Any) -> ChatCompletion:
    return ChatCompletion.model_validate_json(to_chat_completion(encoded(MESSAGE, **changes)), strict=True)


def as_message(message: dict[str, Any] | None = None, *, finish_reason: str = "stop") -> Message:
    choice = {**COMPLETION["choices"][0], "finish_reason": finish_reason}
    if message is not None:
        choice["message"] = {"role": "assistant", "content": None, **message}
    return Message.model_validate_json(from_chat_completion(encoded(COMPLETION, choices=[choice])), strict=True)


def test_a_message_becomes_a_chat_completion() -> None:
    completion = ChatCompletion.model_validate_json(to_chat_completion(encoded(MESSAGE), created=1741569952))
    assert completion.to_dict() == {
        "id": MESSAGE["id"],
        "object": "chat.completion",
        "created": 1741569952,
        "model": MESSAGE["model"],
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "logprobs": None,
                "message": {"role": "assistant", "content": "Let me look.", "refusal": None, "tool_calls": CALLS},
            }
        ],
        "usage": {
            "prompt_tokens": 2246,
            "completion_tokens": 503,
            "total_tokens": 2749,
            "prompt_tokens_details": {"cached_tokens": 51, "cache_write_tokens": 100},
            "completion_tokens_details": {"reasoning_tokens": 400},
        },
    }


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("a_reason_to_come", "stop"),
    ],
)
def test_stop_reasons_become_finish_reasons(stop_reason: str, finish_reason: str) -> None:
    assert as_chat(stop_reason=stop_reason).choices[0].finish_reason == finish_reason


def test_a_refusal_is_told_with_its_explanation() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "This could enable malware."}
    choice = as_chat(stop_reason="refusal", stop_details=details, content=[]).choices[0]
    assert (choice.finish_reason, choice.message.refusal, choice.message.content) == (
        "content_filter",
        "This could enable malware.",
        None,
    )


def test_an_empty_message_is_an_empty_text() -> None:
    assert as_chat(content=[], stop_reason="end_turn").choices[0].message.content == ""


def test_a_chat_completion_becomes_a_message() -> None:
    assert Message.model_validate_json(from_chat_completion(encoded(COMPLETION)), strict=True).to_dict() == {
        "id": COMPLETION["id"],
        "type": "message",
        "role": "assistant",
        "model": COMPLETION["model"],
        "content": [{"type": "text", "text": "Hello!"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 15,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "output_tokens": 10,
            "output_tokens_details": {"thinking_tokens": 3},
        },
    }


@pytest.mark.parametrize(
    ("finish_reason", "stop_reason"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")],
)
def test_finish_reasons_become_stop_reasons(finish_reason: str, stop_reason: str) -> None:
    assert as_message(finish_reason=finish_reason).stop_reason == stop_reason


@pytest.mark.parametrize("finish_reason", ["tool_calls", "stop"])
def test_tool_calls_become_tool_uses_also_where_chat_says_stop_after_a_forced_call(finish_reason: str) -> None:
    message = as_message({"tool_calls": CALLS}, finish_reason=finish_reason)
    assert message.stop_reason == "tool_use"
    assert [block.to_dict() for block in message.content] == MESSAGE["content"][3:]


def test_a_refused_answer_of_chat_is_a_text_with_the_stop_reason_refusal() -> None:
    message = as_message({"refusal": "I cannot help with that."})
    assert message.stop_reason == "refusal"
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "I cannot help with that."}]


def test_content_in_parts_is_read() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert [block.to_dict() for block in as_message({"content": parts}).content] == [{"type": "text", "text": "ab"}]


@given(
    st.text(),
    st.lists(st.dictionaries(st.text(max_size=5), st.integers(), max_size=2), max_size=3),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_there_and_back_an_answer_keeps_text_calls_ids_and_usage(
    text: str, inputs: list[dict[str, int]], cached: int, output: int
) -> None:
    content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    content += [{"type": "tool_use", "id": f"toolu_{n}", "name": "f", "input": given} for n, given in enumerate(inputs)]
    usage = {
        "input_tokens": 7,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": output,
    }
    message = {
        **MESSAGE,
        "content": content,
        "usage": usage,
        "stop_reason": "tool_use" if inputs else "end_turn",
    }
    chat = to_chat_completion(encoded(message))
    assert json.loads(from_chat_completion(chat)) == message
    native, pivot = read_answer(encoded(message)), read_completion(chat)
    assert (native.output, native.tool_calls, native.input_tokens, native.output_tokens) == (
        pivot.output,
        pivot.tool_calls,
        pivot.input_tokens,
        pivot.output_tokens,
    )


def test_the_facts_of_a_message_are_read() -> None:
    assert read_answer(encoded(MESSAGE)) == Answer(
        output="Let me look.",
        tool_calls=CALLS,
        finish_reason="tool_use",
        served_model="claude-sonnet-4-5-20250929",
        input_tokens=2246,
        output_tokens=503,
    )


def test_output_adapters_work_on_every_text_block_and_leave_the_rest_as_it_is() -> None:
    fenced = encoded(MESSAGE, content=[*MESSAGE["content"][:1], {"type": "text", "text": "```json\n{}\n```"}])
    adapted = json.loads(adapt_answer(fenced, ["strip_code_fence"]))
    assert adapted == {**MESSAGE, "content": [MESSAGE["content"][0], {"type": "text", "text": "{}"}]}
    body = encoded(MESSAGE)
    assert adapt_answer(body, []) is body
    assert adapt_answer(body, ["strip_code_fence"]) is body


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"\xff", b"<html>", b"{}", b'{"content": 3}', b'{"content": [{}]}'),
        b'{"content": [{"type": "text", "text": 7}], "usage": {}}',
    ],
)
def test_what_is_no_message_is_an_upstream_error(body: bytes) -> None:
    for read in (read_answer, to_chat_completion, lambda data: adapt_answer(data, ["trim"])):
        with pytest.raises(UpstreamError) as caught:
            read(body)
        assert caught.value.code == "upstream_malformed"


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"{}", b'{"choices": []}', b'{"choices": [{"message": 1}]}'])
def test_what_is_no_completion_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        from_chat_completion(body)
    assert caught.value.code == "upstream_malformed"


@pytest.mark.parametrize("arguments", ['{"order": "A', "[1]", "7"])
def test_arguments_that_are_no_object_are_an_upstream_error(arguments: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": arguments}}
    with pytest.raises(UpstreamError, match="`find`"):
        as_message({"tool_calls": [call]})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_errors_have_anthropics_type_and_keep_our_code_and_place(status: int, kind: str) -> None:
    body = error_body(kind="invalid_request_error", message="Wrong.", param="seed", code="cannot_carry", status=status)
    error = ErrorResponse.model_validate_json(body, strict=True).error
    assert error.type == kind
    assert error.message == "Wrong."
    assert json.loads(body)["error"].items() >= {"param": "seed", "code": "cannot_carry"}.items()
    assert read_error(body, status) == (kind, "Wrong.")


def test_a_refused_thread_is_told_as_anthropic_does_so_that_its_clients_go_on_without() -> None:
    refusal: dict[str, Any] = {"kind": "invalid_request_error", "message": "No.", "code": "cannot_carry", "status": 400}
    told = json.loads(error_body(**refusal, param="thread"))["error"]
    assert told["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    assert "details" not in json.loads(error_body(**refusal, param="top_k"))["error"]


def test_a_stream_ends_with_an_error_event() -> None:
    event = stream_error(kind="upstream_error", message="Gone.", param=None, code="upstream_truncated", status=502)
    name, data = event.split(b"\n", 1)
    assert name == b"event: error"
    assert data.startswith(b"data: {")
    assert data.endswith(b"}\n\n")
    assert json.loads(data[6:])["type"] == "error"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}',
            ("overloaded_error", "Overloaded"),
        ),
        (b'{"type":"error","error":{"type":"","message":"m"}}', ("upstream_status_529", "m")),
        (b'{"error": {"message": "m", "type": "t", "code": "rate_limit_exceeded"}}', None),
        (b"<html>Bad gateway</html>", None),
        (b"\xff", None),
    ],
)
def test_errors_are_read_where_they_have_anthropics_shape(body: bytes, error: tuple[str, str] | None) -> None:
    assert read_error(body, 529) == error


def test_the_key_is_one_header_line_beside_the_version() -> None:
    assert headers("sk-ant\r\nx-evil: 1") == b"x-api-key: sk-antx-evil: 1\r\nanthropic-version: 2023-06-01\r\n"
    assert headers("") == b"anthropic-version: 2023-06-01\r\n"
