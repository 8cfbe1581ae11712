"""Streams of messages and of chunks, one into the other, read back by both real clients."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter
from tests.unit.providers.anthropic_streams import (
    CUTS,
    ERROR,
    Clients,
    _data,
    chunked,
    data_of,
    event,
    fed,
    message_of,
    messages,
    streamed,
    text,
    use,
)

from trimtab.core.errors import UpstreamError
from trimtab.providers.anthropic import (
    FromChatStream,
    MessagesAssembler,
    ToChatStream,
    from_chat_completion,
    read_answer,
    to_chat_completion,
)
from trimtab.providers.openai import StreamAssembler, read_completion

EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


@pytest.fixture(scope="module")
def clients() -> Clients:
    return Clients()


# --- messages -> chunks ----------------------------------------------------------------------------------------------


@given(messages(), CUTS, st.sampled_from([b"\n", b"\r\n"]))
def test_a_stream_of_messages_cut_anywhere_becomes_chunks_that_say_the_whole_message(
    message: dict[str, Any], cuts: list[int], newline: bytes
) -> None:
    data = streamed(message).replace(b"\n", newline)
    chunks = fed(ToChatStream(created=7), data, cuts)
    assert chunks == ToChatStream(created=7).feed(data)
    for chunk in data_of(chunks):
        ChatCompletionChunk.model_validate(chunk, strict=True)
    assembler = StreamAssembler(keep_usage=True)
    assembler.feed(chunks)
    assert assembler.ended
    answer, whole = assembler.answer(), read_completion(to_chat_completion(json.dumps(message).encode()))
    for one in (answer, whole):
        for call in one.tool_calls:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    assert answer == whole


@settings(max_examples=15)
@given(message=messages())
def test_openais_client_reads_the_chunks_as_the_completion(clients: Clients, message: dict[str, Any]) -> None:
    read = clients.completion(ToChatStream().feed(streamed(message)))
    whole = json.loads(to_chat_completion(json.dumps(message).encode()))
    said, expected = read.choices[0].message, whole["choices"][0]["message"]
    assert (said.content or "", read.choices[0].finish_reason) == (
        expected["content"] or "",
        whole["choices"][0]["finish_reason"],
    )
    calls = [(call.id, call.type, json.loads(call.function.arguments)) for call in said.tool_calls or ()]  # type: ignore[union-attr]
    assert calls == [(block["id"], "function", block["input"]) for block in message["content"] if "id" in block]
    assert read.usage
    assert read.usage.to_dict() == whole["usage"]


def test_thinking_stays_behind_and_parallel_tools_are_numbered_from_nought() -> None:
    thinking = {"type": "thinking", "thinking": "Two orders.", "signature": ""}
    message = message_of(thinking, text("Let me look."), use("a", order="A-1"), use("b"), stop_reason="tool_use")
    chunks = ToChatStream().feed(streamed(message))
    assert b"Two orders" not in chunks
    calls = [
        call
        for chunk in data_of(chunks)
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls", ())
    ]
    assert [call["index"] for call in calls if "id" in call] == [0, 1]
    assert calls[-1] == {"index": 1, "function": {"arguments": "{}"}}  # it takes no input, and says so


def test_blocks_may_begin_with_all_they_have() -> None:
    start = streamed(message_of()).partition(b"event: message_delta")[0]
    blocks = (text("```\nHi\n```"), use("a", n=1))
    data = start + b"".join(
        event({"type": "content_block_start", "index": index, "content_block": block})
        + event({"type": "content_block_stop", "index": index})
        for index, block in enumerate(blocks)
    )
    assembler, native = StreamAssembler(keep_usage=True), MessagesAssembler()
    assembler.feed(ToChatStream().feed(data))
    assert native.feed(data) == data
    for answer in (assembler.answer(), native.answer()):
        assert answer.output == "```\nHi\n```"
        assert [call["function"]["arguments"] for call in answer.tool_calls] == ['{"n":1}']
    adapted = MessagesAssembler(steps=["strip_code_fence"]).feed(data)
    assert b"```" not in adapted
    assert [one["delta"] for one in data_of(adapted) if "delta" in one] == [{"type": "text_delta", "text": "Hi"}]


def test_the_counts_of_the_last_event_win() -> None:
    data = streamed(message_of(text("hi"))).replace(
        b'"usage": {"output_tokens": 15}', b'"usage": {"output_tokens": 15, "input_tokens": 40}'
    )
    usage = data_of(ToChatStream().feed(data))[-1]["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (47, 15)
    assembler = MessagesAssembler()
    assembler.feed(data)
    assert assembler.answer().input_tokens == 47


def test_a_refusal_ends_the_chunks_with_its_explanation() -> None:
    data = streamed(message_of(text("Well"), stop_reason="refusal")).replace(
        b'"stop_sequence": null}, "usage": {"output_tokens": 15}',
        b'"stop_sequence": null, "stop_details": {"type": "refusal", "explanation": "No."}},'
        b' "usage": {"output_tokens": 15}',
    )
    last = data_of(ToChatStream().feed(data))[-2]["choices"][0]
    assert last == {"index": 0, "delta": {"refusal": "No."}, "finish_reason": "content_filter"}


def test_an_error_in_a_stream_of_messages_is_one_of_chat() -> None:
    chunks = ToChatStream().feed(streamed(message_of(text("hi")))[:900].rpartition(b"event:")[0] + event(ERROR))
    assembler = StreamAssembler(keep_usage=True)
    assembler.feed(chunks)
    assert assembler.error_code == "overloaded_error"
    assert data_of(chunks)[-1]["error"]["message"] == "Overloaded"
    assert not assembler.ended


@pytest.mark.parametrize(
    "data",
    [
        b"data: {nonsense}\n\n",
        b"data: \xff\n\n",
        b'data: {"choices": []}\n\n',
        event({"type": "message_start"}),
        event({"type": "content_block_start", "index": 0, "content_block": text("")}),
        event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}),
        event({"type": "message_stop"}),
    ],
)
def test_what_is_no_stream_of_messages_is_an_upstream_error(data: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        ToChatStream().feed(data)
    assert caught.value.code == "upstream_malformed"


def test_comments_pings_and_kinds_to_come_say_nothing_in_chat() -> None:
    assert ToChatStream().feed(b": keep-alive\n\n" + event({"type": "ping"}) + event({"type": "to_come"})) == b""


# --- chunks -> messages ----------------------------------------------------------------------------------------------


def completion_of(message: dict[str, Any]) -> dict[str, Any]:
    completion: dict[str, Any] = json.loads(to_chat_completion(json.dumps(message).encode()))
    return completion


@given(messages(), CUTS)
def test_chunks_cut_anywhere_become_a_stream_of_messages_that_says_the_whole_completion(
    message: dict[str, Any], cuts: list[int]
) -> None:
    data = chunked(completion_of(message))
    events = fed(FromChatStream(), data, cuts)
    assert events == FromChatStream().feed(data)
    for one in data_of(events):
        EVENT.validate_python(one)
    assembler = MessagesAssembler()
    assert assembler.feed(events) == events
    assert assembler.ended
    answer, whole = assembler.answer(), read_answer(json.dumps(message).encode())
    for said in (answer, whole):
        for call in said.tool_calls:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    assert answer == whole


@settings(max_examples=15)
@given(message=messages())
def test_anthropics_client_reads_the_stream_as_the_message(clients: Clients, message: dict[str, Any]) -> None:
    completion = completion_of(message)
    read = clients.message(FromChatStream().feed(chunked(completion)))
    expected = json.loads(from_chat_completion(json.dumps(completion).encode()))
    assert read.to_dict(exclude_none=True) == {name: value for name, value in expected.items() if value is not None}


@given(messages(), CUTS)
def test_there_and_back_a_stream_of_messages_says_what_it_said(message: dict[str, Any], cuts: list[int]) -> None:
    back = fed(FromChatStream(), fed(ToChatStream(), streamed(message), cuts), cuts)
    assert FromChatStream().feed(ToChatStream().feed(streamed(message))) == back
    first, second = MessagesAssembler(), MessagesAssembler()
    first.feed(streamed(message))
    second.feed(back)
    for one in (first, second):
        for call in one.answer().tool_calls:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"] or "{}")
    assert first.answer() == second.answer()


def chunk(delta: dict[str, Any] | None = None, finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish_reason}
    return {"id": "c", "model": "m", "choices": [choice], **fields}


def piece(index: int, arguments: str, **call: Any) -> dict[str, Any]:
    name = {"name": "find"} if call else {}
    return chunk({"tool_calls": [{"index": index, **call, "function": {**name, "arguments": arguments}}]})


def test_blocks_follow_one_another_and_usage_comes_with_the_stop_reason() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}}
    events = data_of(
        FromChatStream().feed(
            _data(
                chunk({"role": "assistant", "content": ""}),
                chunk({"content": "Hi"}),
                piece(0, "", id="a", type="function"),
                piece(0, '{"n":1}'),
                piece(1, "", id="b", type="function"),
                piece(1, "{}"),
                chunk(finish_reason="tool_calls"),
                {**chunk(), "choices": [], "usage": usage},
            )
            + b"data: [DONE]\n\n"
        )
    )
    assert [(one["type"], one.get("index")) for one in events] == [
        ("message_start", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("content_block_start", 2),
        ("content_block_delta", 2),
        ("content_block_stop", 2),
        ("message_delta", None),
        ("message_stop", None),
    ]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    assert (events[-2]["usage"]["input_tokens"], events[-2]["usage"]["output_tokens"]) == (7, 4)


def test_calls_that_come_in_turns_stay_open_until_each_is_whole(clients: Clients) -> None:
    data = _data(
        piece(0, "", id="a", type="function"),
        piece(1, "", id="b", type="function"),
        piece(0, '{"n":'),
        piece(1, '{"n":2}'),
        piece(0, "1}"),
        chunk({"content": "Done."}),
        chunk(finish_reason="tool_calls"),
    )
    events = FromChatStream().feed(data + b"data: [DONE]\n\n")
    message = clients.message(events)
    assert [block.to_dict() for block in message.content] == [use("a", n=1), use("b", n=2), text("Done.")]
    order = [(one["type"][14:], one["index"]) for one in data_of(events) if one["type"].startswith("content_block")]
    for index in range(3):
        assert [kind for kind, at in order if at == index][-1] == "stop"
        assert order.count(("stop", index)) == 1


def test_an_answer_without_content_is_a_message_without_blocks(clients: Clients) -> None:
    message = clients.message(FromChatStream().feed(_data(chunk(finish_reason="stop")) + b"data: [DONE]\n\n"))
    assert (message.content, message.stop_reason) == ([], "end_turn")
    assert clients.message(FromChatStream().feed(b"data: [DONE]\n\n")).content == []


def test_a_stream_that_just_closes_after_its_finish_reason_can_be_ended() -> None:
    stream = FromChatStream()
    events = stream.feed(_data(chunk({"content": "Hi"}), chunk(finish_reason="length")))
    assert b"message_stop" not in events
    left = stream.end()
    assert [one["type"] for one in data_of(left)] == ["message_delta", "message_stop"]
    assert stream.end() == b""
    assert FromChatStream().end() == b""


def test_the_first_choice_is_the_message_and_a_refusal_is_its_text() -> None:
    other = {"id": "c", "model": "m", "choices": [{"index": 1, "delta": {"content": "other"}}]}
    events = FromChatStream().feed(
        _data(other, chunk({"refusal": "I cannot."}), chunk(finish_reason="stop")) + b"data: [DONE]\n\n"
    )
    assert b"other" not in events
    assembler = MessagesAssembler()
    assembler.feed(events)
    assert (assembler.answer().output, assembler.finish_reason) == ("I cannot.", "refusal")


@pytest.mark.parametrize("error", [{"message": "Overloaded", "code": "overloaded"}, "Overloaded"])
def test_an_error_in_a_stream_of_chunks_is_one_of_messages(error: Any) -> None:
    told = data_of(FromChatStream().feed(_data({"error": error})))[0]
    assert (told["type"], told["error"]["type"], told["error"]["message"]) == ("error", "api_error", "Overloaded")


@pytest.mark.parametrize("data", [b"data: {nonsense}\n\n", b"data: \xff\n\n", b'data: {"choices": 3}\n\n'])
def test_what_is_no_stream_of_chunks_is_an_upstream_error(data: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        FromChatStream().feed(data)
    assert caught.value.code == "upstream_malformed"


@given(st.text(min_size=1), CUTS)
def test_output_adapters_of_the_pivot_reach_callers_of_messages(said: str, cuts: list[int]) -> None:
    message, steps = message_of(text(f"```json\n{said}\n```"), use("a", n=1)), ["strip_code_fence", "trim"]
    pivot = StreamAssembler(keep_usage=True, steps=steps)
    told = FromChatStream().feed(fed(pivot, ToChatStream().feed(streamed(message)), cuts))
    read = MessagesAssembler()
    read.feed(told)
    assert read.answer().output == pivot.answer().output
    assert read.answer().tool_calls == pivot.answer().tool_calls
    assert read.answer().input_tokens == pivot.answer().input_tokens == 32
    assert (read.finish_reason, read.ended) == ("tool_use", True)


# --- messages on both sides ------------------------------------------------------------------------------------------
