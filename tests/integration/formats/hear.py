"""What a caller hears: an answer of any format, whole or streamed, held to the types of the provider's own client.

Not a test module.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from anthropic.types import Message, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from tests.integration.formats.said import Call, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Heard", "error_of", "events_of", "hear"]

_WHOLE: dict[str, TypeAdapter[Any]] = {
    "chat": TypeAdapter(ChatCompletion),
    "messages": TypeAdapter(Message),
    "responses": TypeAdapter(Response),
}
_EVENT: dict[str, TypeAdapter[Any]] = {
    "chat": TypeAdapter(ChatCompletionChunk),
    "messages": TypeAdapter(RawMessageStreamEvent),
    "responses": TypeAdapter(ResponseStreamEvent),
}


class Heard(NamedTuple):
    """An answer, in no format. `stop` is in the words of its own format."""

    text: str
    calls: tuple[Call, ...]
    refusal: str
    stop: str
    usage: Usage | None
    model: str
    error: str = ""


def hear(format: str, body: bytes, *, streamed: bool) -> Heard:  # noqa: A002 - the field's word
    """Return what an answer says; fails where the provider's client has no such type."""
    if not streamed:
        answer = json.loads(body)
        _WHOLE[format].validate_python(answer)
        return _HEAR[format](answer)
    return _HEAR_STREAM[format](list(events_of(format, body)))


def events_of(format: str, body: bytes) -> Iterator[dict[str, Any]]:  # noqa: A002 - the field's word
    """Yield the events of a stream, its framing checked."""
    *events, rest = body.decode().split("\n\n")
    assert rest == "", f"an event is not ended: {rest!r}"
    if format == "chat":
        assert all(event.startswith("data: ") for event in events)
        if events[-1] == "data: [DONE]":
            events.pop()
    for event in events:
        name, _, data = event.rpartition("data: ")
        told = json.loads(data)
        if format != "chat":
            assert name == f"event: {told['type']}\n"
        if "error" not in told and told.get("type") not in ("error", "ping"):
            _EVENT[format].validate_python(told)
        yield told


def error_of(format: str, told: dict[str, Any]) -> dict[str, Any]:  # noqa: A002 - the field's word
    """Return what is below `error` in a complete error, its shape checked."""
    if format == "messages":
        assert told["type"] == "error"
        assert {"type", "message"} <= told["error"].keys()
    else:
        assert told["error"].keys() == {"message", "type", "param", "code"}
    error: dict[str, Any] = told["error"]
    return error


# --- chat completions ---------------------------------------------------------------------------------------------


def _chat_usage(usage: dict[str, Any]) -> Usage:
    given = usage.get("prompt_tokens_details") or {}
    spent = usage.get("completion_tokens_details") or {}
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    return Usage(
        usage["prompt_tokens"],
        usage["completion_tokens"],
        given.get("cached_tokens", 0),
        given.get("cache_write_tokens", 0),
        spent.get("reasoning_tokens", 0),
    )


