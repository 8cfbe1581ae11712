"""A stream of the Responses API as the stream of chat completion chunks that says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import UpstreamError
from trimtab.providers.responses.completion import chat_usage, finish_reason_of, token_logprobs
from trimtab.providers.responses.errors import error_of
from trimtab.providers.responses.wire import decode_event
from trimtab.providers.sse import EventSplitter, data_of, said_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.providers.responses.wire import Event, Part, Response

__all__ = ["ToChatStream"]

_encode = msgspec.json.Encoder().encode
_BETWEEN = b',"finish_reason":null}]}\n\n'
_WITHOUT_START = frozenset({"error", "response.created", "response.failed"})


class _Call(msgspec.Struct):
    """A function call on its way: its place among the calls, and whether any of its arguments have come."""

    index: int
    begun: bool = False


class ToChatStream:
    """Takes the bytes of a stream of the Responses API, returns those of a stream of chunks, `[DONE]` last.

    The usage chunk (that of `include_usage`) is always there. Reasoning stays behind, as in `to_chat_completion`.
    """

    __slots__ = ("_calls", "_done", "_envelope", "_head", "_said", "_splitter")

    def __init__(self) -> None:
        self._splitter = EventSplitter()
        self._head = b""
        self._envelope = b""
        self._calls: dict[int, _Call] = {}
        self._said: set[tuple[int, int]] = set()
        self._done = False

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the stream and return what it says as whole events, possibly nothing.

        Raises `UpstreamError` (`upstream_malformed`) for what is no stream of the Responses API.
        """
        return said_by(self._splitter.feed(data), self._event)

    def _event(self, raw: bytes) -> bytes:
        data = data_of(raw)
        if data is None or data == b"[DONE]" or self._done:
            return b""
        event = decode_event(data)
        handle = _HANDLERS.get(event.type)
        if handle is None:
            return b""
        if not self._head and event.type not in _WITHOUT_START:
            raise UpstreamError("upstream_malformed", f"the stream begins with `{event.type}`")
        return handle(self, event)

    def _created(self, event: Event) -> bytes:
        response = _response_of(event)
        tier = b"" if response.service_tier is None else b'"service_tier":%b,' % _encode(response.service_tier)
        self._envelope = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,%b' % (
            _encode(response.id),
            int(response.created_at),
            _encode(response.model),
            tier,
        )
        self._head = self._envelope + b'"choices":[{"index":0,"delta":'
        return self._head + b'{"role":"assistant","content":""}' + _BETWEEN

    def _text_delta(self, event: Event) -> bytes:
        self._said.add((event.output_index, event.content_index))
        return self._text(event.delta, event)

    def _text_done(self, event: Event) -> bytes:
        """Say a text that came whole."""
        return b"" if not event.text or self._told(event, event.content_index) else self._text(event.text, event)

    def _told(self, event: Event, part: int) -> bool:
        """Whether a part's text has been said; from now on it has."""
        place = (event.output_index, part)
        if place in self._said:
            return True
        self._said.add(place)
        return False

    def _text(self, text: object, said: Event | Part) -> bytes:
        logprobs = token_logprobs(said.logprobs) if said.logprobs else None
        told = b',"logprobs":{"content":%b,"refusal":null}' % _encode(logprobs) if logprobs else b""
        return b'%b{"content":%b}%b%b' % (self._head, _encode(_string(text)), told, _BETWEEN)

    def _refusal_delta(self, event: Event) -> bytes:
        self._said.add((event.output_index, event.content_index))
        return self._refusal(event.delta)

    def _refusal_done(self, event: Event) -> bytes:
        if not event.refusal or self._told(event, event.content_index):
            return b""
        return self._refusal(event.refusal)

    def _refusal(self, text: object) -> bytes:
        return b'%b{"refusal":%b}%b' % (self._head, _encode(_string(text)), _BETWEEN)

    def _part(self, part: Part) -> bytes:
        return self._refusal(part.refusal) if part.type == "refusal" else self._text(part.text, part)

    def _item_added(self, event: Event) -> bytes:
        item = event.item
        if item is None:
            raise UpstreamError("upstream_malformed", "the stream adds an item of nothing")
        if item.type != "function_call" or event.output_index in self._calls:
            return b""
        call = self._calls[event.output_index] = _Call(len(self._calls))
        head = b'%b{"tool_calls":[{"index":%d,"id":%b,"type":"function","function":{"name":%b,"arguments":""}}]}%b' % (
            self._head,
            call.index,
            _encode(item.call_id or item.id or ""),
            _encode(item.name or ""),
            _BETWEEN,
        )
        return head + (self._arguments(call, item.arguments) if item.arguments else b"")

    def _arguments_delta(self, event: Event) -> bytes:
        call = self._calls.get(event.output_index)
        if call is None:
            raise UpstreamError("upstream_malformed", "the stream holds arguments of a call that never began")
        return self._arguments(call, event.delta) if event.delta else b""

    def _arguments_done(self, event: Event) -> bytes:
        """Say arguments that came whole."""
        call = self._calls.get(event.output_index)
        return b"" if call is None or call.begun or not event.arguments else self._arguments(call, event.arguments)

    def _item_done(self, event: Event) -> bytes:
        """Say what came with no event but this."""
        item = event.item
        if item is None:
            return b""
        if item.type == "message":
            parts = [part for index, part in enumerate(item.content or ()) if not self._told(event, index)]
            return b"".join([self._part(part) for part in parts])
        if item.type != "function_call":
            return b""
        added = self._item_added(event)
        call = self._calls[event.output_index]
        return added + (b"" if call.begun or not item.arguments else self._arguments(call, item.arguments))

    def _arguments(self, call: _Call, piece: object) -> bytes:
        call.begun = True
        return b'%b{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}%b' % (
            self._head,
            call.index,
            _encode(_string(piece)),
            _BETWEEN,
        )

    def _finish(self, event: Event) -> bytes:
        response = _response_of(event)
        self._done = True
        reason = finish_reason_of(response, calls=bool(self._calls)).encode()
        usage = b""
        if response.usage is not None:
            usage = b'%b"choices":[],"usage":%b}\n\n' % (self._envelope, _encode(chat_usage(response.usage)))
        return b'%b{},"finish_reason":"%b"}]}\n\n%bdata: [DONE]\n\n' % (self._head, reason, usage)

    def _error(self, event: Event) -> bytes:
        self._done = True
        code, message = error_of(event)
        told = {"message": message, "type": "upstream_error", "param": None, "code": code}
        return b"data: %b\n\n" % _encode({"error": told})


