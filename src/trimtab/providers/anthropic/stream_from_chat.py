"""A stream of chat completion chunks as the stream of messages that says the same."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.core.errors import UpstreamError
from trimtab.providers.anthropic.completion import ChatUsage, messages_usage, stop_reason_of
from trimtab.providers.anthropic.errors import stream_error
from trimtab.providers.anthropic.wire import UNREADABLE
from trimtab.providers.sse import EventSplitter, data_of, event_bytes, said_by

__all__ = ["FromChatStream"]

_encode = msgspec.json.Encoder().encode
_NO_BLOCK = -1
_UPSTREAM_STATUS = 502


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _ToolDelta(msgspec.Struct, gc=False):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolDelta] | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] = []
    id: str = ""
    model: str = ""
    usage: ChatUsage | None = None
    error: Any = None


class _Tool(msgspec.Struct):
    """A tool call on its way: the block it became, and the pieces of its arguments."""

    block: int
    pieces: list[str]
    open: bool = True

    @property
    def whole(self) -> bool:
        """Whether the arguments are complete JSON: servers may send calls in turns, piece by piece."""
        try:
            msgspec.json.decode("".join(self.pieces))
        except UNREADABLE:
            return False
        return True


_decoder = msgspec.json.Decoder(_Chunk)


class FromChatStream:
    """Takes the bytes of a stream of chunks, returns those of a stream of messages, `message_stop` last.

    The first choice is the message. `message_delta` waits for the usage chunk or `[DONE]`, whichever comes first: chat
    gives its usage last, and Anthropic's clients want it with the stop reason.
    """

    __slots__ = (
        "_block_head",
        "_blocks",
        "_done",
        "_finish_reason",
        "_refused",
        "_splitter",
        "_started",
        "_text_block",
        "_tools",
        "_usage",
    )

    def __init__(self) -> None:
        self._splitter = EventSplitter()
        self._blocks = 0
        self._text_block = _NO_BLOCK
        self._block_head = b""
        self._tools: dict[int, _Tool] = {}
        self._usage: ChatUsage | None = None
        self._finish_reason: str | None = None
        self._refused = False
        self._started = False
        self._done = False

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the stream and return what it says as whole events, possibly nothing.

        Raises `UpstreamError` (`upstream_malformed`) for what is no stream of chat completion chunks.
        """
        return said_by(self._splitter.feed(data), self._event)

    def end(self) -> bytes:
        """Return what is left to say where the upstream gave its finish reason and closed without `[DONE]`."""
        return b"" if self._done or self._finish_reason is None else self._stop()

    def _event(self, event: bytes) -> bytes:
        data = event[6:] if event.startswith(b"data: ") and b"\n" not in event else data_of(event)
        if data is None:
            return b""
        if data == b"[DONE]":
            return b"" if self._done else self._stop()
        try:
            chunk = _decoder.decode(data)
        except UNREADABLE as error:
            raise UpstreamError("upstream_malformed", f"the stream holds what is no chunk: {error}") from error
        if chunk.error is not None:
            return _error(chunk.error)
        if chunk.usage is not None:
            self._usage = chunk.usage
            if not chunk.choices and self._finish_reason is not None and not self._done:
                return self._stop()
        return b"".join([self._choice(choice, chunk) for choice in chunk.choices if choice.index == 0])

    def _choice(self, choice: _Choice, chunk: _Chunk) -> bytes:
        start = b"" if self._started else self._start(chunk)
        said = b""
        delta = choice.delta
        if delta is not None:
            if delta.content:
                said = self._text(delta.content)
            if delta.refusal:
                self._refused = True
                said += self._text(delta.refusal)
            for part in delta.tool_calls or ():
                said += self._tool(part)
        if choice.finish_reason:
            self._finish_reason = choice.finish_reason
            said += self._close()
        return start + said

    def _start(self, chunk: _Chunk) -> bytes:
        self._started = True
        message: dict[str, Any] = {
            "id": chunk.id,
            "type": "message",
            "role": "assistant",
            "model": chunk.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": messages_usage(chunk.usage or ChatUsage()),
        }
        return event_bytes(b"message_start", _encode({"type": "message_start", "message": message}))

    def _text(self, text: str) -> bytes:
        opened = b""
        if self._text_block == _NO_BLOCK:
            opened = self._close()
            self._text_block = self._blocks
            opened += self._open({"type": "text", "text": ""})
            self._block_head = (
                b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
                b'"delta":{"type":"text_delta","text":' % self._text_block
            )
        return opened + self._block_head + _encode(text) + b"}}\n\n"

    def _tool(self, part: _ToolDelta) -> bytes:
        opened = b""
        function = part.function or _Function()
        tool = self._tools.get(part.index)
        if tool is None:
            opened = self._close(whole_only=True)
            tool = self._tools[part.index] = _Tool(self._blocks, [])
            call_id = part.id or f"call_{part.index}"
            opened += self._open({"type": "tool_use", "id": call_id, "name": function.name or "", "input": {}})
        if not function.arguments:
            return opened
        tool.pieces.append(function.arguments)
        return opened + (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"input_json_delta","partial_json":%b}}\n\n' % (tool.block, _encode(function.arguments))
        )

    def _open(self, block: dict[str, Any]) -> bytes:
        start = {"type": "content_block_start", "index": self._blocks, "content_block": block}
        self._blocks += 1
        return event_bytes(b"content_block_start", _encode(start))

    def _close(self, *, whole_only: bool = False) -> bytes:
        """End open blocks: the text, and tools (of `whole_only` those alone whose arguments are complete)."""
        closed = b""
        if self._text_block != _NO_BLOCK:
            closed = _block_stop(self._text_block)
            self._text_block = _NO_BLOCK
        for tool in self._tools.values():
            if tool.open and (not whole_only or tool.whole):
                tool.open = False
                closed += _block_stop(tool.block)
        return closed

    def _stop(self) -> bytes:
        self._done = True
        start = b"" if self._started else self._start(_Chunk())
        reason = stop_reason_of(self._finish_reason, refused=self._refused, calls=bool(self._tools))
        delta = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": messages_usage(self._usage or ChatUsage()),
        }
        return (
            start
            + self._close()
            + event_bytes(b"message_delta", _encode(delta))
            + event_bytes(b"message_stop", b'{"type":"message_stop"}')
        )


def _block_stop(index: int) -> bytes:
    return event_bytes(b"content_block_stop", b'{"type":"content_block_stop","index":%d}' % index)


def _error(error: Any) -> bytes:  # noqa: ANN401 - whatever the provider sent
    told = error if isinstance(error, dict) else {"message": str(error)}
    return stream_error(
        kind="upstream_error",
        message=str(told.get("message") or "the upstream's stream failed"),
        param=None,
        code=str(told.get("code") or told.get("type") or "upstream_stream_error"),
        status=_UPSTREAM_STATUS,
    )
