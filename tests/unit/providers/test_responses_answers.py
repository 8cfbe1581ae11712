from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from trimtab.core.errors import UpstreamError
from trimtab.providers.openai import read_completion
from trimtab.providers.responses import (
    adapt_answer,
    from_chat_completion,
    read_answer,
    to_chat_completion,
)

TOKEN = {"token": "Hi", "bytes": [72, 105], "logprob": -0.5, "top_logprobs": []}


def response(*output: dict[str, Any], **changes: Any) -> bytes:
    answer = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000.0,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "gpt-5.5-2026-04-23",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 12,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 19,
        },
    }
    Response.model_validate(answer | changes, strict=False)
    return json.dumps(answer | changes).encode()


def said(*texts: str, **part: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": [], **part} for text in texts]
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}


def refused(text: str) -> dict[str, Any]:
    return {**said(), "content": [{"type": "refusal", "refusal": text}]}


def called(call_id: str, arguments: str = '{"a":1}') -> dict[str, Any]:
    return {
        "id": f"fc_{call_id}",
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": "find",
        "arguments": arguments,
    }


REASONING = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}


def as_chat(body: bytes) -> ChatCompletion:
    return ChatCompletion.model_validate_json(to_chat_completion(body), strict=True)


def test_a_response_becomes_the_chat_completion_that_says_the_same() -> None:
    body = response(REASONING, said("In ", "transit."), called("c1"), called("c2", ""), service_tier="flex")
    assert as_chat(body).to_dict() == {
        "id": "resp_1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-5.5-2026-04-23",
        "service_tier": "flex",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "In transit.",
                    "refusal": None,
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"a":1}'}},
                        {"id": "c2", "type": "function", "function": {"name": "find", "arguments": ""}},
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 12,
            "completion_tokens": 7,
            "total_tokens": 19,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
    }


def test_log_probabilities_are_carried_both_ways() -> None:
    body = response(said("Hi", logprobs=[TOKEN]))
    choice = as_chat(body).choices[0]
    assert choice.logprobs
    assert choice.logprobs.content
    assert choice.logprobs.content[0].to_dict() == TOKEN
    back = json.loads(from_chat_completion(to_chat_completion(body)))
    assert back["output"][0]["content"][0]["logprobs"] == [TOKEN]


@pytest.mark.parametrize(
    ("changes", "finish_reason"),
    [
        ({}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_messages"}}, "length"),
    ],
)
def test_why_a_response_ended_is_the_finish_reason(changes: dict[str, Any], finish_reason: str) -> None:
    body = response(said("Hi"), **changes)
    assert as_chat(body).choices[0].finish_reason == finish_reason
    assert read_answer(body).finish_reason == finish_reason


def test_an_empty_response_is_an_empty_text() -> None:
    assert as_chat(response(usage=None)).choices[0].message.content == ""


def test_a_refusal_is_a_refusal_both_ways() -> None:
    body = response(refused("I can't."))
    chat = as_chat(body)
    assert (chat.choices[0].message.content, chat.choices[0].message.refusal) == (None, "I can't.")
    back = json.loads(from_chat_completion(to_chat_completion(body)))
    assert back["output"][0]["content"] == [{"type": "refusal", "refusal": "I can't."}]
    assert (read_answer(body).output, read_answer(body).finish_reason) == ("I can't.", "refusal")


def test_the_facts_are_the_same_natively_and_through_chat() -> None:
    body = response(REASONING, said("In ", "transit."), called("c1"))
    assert read_answer(body) == read_completion(to_chat_completion(body))
    assert read_answer(body).tool_calls == [
        {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"a":1}'}}
    ]


def test_a_response_in_the_background_has_no_answer_yet_and_cannot_be_a_chat_completion() -> None:
    body = response(status="queued", usage=None)
    assert read_answer(body).served_model == "gpt-5.5-2026-04-23"
    with pytest.raises(UpstreamError) as caught:
        to_chat_completion(body)
    assert caught.value.code == "upstream_malformed"


@pytest.mark.parametrize("read", [read_answer, to_chat_completion])
def test_a_failed_response_is_an_error_with_the_providers_own_code(read: Any) -> None:
    error = {"code": "rate_limit_exceeded", "message": "Slow down."}
    with pytest.raises(UpstreamError) as caught:
        read(response(status="failed", error=error))
    assert (caught.value.code, caught.value.message) == ("rate_limit_exceeded", "Slow down.")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"output":7}', b"\xff", b'{"output":[{"type":3}]}'])
