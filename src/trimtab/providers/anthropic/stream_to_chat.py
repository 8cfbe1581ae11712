"""A stream of messages as the stream of chat completion chunks that says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import UpstreamError
from trimtab.providers.anthropic.completion import FINISH_REASONS, chat_usage
from trimtab.providers.anthropic.wire import Usage, decode_event
from trimtab.providers.sse import EventSplitter, data_of, said_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.providers.anthropic.wire import Event

__all__ = ["ToChatStream"]

_encode = msgspec.json.Encoder().encode
_BETWEEN = b',"finish_reason":null}]}\n\n'

_WITHOUT_START = frozenset({"error", "message_start"})


class _Tool(msgspec.Struct):
    """A tool use on its way: its place among the calls, and what came of its input."""

    index: int
    input: object
    begun: bool = False


class ToChatStream:
    """Takes the bytes of a stream of messages, returns those of a stream of chunks, `[DONE]` last.

    The usage chunk (that of `include_usage`) is always there. `created` is in Unix seconds. Thinking stays behind, as
    in `to_chat_completion`.
    """

    __slots__ = ("_created", "_envelope", "_head", "_splitter", "_tools", "_usage")

    def __init__(self, *, created: int = 0) -> None:
        self._created = created
        self._splitter = EventSplitter()
        self._head = b""
        self._envelope = b""
        self._tools: dict[int, _Tool] = {}
        self._usage = Usage()

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the stream and return what it says as whole events, possibly nothing.

        Raises `UpstreamError` (`upstream_malformed`) for what is no stream of messages.
        """
        return said_by(self._splitter.feed(data), self._event)

    def _event(self, raw: bytes) -> bytes:
        data = data_of(raw)
        if data is None:
            return b""
        event = decode_event(data)
        handle = _HANDLERS.get(event.type)
        if handle is None:
            return b""
        if not self._head and event.type not in _WITHOUT_START:
            raise UpstreamError("upstream_malformed", f"the stream begins with `{event.type}`")
        return handle(self, event)

    def _start(self, event: Event) -> bytes:
        message = event.message
        if message is None:
            raise UpstreamError("upstream_malformed", "the stream's `message_start` has no message")
        self._usage = message.usage
        self._envelope = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,' % (
            _encode(message.id),
            self._created,
            _encode(message.model),
        )
        self._head = self._envelope + b'"choices":[{"index":0,"delta":'
        return self._head + b'{"role":"assistant","content":""}' + _BETWEEN

    def _delta(self, event: Event) -> bytes:
        delta = event.delta
        if delta is None:
            raise UpstreamError("upstream_malformed", "the stream holds a delta of nothing")
        kind = delta.type
        if kind == "text_delta":
            return self._text(delta.text)
        if kind == "input_json_delta" and delta.partial_json and (tool := self._tools.get(event.index)) is not None:
            return self._arguments(tool, delta.partial_json)
        return b""

    def _block_start(self, event: Event) -> bytes:
        block = event.content_block
        if block is None:
            raise UpstreamError("upstream_malformed", "the stream starts a block of nothing")
        if block.type == "text":
            return self._text(block.text)
        if block.type != "tool_use":
            return b""
        tool = self._tools[event.index] = _Tool(len(self._tools), block.input)
        return b'%b{"tool_calls":[{"index":%d,"id":%b,"type":"function","function":{"name":%b,"arguments":""}}]}%b' % (
            self._head,
            tool.index,
            _encode(block.id),
            _encode(block.name),
            _BETWEEN,
        )

    def _block_stop(self, event: Event) -> bytes:
        """Give a tool that came with no piece of its input the one that it started with: `{}`, where it takes none."""
        tool = self._tools.get(event.index)
        if tool is None or tool.begun:
            return b""
        return self._arguments(tool, _encode(tool.input or {}).decode())

    def _text(self, text: str) -> bytes:
        return b'%b{"content":%b}%b' % (self._head, _encode(text), _BETWEEN) if text else b""

    def _arguments(self, tool: _Tool, piece: str) -> bytes:
        tool.begun = True
        return b'%b{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}%b' % (
            self._head,
            tool.index,
            _encode(piece),
            _BETWEEN,
        )

    def _finish(self, event: Event) -> bytes:
        if event.usage is not None:
            self._usage = self._usage.updated(event.usage)
        delta = event.delta
        if delta is None or delta.stop_reason is None:
            return b""
        explanation = delta.stop_details.explanation if delta.stop_details else None
        said = b'{"refusal":%b}' % _encode(explanation) if explanation else b"{}"
        reason = FINISH_REASONS.get(delta.stop_reason, "stop").encode()
        return b'%b%b,"finish_reason":"%b"}]}\n\n' % (self._head, said, reason)

    def _stop(self, _event: Event) -> bytes:
        usage = _encode(chat_usage(self._usage))
        return b'%b"choices":[],"usage":%b}\n\ndata: [DONE]\n\n' % (self._envelope, usage)

    def _error(self, event: Event) -> bytes:
        kind, message = (event.error.type, event.error.message) if event.error else ("", "")
        error = {"message": message, "type": kind, "param": None, "code": kind or "upstream_stream_error"}
        return b"data: %b\n\n" % _encode({"error": error})


_HANDLERS: dict[str, Callable[[ToChatStream, Event], bytes]] = {
    "content_block_delta": ToChatStream._delta,  # noqa: SLF001 - the class's own table
    "content_block_start": ToChatStream._block_start,  # noqa: SLF001
    "content_block_stop": ToChatStream._block_stop,  # noqa: SLF001
    "error": ToChatStream._error,  # noqa: SLF001
    "message_delta": ToChatStream._finish,  # noqa: SLF001
    "message_start": ToChatStream._start,  # noqa: SLF001
    "message_stop": ToChatStream._stop,  # noqa: SLF001
}
"""Events that say something; any other (`ping`, and kinds to come) is passed over, as the API asks."""
