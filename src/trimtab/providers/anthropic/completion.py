"""A complete answer in the other format.

Thinking blocks stay behind: chat completions have no place for them, and no chat request asks for them. Their tokens
are counted (`reasoning_tokens`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.core.errors import UpstreamError
from trimtab.providers.anthropic.wire import UNREADABLE, Message, Usage, decode_message, tool_call
from trimtab.providers.openai.usage import ChatUsage

__all__ = [
    "FINISH_REASONS",
    "ChatUsage",
    "chat_usage",
    "from_chat_completion",
    "messages_usage",
    "stop_reason_of",
    "to_chat_completion",
]

FINISH_REASONS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
}
"""Anthropic's stop reason -> chat's finish reason; `stop` for any other."""
_STOP_REASONS = {
    "content_filter": "refusal",
    "function_call": "tool_use",
    "length": "max_tokens",
    "tool_calls": "tool_use",
}
_encode = msgspec.json.Encoder().encode


class _Function(msgspec.Struct, frozen=True, gc=False):
    name: str
    arguments: str = ""


class _ToolCall(msgspec.Struct, frozen=True, gc=False):
    function: _Function
    id: str = ""


class _ChatMessage(msgspec.Struct, frozen=True, gc=False):
    content: str | list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None

    @property
    def texts(self) -> list[str]:
        """What the model said, its refusal last; some servers answer with content in parts."""
        content = self.content
        if isinstance(content, list):
            content = "".join([str(part.get("text", "")) for part in content if isinstance(part, dict)])
        return [text for text in (content, self.refusal) if text]


class _Choice(msgspec.Struct, frozen=True, gc=False):
    message: _ChatMessage
    finish_reason: str | None = None


class _Completion(msgspec.Struct, frozen=True, gc=False):
    choices: list[_Choice]
    id: str = ""
    model: str = ""
    usage: ChatUsage | None = None


_completion_decoder = msgspec.json.Decoder(_Completion)
_NO_USAGE = ChatUsage()


def to_chat_completion(body: bytes, *, created: int = 0) -> bytes:
    """Return a Messages answer as a chat completion; `created` is in Unix seconds, which a message does not tell.

    Raises `UpstreamError` (`upstream_malformed`) where `body` is no message.
    """
    message = decode_message(body)
    completion = {
        "id": message.id,
        "object": "chat.completion",
        "created": created,
        "model": message.model,
        "choices": [
            {
                "index": 0,
                "message": _chat_message(message),
                "logprobs": None,
                "finish_reason": FINISH_REASONS.get(message.stop_reason or "", "stop"),
            }
        ],
        "usage": chat_usage(message.usage),
    }
    return _encode(completion)


def from_chat_completion(body: bytes) -> bytes:
    """Return a chat completion's first choice as a Messages answer.

    Raises `UpstreamError` (`upstream_malformed`) where `body` is no chat completion, or a tool call's arguments are no
    JSON object: the Messages API has no other.
    """
    try:
        completion = _completion_decoder.decode(body)
    except UNREADABLE as error:
        raise UpstreamError("upstream_malformed", f"the upstream's answer is no chat completion: {error}") from error
    if not completion.choices:
        raise UpstreamError("upstream_malformed", "the upstream's chat completion has no choice")
    choice = completion.choices[0]
    said = choice.message
    content: list[dict[str, Any]] = [{"type": "text", "text": text} for text in said.texts]
    content += [_tool_use(call) for call in said.tool_calls or ()]
    message = {
        "id": completion.id,
        "type": "message",
        "role": "assistant",
        "model": completion.model,
        "content": content,
        "stop_reason": stop_reason_of(choice.finish_reason, refused=bool(said.refusal), calls=bool(said.tool_calls)),
        "stop_sequence": None,
        "usage": messages_usage(completion.usage or _NO_USAGE),
    }
    return _encode(message)


def stop_reason_of(finish_reason: str | None, *, refused: bool, calls: bool) -> str:
    """Return the stop reason for a finish reason.

    A call that was asked for by name ends with `stop` in chat; in Anthropic's it is a tool use like any other.
    """
    if refused:
        return "refusal"
    reason = _STOP_REASONS.get(finish_reason or "", "end_turn")
    return "tool_use" if calls and reason == "end_turn" else reason


def chat_usage(usage: Usage) -> dict[str, Any]:
    """Return usage as chat completions give it."""
    prompt_tokens, completion_tokens = usage.all_input_tokens, usage.output_tokens or 0
    told: dict[str, Any] = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_input_tokens or 0,
            "cache_write_tokens": usage.cache_creation_input_tokens or 0,
        },
    }
    thinking = (usage.output_tokens_details or {}).get("thinking_tokens")
    if thinking is not None:
        told["completion_tokens_details"] = {"reasoning_tokens": thinking}
    return told


def messages_usage(usage: ChatUsage) -> dict[str, Any]:
    """Return usage as the Messages API gives it."""
    cached, written = usage.cached_tokens, usage.cache_write_tokens
    told: dict[str, Any] = {
        "input_tokens": max(0, usage.prompt_tokens - cached - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.completion_tokens,
    }
    if usage.reasoning_tokens is not None:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return told


def _chat_message(message: Message) -> dict[str, Any]:
    text = "".join([block.text for block in message.content if block.type == "text"])
    calls = [
        tool_call(block.id, block.name, _encode({} if block.input is None else block.input).decode())
        for block in message.content
        if block.type == "tool_use"
    ]
    refusal = message.stop_details.explanation if message.stop_details else None
    told: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": refusal}
    if not (text or calls or refusal):
        told["content"] = ""
    return {**told, "tool_calls": calls} if calls else told


def _tool_use(call: _ToolCall) -> dict[str, Any]:
    arguments = call.function.arguments
    try:
        given = msgspec.json.decode(arguments) if arguments else {}
    except UNREADABLE:
        given = None
    if not isinstance(given, dict):
        raise UpstreamError(
            "upstream_malformed", f"the arguments of the model's call of `{call.function.name}` are no JSON object"
        )
    return {"type": "tool_use", "id": call.id, "name": call.function.name, "input": given}
