"""What we read of Anthropic's messages and stream events; the rest is passed over unread."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.core.errors import UpstreamError
from trimtab.providers.openai.answer import UNREADABLE

__all__ = ["UNREADABLE", "Block", "Delta", "Event", "Message", "Usage", "decode_event", "decode_message", "tool_call"]


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens as Anthropic counts them: cached input apart from the rest, thinking among the output."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: dict[str, Any] | None = None

    @property
    def all_input_tokens(self) -> int:
        """Input tokens as everybody else counts them, cached ones among them."""
        return (self.input_tokens or 0) + (self.cache_creation_input_tokens or 0) + (self.cache_read_input_tokens or 0)

    def updated(self, later: Usage) -> Usage:
        """Return these counts with those that a later event gives; counts of a stream are cumulative."""
        return Usage(
            *(
                getattr(self, name) if getattr(later, name) is None else getattr(later, name)
                for name in Usage.__struct_fields__
            )
        )


class Block(msgspec.Struct, frozen=True, gc=False):
    """A content block: text, a tool use, or one that chat does not know."""

    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: Any = None


class _StopDetails(msgspec.Struct, frozen=True, gc=False):
    explanation: str | None = None


class Message(msgspec.Struct, frozen=True, gc=False):
    """A complete message, and the empty one that a stream begins with."""

    content: list[Block]
    usage: Usage
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None


class Delta(msgspec.Struct, frozen=True, gc=False):
    """A piece of a content block, or of the message itself."""

    type: str = ""
    text: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None


class _ErrorDetail(msgspec.Struct, frozen=True, gc=False):
    type: str = ""
    message: str = ""


class Event(msgspec.Struct, frozen=True, gc=False):
    """Any event of a stream of messages."""

    type: str
    index: int = 0
    delta: Delta | None = None
    content_block: Block | None = None
    message: Message | None = None
    usage: Usage | None = None
    error: _ErrorDetail | None = None


_message_decoder = msgspec.json.Decoder(Message)
_event_decoder = msgspec.json.Decoder(Event)


def decode_message(body: bytes) -> Message:
    """Return a complete message; raises `UpstreamError` (`upstream_malformed`) where `body` is none."""
    try:
        return _message_decoder.decode(body)
    except UNREADABLE as error:
        raise UpstreamError("upstream_malformed", f"the upstream's answer is no message: {error}") from error


def decode_event(data: bytes) -> Event:
    """Return one event of a stream; raises `UpstreamError` (`upstream_malformed`) where `data` is none."""
    try:
        return _event_decoder.decode(data)
    except UNREADABLE as error:
        raise UpstreamError("upstream_malformed", f"the stream holds what is no event: {error}") from error


def tool_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """Return a tool use in the shape of chat completions."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
