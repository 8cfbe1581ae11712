"""Server-sent events of the Responses API: forwarded as they come, and put together on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.output_steps import apply_output_adapters
from trimtab.core.errors import UpstreamError
from trimtab.providers.responses.answer import adapt_output, adapt_part
from trimtab.providers.responses.completion import finish_reason_of, parts_of, tool_calls_of
from trimtab.providers.responses.errors import error_of
from trimtab.providers.responses.wire import Usage, decode_event
from trimtab.providers.sse import EventSplitter, data_of, event_bytes, said_by
from trimtab.serving.generation import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trimtab.providers.responses.wire import Event

__all__ = ["ResponsesAssembler"]

_encode = msgspec.json.Encoder().encode
_DELTA = "response.output_text.delta"


class _Text(msgspec.Struct):
    """A text or refusal on its way, and the last event that had a piece of it."""

    pieces: list[str]
    refusal: bool = False
    logprobs: list[dict[str, Any]] = []
    last: bytes = b""
    released: bool = False


class ResponsesAssembler:
    """Takes the bytes of a stream, returns the bytes for the caller, and knows the whole answer at the end.

    `steps`: output adapters; with any, text is held back until it is complete and goes out as one delta before its
    end. `keep_usage` changes nothing: usage is part of every stream of the Responses API.
    """

    __slots__ = (
        "_model",
        "_refused",
        "_splitter",
        "_steps",
        "_texts",
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
        self._texts: dict[tuple[int, int], _Text] = {}
        self._refused = False
        self._tools: dict[int, dict[str, Any]] = {}
        self._model = ""
        self._usage = Usage()
        self.started = False
        """Whether the first piece of the answer itself (text, refusal or function call) has come."""
        self.ended = False
        """Whether the whole response has come: nothing follows, and callers may leave."""
        self.complete = False
        """The same: a stream that ends without was cut off."""
        self.finish_reason = ""
        self.error_code = ""

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the stream and return what goes to the caller now, possibly nothing.

        Raises `UpstreamError` (`upstream_malformed`) for what is no stream of the Responses API.
        """
        return said_by(self._splitter.feed(data), self._event, b"\n\n")

    def end(self) -> bytes:
        """Nothing is left to say: a stream without its last event is not complete."""
        return b""

    def answer(self) -> Answer:
        """Return what the stream said so far."""
        return Answer(
            "".join([self._whole(self._texts[place]) for place in sorted(self._texts)]),
            [self._tools[index] for index in sorted(self._tools)],
            "refusal" if self._refused else self.finish_reason,
            self._model,
            self._usage.input_tokens,
            self._usage.output_tokens,
            self.error_code,
        )

    def _event(self, raw: bytes) -> bytes:
        """Return what of one event goes to the caller, nothing where it is held back."""
        data = data_of(raw)
        if data is None or data == b"[DONE]":
            return raw
        event = decode_event(data)
        kind = event.type
        if kind == _DELTA:
            return self._text_delta(event, raw, data)
        note = _NOTES.get(kind)
        if note is not None:
            note(self, event)
        rewrite = _REWRITES.get(kind) if self._steps else None
        return raw if rewrite is None else rewrite(self, event, raw, data)

    # --- what is remembered -------------------------------------------------------------------------------------

    def _text_delta(self, event: Event, raw: bytes, data: bytes) -> bytes:
        delta = event.delta
        if not isinstance(delta, str):
            raise UpstreamError("upstream_malformed", "the stream holds a delta that is no text")
        place = (event.output_index, event.content_index)
        text = self._texts.get(place)
        if text is None:
            text = self._texts[place] = _Text([])
        text.pieces.append(delta)
        if delta:
            self.started = True
        if not self._steps:
            return raw
        text.last = data
        text.logprobs += event.logprobs or ()
        return b""

    def _note_text(self, event: Event) -> None:
        """Take a text that came whole."""
        if isinstance(event.text, str) and event.text:
            self._take((event.output_index, event.content_index), event.text)

    def _note_refusal(self, event: Event) -> None:
        if isinstance(event.delta, str):
            place = (event.output_index, event.content_index)
            self._texts.setdefault(place, _Text([], refusal=True)).pieces.append(event.delta)
            self.started = self._refused = True

    def _take(self, place: tuple[int, int], text: str, *, refusal: bool = False) -> None:
        """Take what came whole, where no piece of it came before."""
        if place not in self._texts:
            self._texts[place] = _Text([text], refusal=refusal)
            self._refused = self._refused or refusal
            self.started = True

    def _note_item(self, event: Event) -> None:
        item = event.item
        if item is not None and item.type == "message" and event.type == "response.output_item.done":
            for index, part in enumerate(item.content or ()):
                if part.text or part.refusal:
                    self._take((event.output_index, index), part.text or part.refusal, refusal=part.type == "refusal")
        if item is not None and item.type == "function_call":
            self.started = True
            if not isinstance(item.arguments, str | None):
                raise UpstreamError("upstream_malformed", "the stream holds a call whose arguments are no text")
            function = {"name": item.name or "", "arguments": item.arguments or ""}
            self._tools[event.output_index] = {
                "id": item.call_id or item.id or "",
                "type": "function",
                "function": function,
            }

    def _note_arguments(self, event: Event) -> None:
        call = self._tools.get(event.output_index)
        if call is not None and isinstance(event.delta, str):
            call["function"]["arguments"] += event.delta

    def _note_response(self, event: Event) -> None:
        response = event.response
        if response is None:
            raise UpstreamError("upstream_malformed", f"the stream's `{event.type}` has no response")
        self._model = response.model or self._model
        self._usage = response.usage or self._usage

    def _note_end(self, event: Event) -> None:
        self._note_response(event)
        response = event.response
        assert response is not None  # noqa: S101 - checked just before
        if not (self._texts or self._tools):
            for index, part in enumerate(parts_of(response)):
                self._take((0, index), part.text or part.refusal, refusal=part.type == "refusal")
            self._tools = dict(enumerate(tool_calls_of(response)))
        self.finish_reason = finish_reason_of(response, calls=bool(self._tools))
        self.complete = self.ended = True

    def _note_error(self, event: Event) -> None:
        if event.response is not None:
            self._note_response(event)
        self.error_code = error_of(event)[0]

    # --- what adapters change -----------------------------------------------------------------------------------

    def _whole(self, text: _Text) -> str:
        whole = "".join(text.pieces)
        return whole if text.refusal else self._adapted(whole)

    def _adapted(self, text: str) -> str:
        return apply_output_adapters(text, self._steps) if self._steps else text

    def _text_done(self, event: Event, raw: bytes, data: bytes) -> bytes:  # noqa: ARG002 - one signature for all
        done = msgspec.json.decode(data)
        done["text"] = self._adapted(str(event.text or ""))
        text = self._texts.get((event.output_index, event.content_index))
        told = event_bytes(event.type.encode(), _encode(done)).removesuffix(b"\n\n")
        if text is None or text.released or not text.last:
            return told
        text.released = True
        delta = {**msgspec.json.decode(text.last), "delta": done["text"]}
        if text.logprobs:
            delta["logprobs"] = text.logprobs
        return event_bytes(_DELTA.encode(), _encode(delta)) + told

    def _part_done(self, event: Event, raw: bytes, data: bytes) -> bytes:
        return self._changed(event, raw, data, lambda told: adapt_part(told["part"], self._steps))

    def _item_done(self, event: Event, raw: bytes, data: bytes) -> bytes:
        return self._changed(event, raw, data, lambda told: adapt_output([told["item"]], self._steps))

    def _response_done(self, event: Event, raw: bytes, data: bytes) -> bytes:
        return self._changed(event, raw, data, lambda told: adapt_output(told["response"]["output"], self._steps))

    def _changed(self, event: Event, raw: bytes, data: bytes, adapt: Callable[[dict[str, Any]], bool]) -> bytes:
        told = msgspec.json.decode(data)
        try:
            changed = adapt(told)
        except (AttributeError, KeyError, TypeError) as error:
            raise UpstreamError("upstream_malformed", f"the stream's `{event.type}` is malformed: {error}") from error
        return event_bytes(event.type.encode(), _encode(told)).removesuffix(b"\n\n") if changed else raw


