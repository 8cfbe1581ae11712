"""A response as the chat completion that says the same.

Reasoning stays behind: chat completions have no place for it. Its tokens are counted (`reasoning_tokens`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import UpstreamError
from trimtab.providers.responses.wire import Response, decode_response

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trimtab.providers.responses.wire import Part, Usage

__all__ = [
    "chat_usage",
    "completed",
    "finish_reason_of",
    "parts_of",
    "to_chat_completion",
    "token_logprobs",
    "tool_calls_of",
]

_FINISHED = frozenset({"completed", "incomplete"})
_FINISH_REASONS = {"content_filter": "content_filter"}
"""Why a response is incomplete -> chat's finish reason; `length` for any other."""
_encode = msgspec.json.Encoder().encode


def to_chat_completion(body: bytes) -> bytes:
    """Return a response as a chat completion.

    Raises `UpstreamError`: `upstream_malformed` where `body` is no response, the provider's own code where the
    response says that it failed.
    """
    response = completed(decode_response(body))
    said = list(parts_of(response))
    logprobs = [token for part in said for token in token_logprobs(part.logprobs)]
    completion: dict[str, Any] = {
        "id": response.id,
        "object": "chat.completion",
        "created": int(response.created_at),
        "model": response.model,
        "choices": [
            {
                "index": 0,
                "message": _message(response, said),
                "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
                "finish_reason": finish_reason_of(response, calls=_calls_tools(response)),
            }
        ],
    }
    if response.service_tier is not None:
        completion["service_tier"] = response.service_tier
    if response.usage is not None:
        completion["usage"] = chat_usage(response.usage)
    return _encode(completion)


def completed(response: Response) -> Response:
    """Return the response; raises `UpstreamError` where it says that it failed, or is not finished."""
    if response.error is not None or response.status == "failed":
        error = response.error
        raise UpstreamError(
            (error and error.code) or "upstream_failed", (error and error.message) or "the upstream's response failed"
        )
    if response.status is not None and response.status not in _FINISHED:
        raise UpstreamError("upstream_malformed", f"the upstream's answer is not finished: it is `{response.status}`")
    return response


def parts_of(response: Response) -> Iterator[Part]:
    """Yield what the model said, part by part."""
    for item in response.output:
        if item.type == "message":
            yield from item.content or ()


def tool_calls_of(response: Response) -> list[dict[str, Any]]:
    """Return the function calls of a response in the shape of chat completions."""
    return [
        {
            "id": item.call_id or item.id or "",
            "type": "function",
            "function": {"name": item.name or "", "arguments": item.arguments or ""},
        }
        for item in response.output
        if item.type == "function_call"
    ]


def finish_reason_of(response: Response, *, calls: bool) -> str:
    """Return chat's finish reason."""
    if response.status == "incomplete":
        reason = response.incomplete_details.reason if response.incomplete_details else None
        return _FINISH_REASONS.get(reason or "", "length")
    return "tool_calls" if calls else "stop"


def chat_usage(usage: Usage) -> dict[str, Any]:
    """Return usage as chat completions give it."""
    told: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens if usage.total_tokens is None else usage.total_tokens,
    }
    given = usage.input_tokens_details
    if given is not None:
        told["prompt_tokens_details"] = {
            "cached_tokens": given.cached_tokens or 0,
            "cache_write_tokens": given.cache_write_tokens or 0,
        }
    spent = usage.output_tokens_details
    if spent is not None:
        told["completion_tokens_details"] = {"reasoning_tokens": spent.reasoning_tokens or 0}
    return told


def token_logprobs(logprobs: Iterable[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Return log probabilities with every field that either API gives, some of which their streams leave out."""
    return [
        {
            "token": token.get("token", ""),
            "bytes": token.get("bytes") or [],
            "logprob": token.get("logprob", 0),
            "top_logprobs": [
                {"token": top.get("token", ""), "bytes": top.get("bytes") or [], "logprob": top.get("logprob", 0)}
                for top in token.get("top_logprobs") or ()
            ],
        }
        for token in logprobs or ()
    ]


def _calls_tools(response: Response) -> bool:
    return any(item.type == "function_call" for item in response.output)


def _message(response: Response, said: list[Part]) -> dict[str, Any]:
    text = "".join([part.text for part in said if part.type == "output_text"])
    refusal = "".join([part.refusal for part in said if part.type == "refusal"])
    calls = tool_calls_of(response)
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": refusal or None}
    if not (text or refusal or calls):
        message["content"] = ""
    return {**message, "tool_calls": calls} if calls else message
