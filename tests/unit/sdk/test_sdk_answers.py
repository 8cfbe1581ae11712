from __future__ import annotations

from typing import Any

from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from trimtab.sdk.anthropic_answer import MessageStreamReader, read_message
from trimtab.sdk.openai_answer import ChatStreamReader, is_usage_chunk, read_chat_completion

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
        reader.read(chunk({"index": 0, "delta": {"content": text[start:end]}, "finish_reason": None}))
    assert not reader.complete
    reader.read(chunk({"index": 0, "delta": {}, "finish_reason": "stop"}))
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
    brought = [
        reader.read(chunk({"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None})) for piece in pieces
    ]
    assert all(brought)
    assert [call["function"]["arguments"] for call in reader.answer().tool_calls] == ['{"order":"A-1"}', "{}"]
    assert reader.answer().tool_calls[0] == CALL


def test_only_the_first_choice_is_the_answer_and_the_usage_chunk_is_told_apart() -> None:
    reader = ChatStreamReader()
    reader.read(chunk({"index": 1, "delta": {"content": "second"}, "finish_reason": None}))
    usage = chunk(usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})
    reader.read(usage)
    assert is_usage_chunk(usage)
    assert (reader.answer().output, reader.answer().input_tokens, reader.answer().output_tokens) == ("", 3, 4)


def events(*values: dict[str, Any]) -> MessageStreamReader:
    reader = MessageStreamReader()
    for value in values:
        reader.read(EVENT.validate_python(value))
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
    reader.read(
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
