"""A chat completion as the response that says the same, and the frame that every response stands in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import UpstreamError
from trimtab.providers.responses.completion import token_logprobs
from trimtab.providers.responses.wire import ChatUsage, decode_completion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.providers.responses.wire import ChatMessage

__all__ = ["finished", "frame", "from_chat_completion", "function_call", "message", "refusal_part", "text_part"]

_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "user": None,
}
"""What a response says of its request, and what it says where the request does not."""
_INCOMPLETE = {"content_filter": "content_filter", "length": "max_output_tokens"}
_NO_REQUEST: Mapping[str, Any] = {}
_encode = msgspec.json.Encoder().encode


def from_chat_completion(body: bytes, *, request: Mapping[str, Any] = _NO_REQUEST) -> bytes:
    """Return a chat completion's first choice as a response; `request`: the caller's body, which a response repeats.

    Raises `UpstreamError` (`upstream_malformed`) where `body` is no chat completion.
    """
    completion = decode_completion(body)
    choice = completion.choices[0] if completion.choices else None
    if choice is None or choice.message is None:
        raise UpstreamError("upstream_malformed", "the upstream's chat completion has no choice")
    begun = frame(completion.id, completion.created, completion.model, request)
    if completion.service_tier is not None:
        begun["service_tier"] = completion.service_tier
    logprobs = choice.logprobs.content if choice.logprobs else None
    response = finished(begun, _output(choice.message, completion.id, logprobs), choice.finish_reason, completion.usage)
    return _encode(response)


def frame(response_id: str, created: float, model: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a response that has just begun."""
    said = {name: request.get(name) for name in _ECHOED}
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "previous_response_id": None,
        "store": False,
        "truncation": "disabled",
        "usage": None,
        **{name: default if said[name] is None else said[name] for name, default in _ECHOED.items()},
    }


def finished(
    begun: dict[str, Any], output: list[dict[str, Any]], finish_reason: str | None, usage: ChatUsage | None
) -> dict[str, Any]:
    """Return a begun response with its end."""
    reason = _INCOMPLETE.get(finish_reason or "")
    if reason and output:  # what was cut short is the last of it
        output = [*output[:-1], {**output[-1], "status": "incomplete"}]
    return {
        **begun,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": None if usage is None else _usage(usage),
    }


def message(item_id: str, content: list[dict[str, Any]], *, status: str = "completed") -> dict[str, Any]:
    """Return a message as an item of the output."""
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def function_call(call_id: str, name: str, arguments: str, *, status: str = "completed") -> dict[str, Any]:
    """Return a function call as an item of the output."""
    return {
        "id": f"fc_{call_id}",
        "type": "function_call",
        "status": status,
        "arguments": arguments,
        "call_id": call_id,
        "name": name,
    }


def text_part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return text as a part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def refusal_part(refusal: str) -> dict[str, Any]:
    """Return a refusal as a part of a message."""
    return {"type": "refusal", "refusal": refusal}


def _output(said: ChatMessage, response_id: str, logprobs: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    text = said.text
    content = [text_part(text, token_logprobs(logprobs))] if text else []
    if said.refusal:
        content.append(refusal_part(said.refusal))
    calls = [
        function_call(call.id or f"call_{index}", call.function.name or "", call.function.arguments or "")
        for index, call in enumerate(said.tool_calls or ())
        if call.function is not None
    ]
    if calls and not content:
        return calls
    return [message(f"msg_{response_id}_0", content or [text_part("", [])]), *calls]


def _usage(usage: ChatUsage) -> dict[str, Any]:
    total = usage.prompt_tokens + usage.completion_tokens if usage.total_tokens is None else usage.total_tokens
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": total,
    }
