"""What an upstream says, written in each of the three formats as the providers' API references show it.

Not a test module. Nothing here knows how Trimtab writes the same.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
from tests.integration.formats.said import CREATED, SERVED, pieces
from tests.integration.formats.speak_responses import response, responses_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.formats.said import Call, Said, Usage

__all__ = ["error_body", "whole", "written"]

_CHAT_STOPS = {"end": "stop", "tools": "tool_calls", "length": "length", "filter": "content_filter", "sequence": "stop"}
_MESSAGES_STOPS = {
    "end": "end_turn",
    "tools": "tool_use",
    "length": "max_tokens",
    "filter": "refusal",
    "sequence": "stop_sequence",
}


def whole(said: Said, format: str) -> bytes:  # noqa: A002 - the field's word
    """Return the complete answer."""
    return json.dumps(_WHOLE[format](said), ensure_ascii=False).encode()


def written(said: Said, format: str, *, usage: bool = True) -> bytes:  # noqa: A002 - the field's word
    """Return the stream of the answer; `usage`: whether chat was asked for it."""
    if format == "chat":
        chunks = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in _chat_chunks(said, usage=usage)]
        return "".join([*chunks, "" if said.fails else "data: [DONE]\n\n"]).encode()
    events = _messages_events(said) if format == "messages" else responses_events(said)
    return "".join([f"event: {e['type']}\ndata: {json.dumps(e, ensure_ascii=False)}\n\n" for e in events]).encode()


def error_body(format: str, *, kind: str, message: str) -> bytes:  # noqa: A002 - the field's word
    """Return an error in the provider's shape; `kind` is OpenAI's code or Anthropic's type."""
    if format == "messages":
        return json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"}).encode()
    return json.dumps(
        {"error": {"message": message, "type": "a_type", "param": "its.own.param", "code": kind}}
    ).encode()


# --- chat completions ---------------------------------------------------------------------------------------------


def _chat_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_written},
        "completion_tokens_details": {"reasoning_tokens": usage.thinking},
    }


def _chat_call(call: Call) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _chat(said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text or None, "refusal": said.refusal or None}
    if said.calls:
        message["tool_calls"] = [_chat_call(call) for call in said.calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _CHAT_STOPS[said.stop]}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": CREATED,
        "model": SERVED,
        "choices": [choice],
        "usage": _chat_usage(said.usage),
    }


def _chat_chunks(said: Said, *, usage: bool) -> Iterator[dict[str, Any]]:
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": CREATED, "model": SERVED}

    def chunk(delta: dict[str, Any], stop: str | None = None) -> dict[str, Any]:
        return {**frame, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": stop}]}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for piece in pieces(said.text):
        yield chunk({"content": piece})
    for piece in pieces(said.refusal):
        yield chunk({"refusal": piece})
    for index, call in enumerate(said.calls):
        begun = _chat_call(msgspec.structs.replace(call, arguments=""))
        yield chunk({"tool_calls": [{"index": index, **begun}]})
        for piece in pieces(call.arguments):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    if said.fails:
        yield {"error": {"message": said.fails, "type": "server_error", "param": None, "code": "overloaded"}}
        return
    yield chunk({}, _CHAT_STOPS[said.stop])
    if usage:
        yield {**frame, "choices": [], "usage": _chat_usage(said.usage)}


# --- Messages -----------------------------------------------------------------------------------------------------


def _messages_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input - usage.cached - usage.cache_written,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": usage.cache_written,
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.thinking},
    }


def _blocks(said: Said) -> list[dict[str, Any]]:
    thought = [{"type": "thinking", "thinking": said.thought, "signature": "c2ln"}] if said.thought else []
    text = [{"type": "text", "text": said.text, "citations": None}] if said.text else []
    calls = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in said.calls
    ]
    return [*thought, *text, *calls]


def _messages_end(said: Said) -> dict[str, Any]:
    refused = {"type": "refusal", "category": None, "explanation": said.refusal} if said.refusal else None
    return {
        "stop_reason": "refusal" if said.refusal else _MESSAGES_STOPS[said.stop],
        "stop_sequence": "END" if said.stop == "sequence" else None,
        "stop_details": refused,
    }


def _messages(said: Said) -> dict[str, Any]:
    frame = {"id": "msg_1", "type": "message", "role": "assistant", "model": SERVED}
    return {**frame, "content": _blocks(said), **_messages_end(said), "usage": _messages_usage(said.usage)}


def _messages_events(said: Said) -> Iterator[dict[str, Any]]:
    begun = _messages(said) | {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    begun["usage"] = begun["usage"] | {"output_tokens": 1, "output_tokens_details": None}
    yield {"type": "message_start", "message": begun}
    yield {"type": "ping"}
    for index, block in enumerate(_blocks(said)):
        yield from _block_events(block, index, said)
    if said.fails:
        yield {"type": "error", "error": {"type": "overloaded_error", "message": said.fails}}
        return
    usage = {"input_tokens": None, "output_tokens": said.usage.output}
    usage["output_tokens_details"] = {"thinking_tokens": said.usage.thinking}  # type: ignore[assignment]
    yield {"type": "message_delta", "delta": _messages_end(said), "usage": usage}
    yield {"type": "message_stop"}


def _block_events(block: dict[str, Any], index: int, said: Said) -> Iterator[dict[str, Any]]:
    empty: dict[str, Any]
    match block["type"]:
        case "thinking":
            empty = {"thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(said.thought)]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "text":
            empty = {"text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(said.text)]
        case _:
            empty = {"input": {}}
            given = next(call.arguments for call in said.calls if call.id == block["id"])
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(given)]]
    yield {"type": "content_block_start", "index": index, "content_block": block | empty}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


_WHOLE = {"chat": _chat, "messages": _messages, "responses": response}