def test_what_is_no_response_is_malformed(body: bytes) -> None:
    for read in (read_answer, to_chat_completion):
        with pytest.raises(UpstreamError) as caught:
            read(body)
        assert caught.value.code == "upstream_malformed"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"[]", b'{"output":7}', b'{"output":[7]}', b"\xff"),
        b'{"output":[{"type":"message","content":[{"type":"output_text","text":7}]}]}',
    ],
)
def test_what_is_no_response_cannot_be_adapted(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        adapt_answer(body, ["trim"])
    assert caught.value.code == "upstream_malformed"


CALLS = [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}]


def completion(message: dict[str, Any], **changes: Any) -> bytes:
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-4.1-2025-04-14",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
    }
    return json.dumps(answer | changes).encode()


def test_a_chat_completion_becomes_a_whole_response() -> None:
    told = from_chat_completion(completion({"content": "Hi.", "tool_calls": CALLS}))
    parsed = Response.model_validate_json(told, strict=True)
    assert parsed.output_text == "Hi."
    assert (parsed.id, parsed.model, parsed.status) == ("chatcmpl-1", "gpt-4.1-2025-04-14", "completed")
    assert parsed.output[1].to_dict() == {**called("c1", "{}")}
    assert parsed.usage
    assert parsed.usage.to_dict() == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 8,
    }


def test_a_response_repeats_what_its_request_said() -> None:
    request = {"temperature": 0.5, "metadata": {"a": "b"}, "max_output_tokens": 9, "instructions": None}
    told = json.loads(from_chat_completion(completion({"content": "Hi."}), request=request))
    assert (told["temperature"], told["metadata"], told["max_output_tokens"]) == (0.5, {"a": "b"}, 9)
    assert (told["instructions"], told["tools"], told["store"]) == (None, [], False)


@pytest.mark.parametrize(("reason", "told"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_what_was_cut_short_is_incomplete(reason: str, told: str) -> None:
    choices = [{"index": 0, "message": {"content": "Hi"}, "finish_reason": reason}]
    parsed = Response.model_validate_json(from_chat_completion(completion({}, choices=choices)))
    assert parsed.incomplete_details
    assert (parsed.status, parsed.incomplete_details.reason) == ("incomplete", told)
    assert parsed.output[0].to_dict()["status"] == "incomplete"


def test_content_in_parts_is_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert Response.model_validate_json(from_chat_completion(completion({"content": parts}))).output_text == "ab"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"choices":[]}', b'{"choices":[{}]}', b'{"choices":3}'])
def test_what_is_no_chat_completion_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        from_chat_completion(body)
    assert caught.value.code == "upstream_malformed"


TEXTS = st.text(min_size=1, max_size=10)


@given(st.none() | TEXTS, st.lists(st.tuples(TEXTS, TEXTS, st.text(max_size=10)), max_size=3), st.integers(0, 99))
def test_there_and_back_an_answer_keeps_text_calls_ids_and_usage(
    text: str | None, calls: list[tuple[str, str, str]], tokens: int
) -> None:
    message: dict[str, Any] = {"content": text if text or calls else ""}
    if calls:
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in calls
        ]
    usage = {"prompt_tokens": tokens, "completion_tokens": 2, "total_tokens": tokens + 2}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}]
    body = completion({}, choices=choices, usage=usage)
    response_body = from_chat_completion(body)
    Response.model_validate_json(response_body, strict=True)
    assert read_completion(to_chat_completion(response_body)) == read_completion(body)


def test_adapters_change_text_and_nothing_else() -> None:
    body = response(REASONING, said("```json\n{}\n```"), called("c1", " {} "))
    adapted = json.loads(adapt_answer(body, ["strip_code_fence"]))
    original = json.loads(body)
    original["output"][1]["content"][0]["text"] = "{}"
    assert adapted == original
    assert adapt_answer(body, ["trim"]) is body
    assert adapt_answer(b"anything", []) == b"anything"
