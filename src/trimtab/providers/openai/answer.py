"""What we read out of an answer, streamed or not: the same few facts."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from trimtab.core.errors import UpstreamError
from trimtab.providers.openai.completion import Choice, Completion, ErrorBody, Message, Usage
from trimtab.serving.generation import Answer

__all__ = [
    "UNREADABLE",
    "Answer",
    "answer_of_error",
    "error_message",
    "read_completion",
    "read_embeddings",
]


UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON of the wanted type."""

_NO_CHOICE: Final = Choice()
_NO_USAGE: Final = Usage()
_completion_decoder: Final = msgspec.json.Decoder(Completion)
_error_decoder: Final = msgspec.json.Decoder(ErrorBody)


def read_completion(body: bytes) -> Answer:
    """Return the facts of a chat completion; raises `UpstreamError` (`upstream_malformed`) where it is none."""
    try:
        completion = _completion_decoder.decode(body)
    except UNREADABLE as error:
        raise UpstreamError("upstream_malformed", f"the upstream's answer is no chat completion: {error}") from error
    choice = completion.choices[0] if completion.choices else _NO_CHOICE
    usage = completion.usage or _NO_USAGE
    message = choice.message
    content = message.content
    return Answer(
        content if isinstance(content, str) and content else _text(message),
        message.tool_calls or (_tool_calls(message) if message.function_call else []),
        "refusal" if message.refusal else choice.finish_reason or "",
        completion.model,
        usage.prompt_tokens,
        usage.completion_tokens,
    )


def read_embeddings(body: bytes) -> Answer:
    """Return the facts of an embeddings answer (model and tokens); raises `UpstreamError` where it is none."""
    try:
        answer = _completion_decoder.decode(body)
    except UNREADABLE as error:
        raise UpstreamError("upstream_malformed", f"the upstream's answer is no embedding: {error}") from error
    return Answer(served_model=answer.model, input_tokens=(answer.usage or Usage()).prompt_tokens)


def answer_of_error(status: int, body: bytes) -> Answer | None:
    """Return the facts of an answer in OpenAI's error shape, `None` where it has another shape.

    The error's own code where it has one (`rate_limit_exceeded`), `upstream_status_<status>` where not.
    """
    try:
        error = _error_decoder.decode(body).error
    except UNREADABLE:
        return None
    if isinstance(error, str):
        return None
    return Answer(error_code=str(error.code) if error.code else f"upstream_status_{status}")


def error_message(body: bytes) -> str:
    """Return what an error in OpenAI's shape says; empty where it says nothing."""
    try:
        error = _error_decoder.decode(body).error
    except UNREADABLE:
        return ""
    return error if isinstance(error, str) else error.message or ""


def _text(message: Message) -> str:
    content = message.content
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content or message.refusal or ""


def _tool_calls(message: Message) -> list[dict[str, Any]]:
    return [{"type": "function", "function": message.function_call}] if message.function_call else []
