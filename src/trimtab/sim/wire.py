"""The simulator's answers in OpenAI's wire format."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from trimtab.sim.behaviour import ChatRequest, SimAnswer

__all__ = ["completion", "completion_chunks", "count_tokens", "error_body", "usage_of"]

_CREATED = 1_750_000_000
"""A fixed time: the same request must give the same bytes."""
_encode = msgspec.json.encode


def error_body(message: str, *, code: str, kind: str = "invalid_request_error", param: str | None = None) -> bytes:
    """Return an error in OpenAI's shape."""
    return _encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def count_tokens(text: str, *, tokens_per_word: float) -> int:
    """Return the number of tokens the simulator counts for a text."""
    return math.ceil(len(text.split()) * tokens_per_word)


def usage_of(request: ChatRequest, said: str, *, tokens_per_word: float) -> dict[str, int]:
    """Return OpenAI's `usage` of one answer."""
    prompt = count_tokens(
        request.text("system", "developer", "user", "assistant", "tool"), tokens_per_word=tokens_per_word
    )
    output = count_tokens(said, tokens_per_word=tokens_per_word)
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


def completion(request: ChatRequest, answer: SimAnswer, *, usage: dict[str, int]) -> bytes:
    """Return a complete answer."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.refused:
        message |= {"content": None, "refusal": answer.text}
    if answer.tool_call is not None:
        message |= {"content": None, "tool_calls": [_tool_call(request, answer)]}
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
        for index in range(max(1, request.n))
    ]
    return _encode({**_envelope(request, answer, "chat.completion"), "choices": choices, "usage": usage})


def completion_chunks(request: ChatRequest, answer: SimAnswer, *, usage: dict[str, int]) -> list[bytes]:
    """Return the events of a streamed answer: role, one word at a time, finish, usage where asked for, `[DONE]`."""
    envelope = _envelope(request, answer, "chat.completion.chunk")
    events = [_event(envelope, {"role": "assistant", "content": "", "refusal": None})]
    if answer.tool_call is not None:
        call = _tool_call(request, answer)
        arguments = call["function"]["arguments"]
        call["function"]["arguments"] = ""
        events.append(_event(envelope, {"tool_calls": [{"index": 0, **call}]}))
        half = len(arguments) // 2
        events += [
            _event(envelope, {"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
            for part in (arguments[:half], arguments[half:])
        ]
    else:
        field = "refusal" if answer.refused else "content"
        events += [_event(envelope, {field: word}) for word in _words(answer.text)]
    events.append(_event(envelope, {}, finish=_finish(answer)))
    if (request.stream_options or {}).get("include_usage"):
        events.append(b"data: " + _encode({**envelope, "choices": [], "usage": usage}) + b"\n\n")
    events.append(b"data: [DONE]\n\n")
    return events


def _event(envelope: dict[str, Any], delta: dict[str, Any], *, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return b"data: " + _encode({**envelope, "choices": [choice]}) + b"\n\n"


def _envelope(request: ChatRequest, answer: SimAnswer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{_hash(request, answer)}",
        "object": kind,
        "created": _CREATED,
        "model": request.model,
        "system_fingerprint": "fp_simulated",
    }


def _tool_call(request: ChatRequest, answer: SimAnswer) -> dict[str, Any]:
    name, arguments = answer.tool_call or ("", "")
    return {
        "id": f"call_{_hash(request, answer)}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _finish(answer: SimAnswer) -> str:
    return "tool_calls" if answer.tool_call is not None else "stop"


def _hash(request: ChatRequest, answer: SimAnswer) -> str:
    return hashlib.sha256(_encode([request.model, request.messages, answer.text, answer.tool_call])).hexdigest()[:24]


def _words(text: str) -> list[str]:
    words = text.split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)] if text else []
