"""What we read of OpenAI's responses, their stream events and chat's answers; the rest is passed over unread."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.core.errors import UpstreamError
from trimtab.providers.openai.answer import UNREADABLE
from trimtab.providers.openai.usage import ChatUsage

__all__ = [
    "ChatUsage",
    "Event",
    "Item",
    "Part",
    "Response",
    "ResponseError",
    "Usage",
    "decode_chunk",
    "decode_completion",
    "decode_event",
    "decode_response",
]


class _InputDetails(msgspec.Struct, frozen=True, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct, frozen=True, gc=False):
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens as the Responses API counts them: cached input and reasoning among the rest, as in chat."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class Part(msgspec.Struct, frozen=True, gc=False):
    """A part of what the model said: text, or a refusal."""

    type: str = ""
    text: str = ""
    refusal: str = ""
    logprobs: list[dict[str, Any]] | None = None


class Item(msgspec.Struct, frozen=True, gc=False):
    """An item of the output: a message, a function call, or one that chat does not know."""

    type: str
    id: str | None = None
    content: list[Part] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Any = None


class ResponseError(msgspec.Struct, frozen=True, gc=False):
    """What went wrong, in the provider's words."""

    code: str | None = None
    message: str | None = None


class _IncompleteDetails(msgspec.Struct, frozen=True, gc=False):
    reason: str | None = None


class Response(msgspec.Struct, frozen=True, gc=False):
    """A response, whole or as far as it has come."""

    output: list[Item]
    id: str = ""
    model: str = ""
    status: str | None = None
    created_at: float = 0
    error: ResponseError | None = None
    incomplete_details: _IncompleteDetails | None = None
    service_tier: str | None = None
    usage: Usage | None = None


class Event(msgspec.Struct, frozen=True, gc=False):
    """Any event of a stream."""

    type: str
    delta: Any = None
    output_index: int = 0
    content_index: int = 0
    sequence_number: int = 0
    logprobs: list[dict[str, Any]] | None = None
    item: Item | None = None
    response: Response | None = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    code: str | int | None = None
    message: str | None = None
    error: Any = None


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, gc=False):
    """A tool call of chat, or a piece of one."""

    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Logprobs(msgspec.Struct, gc=False):
    content: list[dict[str, Any]] | None = None


class ChatMessage(msgspec.Struct, gc=False):
    """What chat's model said, or a piece of it."""

    content: str | list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None

    @property
    def text(self) -> str:
        """The content as one text; some servers answer with content in parts."""
        content = self.content
        if isinstance(content, list):
            return "".join([str(part.get("text", "")) for part in content if isinstance(part, dict)])
        return content or ""


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    message: ChatMessage | None = None
    delta: ChatMessage | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class Completion(msgspec.Struct, gc=False):
    """A chat completion, or a chunk of one."""

    choices: list[_Choice]
    id: str = ""
    created: float = 0
    model: str = ""
    service_tier: str | None = None
    usage: ChatUsage | None = None


class Chunk(Completion, gc=False):
    """A chunk of a stream, which may be an error."""

    choices: list[_Choice] = []
    error: Any = None


_response_decoder = msgspec.json.Decoder(Response)
_event_decoder = msgspec.json.Decoder(Event)
_completion_decoder = msgspec.json.Decoder(Completion)
_chunk_decoder = msgspec.json.Decoder(Chunk)


def decode_response(body: bytes) -> Response:
    """Return a response; raises `UpstreamError` (`upstream_malformed`) where `body` is none."""
    try:
        return _response_decoder.decode(body)
    except UNREADABLE as error:
        raise UpstreamError("upstream_malformed", f"the upstream's answer is no response: {error}") from error


def decode_event(data: bytes) -> Event:
    """Return one event of a stream; raises `UpstreamError` (`upstream_malformed`) where `data` is none."""
    try:
        return _event_decoder.decode(data)
    except UNREADABLE as error:
        raise UpstreamError("upstream_malformed", f"the stream holds what is no event: {error}") from error


def decode_completion(body: bytes) -> Completion:
    """Return a chat completion; raises `UpstreamError` (`upstream_malformed`) where `body` is none."""
    try:
        return _completion_decoder.decode(body)
    except UNREADABLE as error:
        raise UpstreamError("upstream_malformed", f"the upstream's answer is no chat completion: {error}") from error


def decode_chunk(data: bytes) -> Chunk:
    """Return one chunk of a stream of chat; raises `UpstreamError` (`upstream_malformed`) where `data` is none."""
    try:
        return _chunk_decoder.decode(data)
    except UNREADABLE as error:
        raise UpstreamError("upstream_malformed", f"the stream holds what is no chunk: {error}") from error
