"""Server-sent events of a chat completion: forwarded as they come, and put together on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.output_steps import apply_output_adapters
from trimtab.core.errors import UpstreamError
from trimtab.providers.openai.answer import UNREADABLE, Answer
from trimtab.providers.openai.completion import Usage
from trimtab.providers.openai.delta_form import DeltaForm
from trimtab.providers.sse import EventSplitter, StreamBrokenError, data_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["StreamAssembler"]


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    function_call: dict[str, Any] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    model: str = ""
    usage: Usage | None = None
    error: Any = None


_EMPTY_LINE = b"\n\n"
_decoder = msgspec.json.Decoder(_Chunk)


class StreamAssembler:
    """Takes the bytes of a stream, returns the bytes for the caller, and knows the whole answer at the end.

    `keep_usage`: whether the caller asked for the usage chunk (it is dropped otherwise). `steps`: output adapters; with
    any, text is held back until a choice is complete and goes out as one chunk before its finish reason.
    """

    __slots__ = (
        "_adapted",
        "_form",
        "_held",
        "_keep_usage",
        "_model",
        "_refused",
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

    def __init__(self, *, keep_usage: bool, steps: Sequence[str] = ()) -> None:
        self._keep_usage = keep_usage
        self._steps = steps
        self._splitter = EventSplitter()
        self._form = DeltaForm()
        self._text: list[str] = []
        self._held: dict[int, list[str]] = {}
        self._adapted = ""
        self._tools: dict[int, dict[str, Any]] = {}
        self._model = ""
        self._refused = False
        self._usage = Usage()
        self.started = False
        """Whether the first piece of the answer itself (text, refusal or tool call) has come."""
        self.ended = False
        """Whether `[DONE]` has come: nothing follows, and callers may leave."""
        self.complete = False
        """Whether `[DONE]` or a finish reason has come: a stream that ends without either was cut off."""
        self.finish_reason = ""
        self.error_code = ""

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the stream and return what goes to the caller now, possibly nothing.

        Raises `UpstreamError` (`upstream_malformed`) for what is no stream of chat completion chunks.
        """
        block, run = self._splitter.block(data), self._form.run
        forwarded: list[bytes] = []
        while block:
            try:
                length, text = run(block)
            except UnicodeDecodeError as error:
                raise StreamBrokenError(_malformed(error), b"".join(forwarded)) from error
            if length:
                self._text.append(text)
                forwarded.append(block[:length])
                block = block[length:]
                continue
            event, _, block = block.partition(_EMPTY_LINE)
            try:
                forward = self._event(event)
            except UpstreamError as error:
                raise StreamBrokenError(error, b"".join(forwarded)) from error
            if forward:
                forwarded.append(forward + _EMPTY_LINE)
        return b"".join(forwarded)

    def end(self) -> bytes:
        """Nothing is left to say where an upstream closes after its finish reason."""
        return b""

    def answer(self) -> Answer:
        """Return what the stream said so far."""
        text = "".join(self._text)
        return Answer(
            output=apply_output_adapters(text, self._steps) if self._steps and not self._refused else text,
            tool_calls=[self._tools[index] for index in sorted(self._tools)],
            finish_reason="refusal" if self._refused else self.finish_reason,
            served_model=self._model,
            input_tokens=self._usage.prompt_tokens,
            output_tokens=self._usage.completion_tokens,
            error_code=self.error_code,
        )

    def _event(self, event: bytes) -> bytes | None:
        """Return what of one event goes to the caller, `None` for nothing."""
        data = event[6:] if event.startswith(b"data: ") and b"\n" not in event else data_of(event)
        if data is None:
            return event  # a comment: keep-alive of the provider
        if data == b"[DONE]":
            self.complete = self.ended = True
            return event
        try:
            chunk = _decoder.decode(data)
        except UNREADABLE as error:
            raise _malformed(error) from error
        if chunk.error is not None:
            self.error_code = _error_code(chunk.error)
            return event
        if chunk.model:
            self._model = chunk.model
        if chunk.usage is not None:
            self._usage = chunk.usage
            if not chunk.choices and not self._keep_usage:
                return None
        for choice in chunk.choices:
            self._take(choice)
        return self._adapt(event, data) if self._steps else self._learn(event, chunk)

    def _learn(self, event: bytes, chunk: _Chunk) -> bytes:
        """Know the next events of this form at a glance; returns the event."""
        text = _text_alone(chunk)
        if text:
            self._form.learn(event, text, _text_in)
        return event

    def _take(self, choice: _Choice) -> None:
        delta = choice.delta
        if delta.content or delta.refusal or delta.tool_calls or delta.function_call:
            self.started = True
        if choice.finish_reason:
            self.complete = True
        if choice.index:
            return  # the first choice is the one recorded
        if delta.content:
            self._text.append(delta.content)
        if delta.refusal:
            self._refused = True
            self._text.append(delta.refusal)
        for part in delta.tool_calls or ():
            _merge_tool(self._tools.setdefault(part.get("index", 0), {}), part)
        if delta.function_call:
            _merge_tool(self._tools.setdefault(0, {"type": "function"}), {"function": delta.function_call})
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason

    def _adapt(self, event: bytes, data: bytes) -> bytes | None:
        """Hold text back; let it out, adapted, in front of its choice's finish reason."""
        chunk: dict[str, Any] = msgspec.json.decode(data)
        released: list[dict[str, Any]] = []
        touched = False
        for choice in chunk.get("choices") or ():
            index = choice.get("index", 0)
            delta = choice.get("delta") or {}
            if delta.get("content"):
                self._held.setdefault(index, []).append(delta["content"])
                delta["content"] = ""
                touched = True
            if choice.get("finish_reason") and index in self._held:
                text = apply_output_adapters("".join(self._held.pop(index)), self._steps)
                released.append({"index": index, "delta": {"content": text}, "finish_reason": None})
        if not touched and not released:
            return event
        parts = [b"data: " + msgspec.json.encode({**chunk, "choices": released})] if released else []
        if _says_something(chunk):
            parts.append(b"data: " + msgspec.json.encode(chunk))
        return b"\n\n".join(parts) or None


