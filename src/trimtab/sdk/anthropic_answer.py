"""Reads Anthropic messages and reassembles their streams. Pure; takes the client's objects by their public fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.output_steps import apply_output_adapters
from trimtab.providers.openai import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MessageStreamReader", "adapt_message", "read_message"]


def read_message(message: Any) -> Answer:  # noqa: ANN401 - anthropic's Message, which we do not import
    """Return what a message says: its text blocks joined, its tool uses (in OpenAI's shape), its usage."""
    return Answer(
        served_model=message.model or "",
        output="".join(block.text for block in message.content if block.type == "text"),
        tool_calls=[
            _tool_call(block.id, block.name, msgspec.json.encode(block.input).decode())
            for block in message.content
            if block.type == "tool_use"
        ],
        finish_reason=message.stop_reason or "",
        input_tokens=_input_tokens(message.usage),
        output_tokens=message.usage.output_tokens or 0,
    )


def adapt_message(message: Any, steps: Sequence[str]) -> None:  # noqa: ANN401 - anthropic's Message
    """Apply a release's output adapters to every text block, in place."""
    for block in message.content:
        if block.type == "text":
            block.text = apply_output_adapters(block.text, steps)


def _tool_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _input_tokens(usage: Any) -> int:  # noqa: ANN401 - anthropic's Usage
    """All input tokens: Anthropic counts cached ones apart."""
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(getattr(usage, name, None) or 0 for name in names)


class MessageStreamReader:
    """Reassembles a stream of raw message events.

    With output adapters, the text of a block is held back until the block is complete and comes as one delta.
    """

    __slots__ = (
        "_finish_reason",
        "_held",
        "_input_tokens",
        "_model",
        "_output_tokens",
        "_steps",
        "_stopped",
        "_text",
        "_tools",
        "started",
    )

    def __init__(self, *, steps: Sequence[str] = (), usage_is_ours: bool = False) -> None:  # noqa: ARG002 - usage comes
        # with every stream of this wire, so there is nothing to hide
        self._steps = steps
        self._model = ""
        self._text: dict[int, list[str]] = {}
        self._held: dict[int, Any] = {}
        self._tools: dict[int, dict[str, Any]] = {}
        self._finish_reason = ""
        self._input_tokens = 0
        self._output_tokens = 0
        self._stopped = False
        self.started = False

    def take(self, event: Any) -> Sequence[Any]:  # noqa: ANN401 - anthropic's RawMessageStreamEvent
        """Take one event; return the events that the caller is to see now."""
        match event.type:
            case "message_start":
                self._model = event.message.model
                self._input_tokens = _input_tokens(event.message.usage)
                self._output_tokens = event.message.usage.output_tokens or 0
            case "content_block_start" if event.content_block.type == "tool_use":
                self._tools[event.index] = _tool_call(event.content_block.id, event.content_block.name, "")
                self.started = True
            case "content_block_delta":
                self._read_delta(event.index, event.delta)
            case "message_delta":
                self._finish_reason = event.delta.stop_reason or self._finish_reason
                self._output_tokens = event.usage.output_tokens or self._output_tokens
            case "message_stop":
                self._stopped = True
            case _:
                pass
        return self._adapted(event) if self._steps else (event,)

    def _read_delta(self, index: int, delta: Any) -> None:  # noqa: ANN401 - anthropic's RawContentBlockDelta
        if delta.type == "text_delta":
            if not isinstance(delta.text, str):  # the client does not check it
                raise TypeError(f"a delta says a `{type(delta.text).__name__}`")
            self._text.setdefault(index, []).append(delta.text)
            self.started = self.started or bool(delta.text)
        elif delta.type == "input_json_delta" and index in self._tools:
            self._tools[index]["function"]["arguments"] += delta.partial_json

    def _adapted(self, event: Any) -> Sequence[Any]:  # noqa: ANN401 - anthropic's RawMessageStreamEvent
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            self._held[event.index] = event
            return ()
        if event.type == "content_block_stop" and event.index in self._held:
            last = self._held.pop(event.index)
            last.delta.text = self._block(event.index)
            return (last, event)
        return (event,)

    def _block(self, index: int) -> str:
        return apply_output_adapters("".join(self._text[index]), self._steps)

    @property
    def complete(self) -> bool:
        """Whether the message was stopped by the provider."""
        return self._stopped or bool(self._finish_reason)

    def answer(self) -> Answer:
        """Return what has arrived so far, adapted."""
        return Answer(
            served_model=self._model,
            output="".join(map(self._block, sorted(self._text))),
            tool_calls=[self._tools[index] for index in sorted(self._tools)],
            finish_reason=self._finish_reason,
            input_tokens=self._input_tokens,
            output_tokens=self._output_tokens,
        )
