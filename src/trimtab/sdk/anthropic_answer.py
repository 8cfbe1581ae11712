"""Reads Anthropic messages and reassembles their streams. Pure; takes the client's objects by their public fields."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.sdk.answer import Answer

__all__ = ["MessageStreamReader", "read_message"]


def read_message(message: Any) -> Answer:  # noqa: ANN401 - anthropic's Message, which we do not import
    """Return what a message says: its text blocks joined, its tool uses, its usage."""
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


def _tool_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _input_tokens(usage: Any) -> int:  # noqa: ANN401 - anthropic's Usage
    """All input tokens: Anthropic counts cached ones apart."""
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(getattr(usage, name, None) or 0 for name in names)


class MessageStreamReader:
    """Reassembles a stream of raw message events."""

    __slots__ = ("_finish_reason", "_input_tokens", "_model", "_output_tokens", "_parts", "_stopped", "_tools")

    def __init__(self) -> None:
        self._model = ""
        self._parts: list[str] = []
        self._tools: dict[int, dict[str, Any]] = {}
        self._finish_reason = ""
        self._input_tokens = 0
        self._output_tokens = 0
        self._stopped = False

    def read(self, event: Any) -> bool:  # noqa: ANN401 - anthropic's RawMessageStreamEvent
        """Take one event; return whether it brought any of the answer (text or tool input)."""
        match event.type:
            case "message_start":
                self._model = event.message.model
                self._input_tokens = _input_tokens(event.message.usage)
                self._output_tokens = event.message.usage.output_tokens or 0
            case "content_block_start" if event.content_block.type == "tool_use":
                block = event.content_block
                self._tools[event.index] = _tool_call(block.id, block.name, "")
                return True
            case "content_block_delta":
                return self._read_delta(event.index, event.delta)
            case "message_delta":
                self._finish_reason = event.delta.stop_reason or self._finish_reason
                self._output_tokens = event.usage.output_tokens or self._output_tokens
            case "message_stop":
                self._stopped = True
            case _:
                pass
        return False

    def _read_delta(self, index: int, delta: Any) -> bool:  # noqa: ANN401 - anthropic's RawContentBlockDelta
        if delta.type == "text_delta":
            self._parts.append(delta.text)
            return bool(delta.text)
        if delta.type == "input_json_delta" and index in self._tools:
            self._tools[index]["function"]["arguments"] += delta.partial_json
            return True
        return False

    @property
    def complete(self) -> bool:
        """Whether the message was stopped by the provider."""
        return self._stopped or bool(self._finish_reason)

    def answer(self) -> Answer:
        """Return what has arrived so far."""
        return Answer(
            served_model=self._model,
            output="".join(self._parts),
            tool_calls=[self._tools[index] for index in sorted(self._tools)],
            finish_reason=self._finish_reason,
            input_tokens=self._input_tokens,
            output_tokens=self._output_tokens,
        )