def _chat(answer: dict[str, Any]) -> Heard:
    (choice,) = answer["choices"]
    message = choice["message"]
    calls = [
        Call(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    said = (message["content"] or "", tuple(calls), message["refusal"] or "")
    return Heard(*said, choice["finish_reason"], _chat_usage(answer["usage"]), answer["model"])


def _chat_stream(chunks: list[dict[str, Any]]) -> Heard:
    text = refusal = stop = model = error = ""
    calls: dict[int, Call] = {}
    usage = None
    for chunk in chunks:
        if "error" in chunk:
            error = chunk["error"]["message"]
            continue
        model = chunk["model"]
        usage = _chat_usage(chunk["usage"]) if chunk.get("usage") else usage
        for choice in chunk["choices"]:
            assert not stop, "a choice goes on after its end"
            delta = choice["delta"]
            text += delta.get("content") or ""
            refusal += delta.get("refusal") or ""
            for part in delta.get("tool_calls") or ():
                function = part["function"]
                begun = calls.get(part["index"]) or Call(part["id"], function["name"], "")
                arguments = begun.arguments + (function.get("arguments") or "")
                calls[part["index"]] = Call(begun.id, begun.name, arguments)
            stop = choice["finish_reason"] or ""
    return Heard(text, tuple(calls[index] for index in sorted(calls)), refusal, stop, usage, model, error)


# --- Messages -----------------------------------------------------------------------------------------------------


def _messages_usage(usage: dict[str, Any]) -> Usage:
    read, made = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    thinking = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return Usage((usage["input_tokens"] or 0) + read + made, usage["output_tokens"], read, made, thinking)


def _messages(answer: dict[str, Any]) -> Heard:
    text = "".join(block["text"] for block in answer["content"] if block["type"] == "text")
    calls = tuple(
        Call(block["id"], block["name"], json.dumps(block["input"]))
        for block in answer["content"]
        if block["type"] == "tool_use"
    )
    refusal = (answer.get("stop_details") or {}).get("explanation") or ""
    return Heard(text, calls, refusal, answer["stop_reason"], _messages_usage(answer["usage"]), answer["model"])


def _messages_stream(events: list[dict[str, Any]]) -> Heard:
    message: dict[str, Any] = {"model": "", "content": [], "usage": {"input_tokens": 0, "output_tokens": 0}}
    open_blocks: dict[int, list[str]] = {}
    error = ""
    ended = False
    for event in events:
        assert not ended, "a message goes on after its end"
        match event["type"]:
            case "message_start":
                message = dict(event["message"])
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append(dict(event["content_block"]))
                open_blocks[event["index"]] = []
            case "content_block_delta":
                delta = event["delta"]
                kind = "partial_json" if delta["type"] == "input_json_delta" else delta["type"].removesuffix("_delta")
                open_blocks[event["index"]].append(delta[kind])
            case "content_block_stop":
                _close(message["content"][event["index"]], "".join(open_blocks.pop(event["index"])))
            case "message_delta":
                assert not open_blocks, "a block is left open"
                message |= event["delta"]
                told = {name: count for name, count in event["usage"].items() if count is not None}
                message["usage"] = message["usage"] | told
            case "message_stop":
                ended = True
            case "error":
                error = event["error"]["message"]
                message["stop_reason"] = ""
    assert ended or error
    return _messages(message)._replace(error=error)


def _close(block: dict[str, Any], said: str) -> None:
    if block["type"] == "text":
        block["text"] += said
    elif block["type"] == "tool_use" and said:
        block["input"] = json.loads(said)


# --- Responses ----------------------------------------------------------------------------------------------------


def _responses(answer: dict[str, Any]) -> Heard:
    parts = [part for item in answer["output"] if item["type"] == "message" for part in item["content"]]
    calls = tuple(
        Call(item["call_id"], item["name"], item["arguments"])
        for item in answer["output"]
        if item["type"] == "function_call"
    )
    text = "".join(part["text"] for part in parts if part["type"] == "output_text")
    refusal = "".join(part["refusal"] for part in parts if part["type"] == "refusal")
    why = answer["incomplete_details"]
    stop = answer["status"] + (f" {why['reason']}" if why else "")
    spent = answer["usage"]
    usage = spent and Usage(
        spent["input_tokens"],
        spent["output_tokens"],
        spent["input_tokens_details"]["cached_tokens"],
        spent["input_tokens_details"]["cache_write_tokens"],
        spent["output_tokens_details"]["reasoning_tokens"],
    )
    return Heard(text, calls, refusal, stop, usage, answer["model"])


def _responses_stream(events: list[dict[str, Any]]) -> Heard:
    """Return what the deltas said, which must be what the complete response at the end says."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    deltas: dict[str, str] = {"output_text": "", "refusal": ""}
    arguments: dict[str, str] = {}
    model = error = ""
    final = None
    for event in events:
        kind = event["type"].removeprefix("response.")
        match kind:
            case "created":
                model = event["response"]["model"]
            case "output_text.delta" | "refusal.delta":
                deltas[kind.removesuffix(".delta")] += event["delta"]
            case "function_call_arguments.delta":
                arguments[event["item_id"]] = arguments.get(event["item_id"], "") + event["delta"]
            case "completed" | "incomplete":
                final = event["response"]
            case "failed":
                error = event["response"]["error"]["message"]
            case "error":
                error = event["message"]
    if final is None:
        assert error
        return Heard(deltas["output_text"], (), deltas["refusal"], "", None, model, error)
    heard = _responses(final)
    assert (heard.text, heard.refusal) == (deltas["output_text"], deltas["refusal"])
    called = {item["id"]: item["arguments"] for item in final["output"] if item["type"] == "function_call"}
    assert {name: arguments.get(name, "") for name in called} == called
    return heard


_HEAR: dict[str, Callable[[dict[str, Any]], Heard]] = {
    "chat": _chat,
    "messages": _messages,
    "responses": _responses,
}
_HEAR_STREAM: dict[str, Callable[[list[dict[str, Any]]], Heard]] = {
    "chat": _chat_stream,
    "messages": _messages_stream,
    "responses": _responses_stream,
}
