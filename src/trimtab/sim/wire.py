"""The simulator's answers in the wire format of OpenAI's chat completions, and what all of its formats share."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from trimtab.sim.behaviour import ChatRequest, SimAnswer

__all__ = [
    "CREATED",
    "answer_id",
    "completion",
    "completion_chunks",
    "count_tokens",
    "error_body",
    "halves",
    "shortest",
    "usage_of",
    "words",
]

CREATED = 1_750_000_000
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


def answer_id(request: ChatRequest, answer: SimAnswer) -> str:
    """Return what the ids of an answer are made of: the same for the same request."""
    return hashlib.sha256(_encode([request.model, request.messages, answer.text, answer.tool_call])).hexdigest()[:24]


def words(text: str) -> list[str]:
    """Return a text word by word, as it is streamed."""
    words = text.split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)] if text else []


def shortest(content: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return content as chat has it: a single text as its string, so that either way of saying it is answered alike."""
    if isinstance(content, list) and len(content) == 1:
        text = content[0].get("text") if isinstance(content[0], dict) else None
        return text if isinstance(text, str) else content
    return "" if content is None else content


def halves(text: str) -> tuple[str, str]:
    """Return a text in the two pieces in which the arguments of a call are streamed."""
    return text[: len(text) // 2], text[len(text) // 2 :]


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
        events += [
            _event(envelope, {"tool_calls": [{"index": 0, "function": {"arguments": half}}]})
            for half in halves(arguments)
        ]
    else:
        field = "refusal" if answer.refused else "content"
        events += [_event(envelope, {field: word}) for word in words(answer.text)]
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
        "id": f"chatcmpl-{answer_id(request, answer)}",
        "object": kind,
        "created": CREATED,
        "model": request.model,
        "system_fingerprint": "fp_simulated",
    }


def _tool_call(request: ChatRequest, answer: SimAnswer) -> dict[str, Any]:
    name, arguments = answer.tool_call or ("", "")
    return {
        "id": f"call_{answer_id(request, answer)}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _finish(answer: SimAnswer) -> str:
    return "tool_calls" if answer.tool_call is not None else "stop"
