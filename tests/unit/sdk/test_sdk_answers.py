from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from trimtab.sdk.anthropic_answer import MessageStreamReader, read_message
from trimtab.sdk.openai_answer import ChatStreamReader, adapt_chat_completion, read_chat_completion

CALL = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"order":"A-1"}'}}
EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def chunk(*choices: dict[str, Any], usage: dict[str, int] | None = None) -> ChatCompletionChunk:
    return ChatCompletionChunk.model_validate(
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m-2",
            "choices": list(choices),
            "usage": usage,
        }
    )


def test_a_completion_is_read_with_its_tool_calls_and_usage() -> None:
    completion = ChatCompletion.model_validate(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m-2",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "tool_calls",
                    "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
                }
            ],
            "usage": {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17},
        }
    )
    answer = read_chat_completion(completion)
    assert answer.tool_calls == [CALL]
    assert (answer.served_model, answer.finish_reason, answer.input_tokens, answer.output_tokens) == (
        "m-2",
        "tool_calls",
        12,
        5,
    )


@given(st.text(), st.data())
def test_a_stream_cut_anywhere_reads_as_the_whole_text(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    reader = ChatStreamReader()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        reader.take(chunk({"index": 0, "delta": {"content": text[start:end]}, "finish_reason": None}))
    assert not reader.complete
    reader.take(chunk({"index": 0, "delta": {}, "finish_reason": "stop"}))
    assert reader.complete
    assert reader.answer().output == text


def test_tool_calls_are_reassembled_by_index() -> None:
    reader = ChatStreamReader()
    pieces: list[dict[str, Any]] = [
        {"index": 1, "id": "call_2", "function": {"name": "other", "arguments": ""}},
        {"index": 0, "id": "call_1", "function": {"name": "find", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"order":'}},
        {"index": 1, "function": {"arguments": "{}"}},
        {"index": 0, "function": {"arguments": '"A-1"}'}},
    ]
    for piece in pieces:
        reader.take(chunk({"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}))
    assert reader.started
    assert [call["function"]["arguments"] for call in reader.answer().tool_calls] == ['{"order":"A-1"}', "{}"]
    assert reader.answer().tool_calls[0] == CALL


def test_only_the_first_choice_is_the_answer() -> None:
    reader = ChatStreamReader()
    reader.take(chunk({"index": 1, "delta": {"content": "second"}, "finish_reason": None}))
    assert (reader.answer().output, reader.started) == ("", False)


@pytest.mark.parametrize(("usage_is_ours", "shown"), [(True, 0), (False, 1)])
def test_a_usage_chunk_is_always_read_and_shown_only_to_a_caller_that_asked(*, usage_is_ours: bool, shown: int) -> None:
    reader = ChatStreamReader(usage_is_ours=usage_is_ours)
    seen = reader.take(chunk(usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}))
    assert len(seen) == shown
    assert (reader.answer().input_tokens, reader.answer().output_tokens) == (3, 4)


FENCED = "```json\n{}\n```"


def test_an_output_adapter_holds_text_back_until_the_answer_is_whole() -> None:
    reader = ChatStreamReader(steps=("strip_code_fence",))
    seen: list[Any] = []
    seen += reader.take(chunk({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}))
    for start in range(0, len(FENCED), 4):
        delta = {"content": FENCED[start : start + 4]}
        assert reader.take(chunk({"index": 0, "delta": delta, "finish_reason": None})) == ()
    seen += reader.take(chunk({"index": 0, "delta": {}, "finish_reason": "stop"}))
    assert "".join(piece.choices[0].delta.content or "" for piece in seen) == "{}" == reader.answer().output


def test_a_whole_answer_is_adapted_in_place() -> None:
    completion = ChatCompletion.model_validate(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": FENCED}}],
        }
    )
    adapt_chat_completion(completion, ("strip_code_fence",))
    assert read_chat_completion(completion).output == "{}"


def test_a_refusal_is_told_by_its_finish_reason() -> None:
    reader = ChatStreamReader()
    reader.take(chunk({"index": 0, "delta": {"refusal": "I cannot"}, "finish_reason": None}))
    reader.take(chunk({"index": 0, "delta": {}, "finish_reason": "stop"}))
    assert (reader.answer().finish_reason, reader.answer().output) == ("refusal", "I cannot")


def events(*values: dict[str, Any]) -> MessageStreamReader:
    reader = MessageStreamReader()
    for value in values:
        reader.take(EVENT.validate_python(value))
    return reader


START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1},
    },
}


def test_a_message_stream_is_reassembled_with_cached_tokens_counted() -> None:
    reader = events(
        START,
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "id": "t", "name": "find", "input": {}},
        },
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a":1}'}},
    )
    assert not reader.complete
    reader.take(
        EVENT.validate_python(
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}
        )
    )
    answer = reader.answer()
    assert reader.complete
    assert (answer.output, answer.finish_reason, answer.input_tokens, answer.output_tokens) == (
        "Hello",
        "tool_use",
        15,
        9,
    )
    assert answer.tool_calls == [{"id": "t", "type": "function", "function": {"name": "find", "arguments": '{"a":1}'}}]


def test_an_output_adapter_gives_a_text_block_as_one_delta_before_its_end() -> None:
    reader = MessageStreamReader(steps=("strip_code_fence",))
    values: list[dict[str, Any]] = [
        START,
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": FENCED[at : at + 5]}}
            for at in range(0, len(FENCED), 5)
        ),
        {"type": "content_block_stop", "index": 0},
    ]
    seen = [shown for value in values for shown in reader.take(EVENT.validate_python(value))]
    assert [event.type for event in seen][2:] == ["content_block_delta", "content_block_stop"]
    assert seen[2].delta.text == "{}" == reader.answer().output


def test_a_whole_message_reads_as_its_stream_does() -> None:
    message = Message.model_validate(
        START["message"]
        | {
            "content": [
                {"type": "text", "text": "Hello"},
                {"type": "tool_use", "id": "t", "name": "find", "input": {"a": 1}},
            ],
            "stop_reason": "tool_use",
        }
    )
    answer = read_message(message)
    assert (answer.output, answer.finish_reason, answer.input_tokens) == ("Hello", "tool_use", 15)
    assert answer.tool_calls[0]["function"] == {"name": "find", "arguments": '{"a":1}'}
