"""Streams of messages and of chunks, made, cut and read by the real clients: what tests of translations start from."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, Protocol

import anthropic
import httpx2
import openai
from anthropic.types import RawMessageStreamEvent
from hypothesis import strategies as st
from pydantic import TypeAdapter

if TYPE_CHECKING:
    from anthropic.types import Message
    from openai.types.chat import ChatCompletion

EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)

ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
CUTS = st.lists(st.integers(0, 10_000), max_size=12)


class Stream(Protocol):
    def feed(self, data: bytes) -> bytes: ...


def fed(stream: Stream, data: bytes, cuts: list[int]) -> bytes:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return b"".join(stream.feed(data[start:end]) for start, end in itertools.pairwise(places))


def event(data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (data["type"].encode(), json.dumps(data).encode())


def message_of(*content: dict[str, Any], stop_reason: str = "end_turn", **usage: int) -> dict[str, Any]:
    counts = {"input_tokens": 25, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 15}
    return {
        "id": "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyy",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": list(content),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {**counts, **usage},
    }


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def use(call_id: str, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "find", "input": given}


def streamed(message: dict[str, Any], *, piece: int = 5) -> bytes:
    """The stream in which Anthropic would send a message."""
    begun: dict[str, Any] = {"content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
    data = event({"type": "message_start", "message": {**message, **begun}})
    for index, block in enumerate(message["content"]):
        empty, kind, key, whole = _pieces(block)
        data += event({"type": "content_block_start", "index": index, "content_block": {**block, **empty}})
        data += event({"type": "ping"}) if index == 0 else b""
        for at in range(0, len(whole), piece):
            delta = {"type": kind, key: whole[at : at + piece]}
            data += event({"type": "content_block_delta", "index": index, "delta": delta})
        data += event({"type": "content_block_stop", "index": index})
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    usage = {"output_tokens": message["usage"]["output_tokens"]}
    return data + event({"type": "message_delta", "delta": end, "usage": usage}) + event({"type": "message_stop"})


def _pieces(block: dict[str, Any]) -> tuple[dict[str, Any], str, str, str]:
    if block["type"] == "text":
        return {"text": ""}, "text_delta", "text", block["text"]
    if block["type"] == "thinking":
        return {"thinking": ""}, "thinking_delta", "thinking", block["thinking"]
    return {"input": {}}, "input_json_delta", "partial_json", json.dumps(block["input"]) if block["input"] else ""


def chunked(completion: dict[str, Any], *, piece: int = 5) -> bytes:
    """The stream in which OpenAI would send a completion, usage asked for."""
    choice, envelope = completion["choices"][0], {name: completion[name] for name in ("id", "created", "model")}
    said = choice["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += [{"content": said["content"][at : at + piece]} for at in range(0, len(said["content"] or ""), piece)]
    for index, call in enumerate(said.get("tool_calls", ())):
        arguments = call["function"]["arguments"]
        deltas.append({"tool_calls": [{"index": index, **call, "function": {**call["function"], "arguments": ""}}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": arguments[at : at + piece]}}]}
            for at in range(0, len(arguments), piece)
        ]
    choices = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}])
    chunks = [{**envelope, "object": "chat.completion.chunk", "choices": one, "usage": None} for one in choices]
    return _data(*chunks, {**chunks[0], "choices": [], "usage": completion["usage"]}) + b"data: [DONE]\n\n"


def _data(*values: Any) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(value).encode() for value in values)


def data_of(stream: bytes) -> list[Any]:
    lines = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


JSON_OBJECTS = st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=9), max_size=2)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    said = draw(st.text(max_size=40))
    inputs = draw(st.lists(JSON_OBJECTS, max_size=3))
    content = [text(said)] if said else []
    content += [{**use(f"toolu_{n}"), "input": given} for n, given in enumerate(inputs)]
    return message_of(
        *content, stop_reason="tool_use" if inputs else "end_turn", output_tokens=draw(st.integers(0, 99))
    )


class Clients:
    """Both real clients, on a transport that answers with whatever bytes it holds."""

    def __init__(self) -> None:
        self.body = b""
        http = httpx2.Client(transport=httpx2.MockTransport(self._answer))
        self._anthropic = anthropic.Anthropic(api_key="none", http_client=http)
        self._openai = openai.OpenAI(api_key="none", http_client=http)

    def message(self, body: bytes) -> Message:
        self.body = body
        with self._anthropic.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        ) as stream:
            return stream.get_final_message()

    def completion(self, body: bytes) -> ChatCompletion:
        self.body = body
        with self._openai.chat.completions.stream(
            model="m", messages=[{"role": "user", "content": "hi"}], stream_options={"include_usage": True}
        ) as stream:
            return stream.get_final_completion()

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=self.body)