def _response_of(event: Event) -> Response:
    if event.response is None:
        raise UpstreamError("upstream_malformed", f"the stream's `{event.type}` has no response")
    return event.response


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    raise UpstreamError("upstream_malformed", "the stream holds a delta that is no text")


_HANDLERS: dict[str, Callable[[ToChatStream, Event], bytes]] = {
    "error": ToChatStream._error,  # noqa: SLF001 - the class's own table
    "response.completed": ToChatStream._finish,  # noqa: SLF001
    "response.created": ToChatStream._created,  # noqa: SLF001
    "response.failed": ToChatStream._error,  # noqa: SLF001
    "response.function_call_arguments.delta": ToChatStream._arguments_delta,  # noqa: SLF001
    "response.function_call_arguments.done": ToChatStream._arguments_done,  # noqa: SLF001
    "response.incomplete": ToChatStream._finish,  # noqa: SLF001
    "response.output_item.added": ToChatStream._item_added,  # noqa: SLF001
    "response.output_item.done": ToChatStream._item_done,  # noqa: SLF001
    "response.output_text.delta": ToChatStream._text_delta,  # noqa: SLF001
    "response.output_text.done": ToChatStream._text_done,  # noqa: SLF001
    "response.refusal.delta": ToChatStream._refusal_delta,  # noqa: SLF001
    "response.refusal.done": ToChatStream._refusal_done,  # noqa: SLF001
}
