"""Anthropic's Messages: a request as the behaviours see it, and their answers in its wire format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab.sim.behaviour import ChatRequest
from trimtab.sim.wire import answer_id, halves, shortest, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.sim.behaviour import SimAnswer

__all__ = ["error_body", "message", "message_events", "read_messages"]

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_FIRST_SERVER_STATUS = 500
_CHOICES = {"any": "required", "none": "none"}
_encode = msgspec.json.encode


class _Turn(msgspec.Struct, frozen=True):
    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class _Tool(msgspec.Struct, frozen=True):
    name: str
    input_schema: dict[str, Any] = {}


class _ToolChoice(msgspec.Struct, frozen=True):
    type: str
    name: str = ""


class _Format(msgspec.Struct, frozen=True):
    schema: dict[str, Any] = {}


class _OutputConfig(msgspec.Struct, frozen=True):
    format: _Format | None = None


class _Metadata(msgspec.Struct, frozen=True):
    user_id: str | None = None


class _MessagesBody(msgspec.Struct, frozen=True):
    """What of a Messages request decides the answer, and what Anthropic wants besides."""

    model: str
    max_tokens: int
    messages: list[_Turn]
    system: str | list[dict[str, Any]] = ""
    metadata: _Metadata | None = None
    stream: bool = False
    tools: list[_Tool] = []
    tool_choice: _ToolChoice | None = None
    output_config: _OutputConfig | None = None


_decoder = msgspec.json.Decoder(_MessagesBody)


def read_messages(body: bytes) -> ChatRequest:
    """Return a Messages request as the chat request that asks the same; raises what msgspec does where it is none."""
    sent = _decoder.decode(body)
    system = [{"role": "system", "content": shortest(sent.system)}] if sent.system else []
    schema = sent.output_config.format.schema if sent.output_config and sent.output_config.format else None
    return ChatRequest(
        model=sent.model,
        messages=[*system, *(message for turn in sent.messages for message in _messages(turn))],
        user=(sent.metadata and sent.metadata.user_id) or "",
        stream=sent.stream,
        tools=[{"function": {"name": tool.name, "parameters": tool.input_schema}} for tool in sent.tools],
        tool_choice=_choice(sent.tool_choice),
        response_format=None if schema is None else {"type": "json_schema", "json_schema": {"schema": schema}},
    )


def message(request: ChatRequest, answer: SimAnswer, *, usage: dict[str, int]) -> bytes:
    """Return a complete answer."""
    return _encode({**_frame(request, answer, usage), "content": _blocks(request, answer), **_end(answer)})


def message_events(request: ChatRequest, answer: SimAnswer, *, usage: dict[str, int]) -> list[bytes]:
    """Return the events of a streamed answer: its blocks, one word at a time, and its end with all of its usage."""
    begun = {**_frame(request, answer, {**usage, "completion_tokens": 1}), "content": [], **_end(None)}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(_blocks(request, answer)):
        events += _block_events(block, index, answer)
    counted = {"output_tokens": usage["completion_tokens"]}
    events += [{"type": "message_delta", "delta": _end(answer), "usage": counted}, {"type": "message_stop"}]
    return [f"event: {event['type']}\ndata: ".encode() + _encode(event) + b"\n\n" for event in events]


def error_body(text: str, *, status: int, **_elsewhere: object) -> bytes:
    """Return an error in Anthropic's shape, whose type follows from the HTTP status."""
    kind = _TYPES.get(status) or ("api_error" if status >= _FIRST_SERVER_STATUS else "invalid_request_error")
    return _encode({"type": "error", "error": {"type": kind, "message": text}, "request_id": None})


# --- requests -----------------------------------------------------------------------------------------------------


def _messages(turn: _Turn) -> Iterator[dict[str, Any]]:
    """Yield the chat messages of a turn: each tool's result is one, and so is what stands around them."""
    if isinstance(turn.content, str):
        yield {"role": turn.role, "content": turn.content}
        return
    parts: list[dict[str, Any]] = []
    for block in turn.content:
        if block.get("type") != "tool_result":
            parts.append(block)
            continue
        if parts:
            yield _message(turn.role, parts)
            parts = []
        yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": shortest(block.get("content"))}
    if parts:
        yield _message(turn.role, parts)


def _message(role: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    calls = [part for part in parts if part.get("type") == "tool_use"]
    said = shortest([part for part in parts if part.get("type") != "tool_use"])
    return {"role": role, "content": said, **({"tool_calls": calls} if calls else {})}


def _choice(choice: _ToolChoice | None) -> str | dict[str, Any] | None:
    if choice is None:
        return None
    if choice.type == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return _CHOICES.get(choice.type, "auto")


# --- answers ------------------------------------------------------------------------------------------------------


def _frame(request: ChatRequest, answer: SimAnswer, usage: dict[str, int]) -> dict[str, Any]:
    return {
        "id": f"msg_{answer_id(request, answer)}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": usage["completion_tokens"],
            "service_tier": "standard",
        },
    }


def _blocks(request: ChatRequest, answer: SimAnswer) -> list[dict[str, Any]]:
    if answer.tool_call is not None:
        name, arguments = answer.tool_call
        call = {"type": "tool_use", "id": f"toolu_{answer_id(request, answer)}", "name": name}
        return [{**call, "input": msgspec.json.decode(arguments)}]
    return [{"type": "text", "text": answer.text}] if answer.text and not answer.refused else []


def _end(answer: SimAnswer | None) -> dict[str, Any]:
    """Return why an answer ended; of one that has not, nothing."""
    reason, details = None, None
    if answer is not None:
        reason = "tool_use" if answer.tool_call is not None else "refusal" if answer.refused else "end_turn"
        if answer.refused:
            details = {"type": "refusal", "category": None, "explanation": answer.text}
    return {"stop_reason": reason, "stop_sequence": None, "stop_details": details}


def _block_events(block: dict[str, Any], index: int, answer: SimAnswer) -> list[dict[str, Any]]:
    if answer.tool_call is not None:
        empty: dict[str, Any] = {**block, "input": {}}
        pieces = ["", *halves(answer.tool_call[1])]
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    else:
        empty = {**block, "text": ""}
        deltas = [{"type": "text_delta", "text": word} for word in words(answer.text)]
    return [
        {"type": "content_block_start", "index": index, "content_block": empty},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]
