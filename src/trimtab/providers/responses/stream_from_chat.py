"""A stream of chat completion chunks as the stream of the Responses API that says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.providers.responses.completion import token_logprobs
from trimtab.providers.responses.errors import stream_error
from trimtab.providers.responses.response import finished, frame, function_call, message, refusal_part, text_part
from trimtab.providers.responses.wire import ChatUsage, Chunk, decode_chunk
from trimtab.providers.sse import EventSplitter, data_of, event_bytes, said_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.providers.responses.wire import ToolCall

__all__ = ["FromChatStream"]

_encode = msgspec.json.Encoder().encode
_TEXT, _REFUSAL = "output_text", "refusal"
_NO_REQUEST: Mapping[str, Any] = {}


class _Said(msgspec.Struct):
    """A message on its way: its parts that are whole, and the one that grows."""

    item: dict[str, Any]
    index: int
    parts: list[dict[str, Any]]
    kind: str = ""
    pieces: list[str] = []
    logprobs: list[dict[str, Any]] = []
    head: bytes = b""
    """A delta's event up to its text."""


class _Called(msgspec.Struct):
    """A function call on its way."""

    item: dict[str, Any]
    index: int
    pieces: list[str]


class FromChatStream:
    """Takes the bytes of a stream of chunks, returns those of a stream of the Responses API.

    The first choice is the response. `response.completed` waits for the usage chunk or `[DONE]`, whichever comes first:
    the whole response, usage included, is in it. `request`: the caller's body, which a response repeats.
    """

    __slots__ = (
        "_begun",
        "_calls",
        "_done",
        "_finish_reason",
        "_number",
        "_output",
        "_request",
        "_said",
        "_splitter",
        "_usage",
    )

    def __init__(self, *, request: Mapping[str, Any] = _NO_REQUEST) -> None:
        self._request = request
        self._splitter = EventSplitter()
        self._begun: dict[str, Any] | None = None
        self._output: list[dict[str, Any]] = []
        self._said: _Said | None = None
        self._calls: dict[int, _Called] = {}
        self._usage: ChatUsage | None = None
        self._finish_reason: str | None = None
        self._number = 0
        self._done = False

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the stream and return what it says as whole events, possibly nothing.

        Raises `UpstreamError` (`upstream_malformed`) for what is no stream of chat completion chunks.
        """
        return said_by(self._splitter.feed(data), self._event)

    def end(self) -> bytes:
        """Return what is left to say where the upstream gave its finish reason and closed without `[DONE]`."""
        return b"" if self._done or self._finish_reason is None else self._complete()

    def _event(self, event: bytes) -> bytes:
        data = event[6:] if event.startswith(b"data: ") and b"\n" not in event else data_of(event)
        if data is None or self._done:
            return b""
        if data == b"[DONE]":
            return self._complete()
        chunk = decode_chunk(data)
        if chunk.error is not None:
            return self._error(chunk.error)
        if chunk.usage is not None:
            self._usage = chunk.usage
            if not chunk.choices and self._finish_reason is not None:
                return self._complete()
        return b"".join([self._choice(choice, chunk) for choice in chunk.choices if choice.index == 0])

    def _choice(self, choice: Any, chunk: Chunk) -> bytes:  # noqa: ANN401 - the struct is `wire`'s own
        said = b"" if self._begun is not None else self._start(chunk)
        delta = choice.delta
        if delta is not None:
            if delta.content:
                logprobs = choice.logprobs.content if choice.logprobs is not None else None
                said += self._say(_TEXT, delta.text, logprobs)
            if delta.refusal:
                said += self._say(_REFUSAL, delta.refusal, None)
            for part in delta.tool_calls or ():
                said += self._call(part)
        if choice.finish_reason:
            self._finish_reason = choice.finish_reason
            said += self._close()
        return said

    def _start(self, chunk: Chunk) -> bytes:
        self._begun = frame(chunk.id, chunk.created, chunk.model, self._request)
        if chunk.service_tier is not None:
            self._begun["service_tier"] = chunk.service_tier
        return self._tell("response.created", {"response": self._begun}) + self._tell(
            "response.in_progress", {"response": self._begun}
        )

    # --- text and refusals --------------------------------------------------------------------------------------

    def _say(self, kind: str, text: str, logprobs: list[dict[str, Any]] | None) -> bytes:
        told = b""
        said = self._said
        if said is None:
            index = len(self._output)
            item = message(f"msg_{self._response_id}_{index}", [], status="in_progress")
            said = self._said = _Said(item, index, [])
            told = self._add(item)
        if said.kind != kind:
            told += self._close_part(said) + self._open_part(said, kind)
        said.pieces.append(text)
        tail = b""
        if kind == _TEXT:
            tokens = token_logprobs(logprobs) if logprobs else []
            said.logprobs += tokens
            tail = b',"logprobs":%b' % _encode(tokens) if tokens else b',"logprobs":[]'
        self._number += 1
        return b'%b%b%b%b,"sequence_number":%d}\n\n' % (told, said.head, _encode(text), tail, self._number - 1)

    def _open_part(self, said: _Said, kind: str) -> bytes:
        said.kind, said.pieces, said.logprobs = kind, [], []
        name = f"response.{kind}.delta".encode()
        said.head = b'event: %b\ndata: {"type":"%b","item_id":%b,"output_index":%d,"content_index":%d,"delta":' % (
            name,
            name,
            _encode(said.item["id"]),
            said.index,
            len(said.parts),
        )
        part = text_part("", []) if kind == _TEXT else refusal_part("")
        return self._tell("response.content_part.added", {**self._place(said), "part": part})

    def _close_part(self, said: _Said) -> bytes:
        if not said.kind:
            return b""
        place = self._place(said)
        text = "".join(said.pieces)
        if said.kind == _TEXT:
            part = text_part(text, said.logprobs)
            told = self._tell("response.output_text.done", {**place, "text": text, "logprobs": said.logprobs})
        else:
            part = refusal_part(text)
            told = self._tell("response.refusal.done", {**place, "refusal": text})
        told += self._tell("response.content_part.done", {**place, "part": part})
        said.parts.append(part)
        said.kind = ""
        return told

    def _place(self, said: _Said) -> dict[str, Any]:
        return {"item_id": said.item["id"], "output_index": said.index, "content_index": len(said.parts)}

    # --- function calls -----------------------------------------------------------------------------------------

    def _call(self, part: ToolCall) -> bytes:
        told = b""
        name = part.function.name if part.function is not None else None
        arguments = part.function.arguments if part.function is not None else None
        call = self._calls.get(part.index)
        if call is None:
            told = self._close_message()
            item = function_call(part.id or f"call_{part.index}", name or "", "", status="in_progress")
            call = self._calls[part.index] = _Called(item, len(self._output), [])
            told += self._add(item)
        if not arguments:
            return told
        call.pieces.append(arguments)
        return told + self._tell(
            "response.function_call_arguments.delta",
            {"item_id": call.item["id"], "output_index": call.index, "delta": arguments},
        )

    def _close_call(self, call: _Called, status: str) -> bytes:
        arguments = "".join(call.pieces)
        item = self._output[call.index] = {**call.item, "status": status, "arguments": arguments}
        place = {"item_id": item["id"], "output_index": call.index}
        name = call.item["name"]
        told = self._tell("response.function_call_arguments.done", {**place, "name": name, "arguments": arguments})
        return told + self._tell("response.output_item.done", {"output_index": call.index, "item": item})

    # --- the frame ----------------------------------------------------------------------------------------------

    @property
    def _response_id(self) -> str:
        return self._begun["id"] if self._begun is not None else ""

    @property
    def _last_status(self) -> str:
        return "incomplete" if self._finish_reason in ("content_filter", "length") else "completed"

    def _add(self, item: dict[str, Any]) -> bytes:
        self._output.append(item)
        return self._tell("response.output_item.added", {"output_index": len(self._output) - 1, "item": item})

    def _close_message(self, status: str = "completed") -> bytes:
        said = self._said
        if said is None:
            return b""
        self._said = None
        told = self._close_part(said)
        item = self._output[said.index] = {**said.item, "status": status, "content": said.parts}
        return told + self._tell("response.output_item.done", {"output_index": said.index, "item": item})

    def _close(self) -> bytes:
        """End what is open; what a response that is cut short was at last is incomplete."""
        status = self._last_status
        told = self._close_message(status)
        for call in self._calls.values():
            told += self._close_call(call, status if call.index == len(self._output) - 1 else "completed")
        self._calls.clear()
        return told

    def _complete(self) -> bytes:
        told = b"" if self._begun is not None else self._start(Chunk())
        told += self._close()
        if not self._output:
            told += self._say(_TEXT, "", None) + self._close_message(self._last_status)
        self._done = True
        response = finished(self._begun or {}, self._output, self._finish_reason, self._usage)
        return told + self._tell(f"response.{response['status']}", {"response": response})

    def _error(self, error: Any) -> bytes:  # noqa: ANN401 - whatever the provider sent
        self._done = True
        told = error if isinstance(error, dict) else {"message": str(error)}
        return stream_error(
            kind="upstream_error",
            message=str(told.get("message") or "the upstream's stream failed"),
            param=None,
            code=str(told.get("code") or told.get("type") or "upstream_stream_error"),
            sequence_number=self._number,
        )

    def _tell(self, name: str, fields: dict[str, Any]) -> bytes:
        event = {"type": name, **fields, "sequence_number": self._number}
        self._number += 1
        return event_bytes(name.encode(), _encode(event))
