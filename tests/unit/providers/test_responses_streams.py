from __future__ import annotations

import itertools
import json
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from trimtab.core.errors import UpstreamError
from trimtab.providers.openai import StreamAssembler
from trimtab.providers.responses import FromChatStream, ResponsesAssembler, ToChatStream, read_answer, stream_error

EVENT_TYPE: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def events_of(data: bytes) -> list[Any]:
    """Return the data of whole events, in order; `[DONE]` as it is."""
    assert data.endswith(b"\n\n") or not data
    told = [line[6:] for event in data.split(b"\n\n") for line in event.split(b"\n") if line.startswith(b"data: ")]
    return [line if line == b"[DONE]" else json.loads(line) for line in told]


def chunk(*choices: dict[str, Any], **changes: Any) -> bytes:
    told = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "gpt-4.1",
        "choices": list(choices),
        **changes,
    }
    ChatCompletionChunk.model_validate(told, strict=False)
    return b"data: %b\n\n" % json.dumps(told).encode()


def delta(finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"index": 0, "delta": fields, "finish_reason": finish_reason}


def call(index: int, arguments: str = "", **fields: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": fields.pop("name")} if "name" in fields else {})}
    return {"tool_calls": [{"index": index, **fields, "function": function}]}


USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
TOKEN = {"token": "Hé", "bytes": [72], "logprob": -0.5, "top_logprobs": []}
CHAT_STREAM = b"".join(
    [
        b": keep-alive\n\n",
        chunk(delta(role="assistant", content="")),
        chunk({**delta(content="Hé"), "logprobs": {"content": [TOKEN], "refusal": None}}),
        chunk(delta(content="llo 🌍")),
        chunk(delta(**call(0, id="call_a", type="function", name="find"))),
        chunk(delta(**call(0, '{"order":'))),
        chunk(delta(**call(1, '{"x"', id="call_b", type="function", name="look"))),
        chunk(delta(**call(0, '"A-1"}'))),
        chunk(delta(**call(1, ":1}"))),
        chunk(delta("tool_calls")),
        chunk(usage=USAGE),
        b"data: [DONE]\n\n",
    ]
)


def responses_stream(chat: bytes = CHAT_STREAM, **request: Any) -> bytes:
    stream = FromChatStream(request=request)
    return stream.feed(chat) + stream.end()


def fragments(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


CUTS = st.lists(st.integers(min_value=0, max_value=1 << 20), max_size=12)


def test_a_chat_stream_becomes_a_stream_of_the_responses_api() -> None:
    events = events_of(responses_stream(temperature=0.5))
    for event in events:
        EVENT_TYPE.validate_python(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    whole = Response.model_validate(events[-1]["response"], strict=False)
    assert whole.output_text == "Héllo 🌍"
    assert (whole.id, whole.model, whole.status, whole.temperature) == ("chatcmpl-1", "gpt-4.1", "completed", 0.5)
    assert [item.to_dict() for item in whole.output[1:]] == [
        {"id": "fc_call_a", "type": "function_call", "status": "completed", "call_id": "call_a", "name": "find",
         "arguments": '{"order":"A-1"}'},
        {"id": "fc_call_b", "type": "function_call", "status": "completed", "call_id": "call_b", "name": "look",
         "arguments": '{"x":1}'},
    ]  # fmt: skip
    assert whole.usage
    assert whole.usage.total_tokens == 13
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == [TOKEN]


def test_the_client_library_puts_the_stream_together() -> None:
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=responses_stream())
    )
    with (
        openai.OpenAI(
            api_key="k", base_url="http://gateway/v1", http_client=httpx2.Client(transport=transport)
        ) as client,
        client.responses.stream(model="m", input="hi") as stream,
    ):
        whole = stream.get_final_response()
    assert whole.output_text == "Héllo 🌍"
    assert [(item.type, getattr(item, "arguments", "")) for item in whole.output] == [
        ("message", ""),
        ("function_call", '{"order":"A-1"}'),
        ("function_call", '{"x":1}'),
    ]


def test_deltas_name_the_item_that_they_belong_to() -> None:
    items: dict[int, dict[str, Any]] = {}
    told: dict[int, str] = {}
    for event in events_of(responses_stream()):
        if event["type"] == "response.output_item.added":
            items[event["output_index"]] = event["item"]
        elif event["type"].endswith(".delta"):
            assert event["item_id"] == items[event["output_index"]]["id"]
            told[event["output_index"]] = told.get(event["output_index"], "") + event["delta"]
    assert told == {0: "Héllo 🌍", 1: '{"order":"A-1"}', 2: '{"x":1}'}


def test_a_stream_there_and_back_says_what_it_said() -> None:
    there = ToChatStream()
    back = there.feed(responses_stream())
    for event in events_of(back)[:-1]:
        ChatCompletionChunk.model_validate(event, strict=True)
    assert events_of(back)[-1] == b"[DONE]"
    assert events_of(back)[-2]["choices"] == []
    assert events_of(back)[-2]["usage"] == USAGE
    first, second = StreamAssembler(keep_usage=True), StreamAssembler(keep_usage=True)
    first.feed(CHAT_STREAM)
    second.feed(back)
    assert second.answer() == first.answer()
    assert second.ended
    tokens = [event["choices"][0].get("logprobs") for event in events_of(back)[:-1] if event["choices"]]
    assert [token for token in tokens if token] == [{"content": [TOKEN], "refusal": None}]


@given(CUTS, st.booleans())
def test_any_fragmentation_says_the_same(cuts: list[int], carriage_returns: bool) -> None:  # noqa: FBT001 - hypothesis
    chat = CHAT_STREAM.replace(b"\n", b"\r\n") if carriage_returns else CHAT_STREAM
    outward = FromChatStream()
    told = b"".join(outward.feed(piece) for piece in fragments(chat, cuts))
    assert told == responses_stream()
    inward, assembler = ToChatStream(), ResponsesAssembler()
    pieces = fragments(told.replace(b"\n", b"\r\n") if carriage_returns else told, cuts)
    assert b"".join(inward.feed(piece) for piece in pieces) == ToChatStream().feed(told)
    assert b"".join(assembler.feed(piece) for piece in pieces) == told
    whole = ResponsesAssembler()
    whole.feed(told)
    assert assembler.answer() == whole.answer()


TEXTS = st.text(min_size=1, max_size=8)
PIECES = st.one_of(
    st.tuples(st.just("content"), TEXTS),
    st.tuples(st.just("refusal"), TEXTS),
    st.tuples(st.integers(0, 2), st.text(max_size=8)),
)


@given(st.lists(PIECES, max_size=12), st.sampled_from(["stop", "length", "content_filter"]), st.booleans())
def test_whatever_chat_says_the_response_says(
    pieces: list[tuple[Any, str]],
    reason: str,
    usage: bool,  # noqa: FBT001 - hypothesis
) -> None:
    parts = []
    for kind, piece in pieces:
        fields = {kind: piece} if isinstance(kind, str) else call(kind, piece, id=f"c{kind}", name=f"f{kind}")
        parts.append(chunk(delta(**fields)))
    chat = b"".join([*parts, chunk(delta(reason)), chunk(usage=USAGE) if usage else b"", b"data: [DONE]\n\n"])
    told = responses_stream(chat)
    events = events_of(told)
    for event in events:
        EVENT_TYPE.validate_python(event)
    items: list[Any] = []
    for event in events:
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(items)
            items.append(None)
        if event["type"] == "response.output_item.done":
            assert items[event["output_index"]] is None
            items[event["output_index"]] = event["item"]
    assert items == events[-1]["response"]["output"]
    read = ResponsesAssembler()
    assert read.feed(told) == told
    assert read.answer() == read_answer(json.dumps(events[-1]["response"]).encode())
    spoken = [piece for kind, piece in pieces if isinstance(kind, str)]
    assert sorted(read.answer().output) == sorted("".join(spoken))
    said = StreamAssembler(keep_usage=True)
    said.feed(chat)
    assert [one["function"] for one in read.answer().tool_calls] == [
        one["function"] for one in sorted(said.answer().tool_calls, key=lambda one: first_place(pieces, one["id"]))
    ]


def first_place(pieces: list[tuple[Any, str]], call_id: str) -> int:
    return next(place for place, (kind, _) in enumerate(pieces) if f"c{kind}" == call_id)


def test_usage_comes_with_the_last_event_wherever_chat_says_it() -> None:
    last = chunk(delta("stop"), usage=USAGE)
    events = events_of(responses_stream(chunk(delta(content="Hi")) + last + b"data: [DONE]\n\n"))
    assert events[-1]["response"]["usage"]["input_tokens"] == 9
    unfinished = FromChatStream()
    unfinished.feed(chunk(delta(content="Hi")))
    assert unfinished.end() == b""
    closed = FromChatStream()
    closed.feed(chunk(delta(content="Hi")) + chunk(delta("length")))
    assert events_of(closed.end())[-1]["type"] == "response.incomplete"
    assert closed.end() == b""


def test_an_error_in_a_chat_stream_is_an_error_event_and_the_end() -> None:
    stream = FromChatStream()
    said = stream.feed(chunk(delta(content="Hi")))
    told = stream.feed(b'data: {"error":{"message":"Too many","code":"rate_limit_exceeded"}}\n\ndata: [DONE]\n\n')
    (event,) = events_of(told)
    EVENT_TYPE.validate_python(event)
    assert (event["type"], event["code"], event["message"]) == ("error", "rate_limit_exceeded", "Too many")
    assert event["sequence_number"] == len(events_of(said))
    assert stream.end() == b""


CREATED = {"id": "resp_1", "model": "m", "created_at": 5, "output": [], "status": "in_progress"}


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (one["type"].encode(), json.dumps(one).encode()) for one in events)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "error", "code": "server_error", "message": "Oh.", "param": None}, "server_error"),
        ({"type": "error", "error": {"type": "overloaded", "message": "Oh."}}, "overloaded"),
        ({"type": "error", "error": "Oh."}, "upstream_stream_error"),
        ({"type": "response.failed",
          "response": {**CREATED, "status": "failed", "error": {"code": "server_error", "message": "Oh."}}},
         "server_error"),
    ],
)  # fmt: skip
def test_an_error_in_a_stream_of_responses_is_an_error_of_chat(event: dict[str, Any], code: str) -> None:
    assembler, native = StreamAssembler(keep_usage=True), ResponsesAssembler()
    begun = sse({"type": "response.created", "response": CREATED})
    for start in (b"", begun):
        told = events_of(ToChatStream().feed(start + sse(event)))[-1]
        assert (told["error"]["code"], told["error"]["message"]) == (code, "Oh.")
    assembler.feed(ToChatStream().feed(begun + sse(event)))
    assert native.feed(begun + sse(event)) == begun + sse(event)
    assert assembler.answer().error_code == native.answer().error_code == code
    assert not native.complete