_NOTES: dict[str, Callable[[ResponsesAssembler, Event], None]] = {
    "error": ResponsesAssembler._note_error,  # noqa: SLF001 - the class's own table
    "response.completed": ResponsesAssembler._note_end,  # noqa: SLF001
    "response.created": ResponsesAssembler._note_response,  # noqa: SLF001
    "response.failed": ResponsesAssembler._note_error,  # noqa: SLF001
    "response.function_call_arguments.delta": ResponsesAssembler._note_arguments,  # noqa: SLF001
    "response.incomplete": ResponsesAssembler._note_end,  # noqa: SLF001
    "response.output_item.added": ResponsesAssembler._note_item,  # noqa: SLF001
    "response.output_item.done": ResponsesAssembler._note_item,  # noqa: SLF001
    "response.output_text.done": ResponsesAssembler._note_text,  # noqa: SLF001
    "response.refusal.delta": ResponsesAssembler._note_refusal,  # noqa: SLF001
}
_REWRITES: dict[str, Callable[[ResponsesAssembler, Event, bytes, bytes], bytes]] = {
    "response.completed": ResponsesAssembler._response_done,  # noqa: SLF001
    "response.content_part.done": ResponsesAssembler._part_done,  # noqa: SLF001
    "response.incomplete": ResponsesAssembler._response_done,  # noqa: SLF001
    "response.output_item.done": ResponsesAssembler._item_done,  # noqa: SLF001
    "response.output_text.done": ResponsesAssembler._text_done,  # noqa: SLF001
}
