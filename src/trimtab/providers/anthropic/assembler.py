"""Server-sent events of the Messages API: forwarded as they come, and put together on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.output_steps import apply_output_adapters
from trimtab.providers.anthropic.wire import Usage, decode_event, tool_call
from trimtab.providers.sse import EventSplitter, data_of, said_by
from trimtab.serving.generation import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.providers.anthropic.wire import Event

__all__ = ["MessagesAssembler"]


class MessagesAssembler:
    """Takes the bytes of a stream, returns the bytes for the caller, and knows the whole answer at the end.

    `steps`: output adapters; with any, text is held back until its block is complete and goes out as one delta before
    the block's end. `keep_usage` changes nothing: usage is part of every stream of messages.
    """

    __slots__ = (
        "_model",
        "_splitter",
        "_steps",
        "_text",
        "_tools",
        "_usage",
        "complete",
        "ended",
        "error_code",
        "finish_reason",
        "started",
    )

    def __init__(self, *, keep_usage: bool = True, steps: Sequence[str] = ()) -> None:  # noqa: ARG002 - see above
        self._splitter = EventSplitter()
        self._steps = steps
        self._text: dict[int, list[str]] = {}
        self._tools: dict[int, dict[str, Any]] = {}
        self._model = ""
        self._usage = Usage()
        self.started = False
        """Whether the first piece of the answer itself (text or tool use) has come."""
        self.ended = False
        """Whether `message_stop` has come: nothing follows, and callers may leave."""
        self.complete = False
        """Whether `message_stop` or a stop reason has come: a stream that ends without either was cut off."""
        self.finish_reason = ""
        self.error_code = ""

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the stream and return what goes to the caller now, possibly nothing.

        Raises `UpstreamError` (`upstream_malformed`) for what is no stream of messages.
        """
        return said_by(self._splitter.feed(data), self._event, b"\n\n")

    def end(self) -> bytes:
        """Nothing is left to say where an upstream closes after its stop reason."""
        return b""

    def answer(self) -> Answer:
        """Return what the stream said so far."""
        return Answer(
            "".join([self._block_text(index) for index in sorted(self._text)]),
            [self._tools[index] for index in sorted(self._tools)],
            self.finish_reason,
            self._model,
            self._usage.all_input_tokens,
            self._usage.output_tokens or 0,
            self.error_code,
        )

    def _event(self, raw: bytes) -> bytes:
        """Return what of one event goes to the caller, nothing where it is held back."""
        data = data_of(raw)
        if data is None:
            return raw
        event = decode_event(data)
        kind = event.type
        if kind == "content_block_delta":
            return self._delta(event, raw)
        if kind == "content_block_start":
            self._block_start(event)
            return raw if not self._steps else self._emptied(event, raw)
        if kind == "content_block_stop" and self._steps and event.index in self._text:
            return self._released(event.index) + raw
        if kind == "message_start" and event.message is not None:
            self._model = event.message.model
            self._usage = event.message.usage
        elif kind == "message_delta":
            self._message_delta(event)
        elif kind == "message_stop":
            self.complete = self.ended = True
        elif kind == "error":
            self.error_code = (event.error and event.error.type) or "upstream_stream_error"
        return raw

    def _delta(self, event: Event, raw: bytes) -> bytes:
        delta = event.delta
        if delta is None:
            return raw
        if delta.type == "text_delta":
            text = self._text.get(event.index)
            if text is None:
                text = self._text[event.index] = []
            text.append(delta.text)
            self.started = self.started or delta.text != ""
            return b"" if self._steps else raw
        if delta.type == "input_json_delta" and event.index in self._tools:
            self._tools[event.index]["function"]["arguments"] += delta.partial_json
        return raw

    def _block_start(self, event: Event) -> None:
        block = event.content_block
        if block is None:
            return
        if block.type == "tool_use":
            self.started = True
            given = msgspec.json.encode(block.input).decode() if block.input else ""
            self._tools[event.index] = tool_call(block.id, block.name, given)
        elif block.type == "text" and block.text:
            self.started = True
            self._text[event.index] = [block.text]

    def _message_delta(self, event: Event) -> None:
        if event.usage is not None:
            self._usage = self._usage.updated(event.usage)
        if event.delta is not None and event.delta.stop_reason:
            self.finish_reason = event.delta.stop_reason
            self.complete = True

    def _block_text(self, index: int) -> str:
        text = "".join(self._text[index])
        return apply_output_adapters(text, self._steps) if self._steps else text

    def _emptied(self, event: Event, raw: bytes) -> bytes:
        """Return the start of a text block without the text it may come with: that is held back too."""
        if event.index not in self._text:
            return raw
        start = {"type": "content_block_start", "index": event.index, "content_block": {"type": "text", "text": ""}}
        return b"event: content_block_start\ndata: " + msgspec.json.encode(start)

    def _released(self, index: int) -> bytes:
        delta = {"type": "text_delta", "text": self._block_text(index)}
        event = {"type": "content_block_delta", "index": index, "delta": delta}
        return b"event: content_block_delta\ndata: " + msgspec.json.encode(event) + b"\n\n"