def _malformed(error: Exception) -> UpstreamError:
    return UpstreamError("upstream_malformed", f"the stream holds what is no chunk: {error}")


def _text_alone(chunk: _Chunk) -> str:
    """Return the text of a chunk that brings nothing else; empty where it does."""
    if len(chunk.choices) != 1 or chunk.usage is not None:
        return ""
    [choice] = chunk.choices
    delta = choice.delta
    text = delta.content or ""
    return text if choice == _Choice(delta=_Delta(content=text)) else ""


def _text_in(event: bytes) -> str:
    chunk = _decoder.decode(event.removeprefix(b"data: "))
    return _text_alone(chunk)


def _error_code(error: Any) -> str:  # noqa: ANN401 - whatever the provider sent
    code = error.get("code") or error.get("type") if isinstance(error, dict) else None
    return str(code or "upstream_stream_error")


def _says_something(chunk: dict[str, Any]) -> bool:
    """Return whether a chunk still carries more than emptied text."""
    if chunk.get("usage"):
        return True
    for choice in chunk["choices"]:
        delta = {name: value for name, value in (choice.get("delta") or {}).items() if value not in ("", None)}
        if delta or choice.get("finish_reason"):
            return True
    return False


def _merge_tool(call: dict[str, Any], part: dict[str, Any]) -> None:
    """Add a tool call's piece: arguments grow, everything else is said once."""
    for name, value in part.items():
        if name == "function" and isinstance(value, dict):
            function = call.setdefault("function", {})
            for key, piece in value.items():
                function[key] = function.get(key, "") + (piece or "") if key == "arguments" else piece
        elif name != "index" and value is not None:
            call[name] = value