def test_what_comes_whole_without_deltas_is_said_once() -> None:
    item = {"id": "fc", "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    message = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
    end = {"type": "response.completed", "response": {**CREATED, "status": "completed"}}
    stream = sse(
        {"type": "response.created", "response": CREATED},
        {"type": "response.reasoning_summary_text.delta", "delta": "Hm"},
        {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hi"},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.output_item.done", "output_index": 1, "item": item},
        end,
    )
    chat = StreamAssembler(keep_usage=True)
    chat.feed(ToChatStream().feed(stream))
    native = ResponsesAssembler()
    native.feed(stream)
    assert native.answer() == chat.answer()
    assert (native.answer().output, native.finish_reason) == ("Hi", "tool_calls")
    only = sse({"type": "response.created", "response": CREATED}, {**end, "response": {**CREATED, "output": [message]}})
    last = ResponsesAssembler()
    last.feed(only)
    assert last.answer().output == "Hi"


@pytest.mark.parametrize(
    "data",
    [
        b"data: nonsense\n\n",
        b'data: {"type":3}\n\n',
        b'data: {"type":"response.completed"}\n\n',
        sse({"type": "response.created", "response": CREATED}, {"type": "response.output_text.delta", "delta": {}}),
        sse(
            {"type": "response.created", "response": CREATED},
            {"type": "response.output_item.done", "item": {"type": "function_call", "arguments": 7}},
        ),
    ],
)
def test_what_is_no_stream_of_responses_is_malformed(data: bytes) -> None:
    for stream in (ToChatStream(), ResponsesAssembler()):
        with pytest.raises(UpstreamError) as caught:
            stream.feed(data)
        assert caught.value.code == "upstream_malformed"
    with pytest.raises(UpstreamError):
        ToChatStream().feed(sse({"type": "response.output_text.delta", "delta": "x"}))
    with pytest.raises(UpstreamError):
        FromChatStream().feed(b"data: nonsense\n\n")


def test_the_assembler_knows_when_an_answer_starts_and_ends() -> None:
    assembler = ResponsesAssembler()
    states = []
    for event in responses_stream().split(b"\n\n")[:-1]:
        assembler.feed(event + b"\n\n")
        states.append((assembler.started, assembler.ended, assembler.complete))
    assert states == [(False,) * 3] * 4 + [(True, False, False)] * 15 + [(True,) * 3]
    assert assembler.finish_reason == "tool_calls"
    assert assembler.end() == b""
    answer = assembler.answer()
    assert (answer.served_model, answer.input_tokens, answer.output_tokens) == ("gpt-4.1", 9, 4)


FENCED = b"".join([*(chunk(delta(content=c)) for c in "```json\n{}\n```"), chunk(delta("stop")), b"data: [DONE]\n\n"])


@given(CUTS)
def test_adapters_hold_text_back_and_let_it_out_once(cuts: list[int]) -> None:
    stream = responses_stream(FENCED)
    assembler = ResponsesAssembler(steps=["strip_code_fence"])
    told = b"".join(assembler.feed(piece) for piece in fragments(stream, cuts))
    events = events_of(told)
    for event in events:
        EVENT_TYPE.validate_python(event)
    numbers = [event["sequence_number"] for event in events]
    assert numbers == sorted(set(numbers))
    assert [event["delta"] for event in events if event["type"].endswith(".delta")] == ["{}"]
    assert [event["text"] for event in events if event["type"].endswith("text.done")] == ["{}"]
    assert events[-1]["response"]["output"] == [events[-2]["item"]]
    assert events[-2]["item"]["content"][0]["text"] == "{}" == assembler.answer().output
    assert b"```" not in told


def test_adapters_leave_calls_and_everything_else_as_it_was() -> None:
    stream = responses_stream(CHAT_STREAM)
    assembler = ResponsesAssembler(steps=["strip_code_fence"])
    held = events_of(assembler.feed(stream))
    merged = [one for one in events_of(stream) if one.get("delta") != "Hé"]
    merged[4] = {**merged[4], "delta": "Héllo 🌍", "logprobs": [TOKEN]}
    assert held == merged


def test_the_last_word_of_a_broken_stream_is_an_event_of_the_api() -> None:
    told = stream_error(kind="upstream_error", message="Cut off.", param=None, code="upstream_truncated")
    (event,) = events_of(told)
    EVENT_TYPE.validate_python(event)
    assert told.startswith(b"event: error\n")
    assert (event["type"], event["code"], event["message"]) == ("error", "upstream_truncated", "Cut off.")
