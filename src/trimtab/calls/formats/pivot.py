"""Calls whose caller and upstream speak different formats: chat completions are what both are translated from and to.

    request   caller's body -> chat -> merged with the release -> upstream's
    answer    upstream's -> chat (facts are read and output adapters applied here) -> caller's

Strict both ways: what a format has no place for is an error that names it, in the words of the caller.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from trimtab.calls.formats.native import ChatTranslation
from trimtab.calls.formats.translation import NOTHING_SENT
from trimtab.core.errors import InputError
from trimtab.providers import anthropic, responses
from trimtab.providers.openai import StreamAssembler, answer_of_error, error_message
from trimtab.providers.sse import StreamBrokenError
from trimtab.serving.generation import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trimtab.calls.formats.translation import Format, StreamReader
    from trimtab.releases.model import CompiledRelease

__all__ = ["DIALECTS", "PivotTranslation"]

_MESSAGE = re.compile(r"messages\[(\d+)\](.*)")


class _Pipe(Protocol):
    """Events of one format in, those of another out."""

    def feed(self, data: bytes) -> bytes: ...


class _OutwardPipe(_Pipe, Protocol):
    def end(self) -> bytes: ...


class _Dialect(NamedTuple):
    """A format as seen from chat completions."""

    path: bytes
    to_chat_request: Callable[[dict[str, Any]], dict[str, Any]]
    in_words: Callable[[InputError, dict[str, Any]], InputError]
    from_chat_request: Callable[[dict[str, Any]], dict[str, Any]]
    recorded: Callable[[dict[str, Any]], list[Any]]
    to_chat_completion: Callable[[bytes], bytes]
    from_chat_completion: Callable[[bytes, Mapping[str, Any]], bytes]
    """A chat completion, and what of the request an answer repeats."""
    to_chat_stream: Callable[[], _Pipe]
    from_chat_stream: Callable[[Mapping[str, Any]], _OutwardPipe]
    read_error: Callable[[bytes, int], tuple[str, str] | None]
    error_body: Callable[..., bytes]


def _completion_of_message(body: bytes) -> bytes:
    return anthropic.to_chat_completion(body, created=int(time.time()))  # messages do not say when


def _chunks_of_messages() -> anthropic.ToChatStream:
    return anthropic.ToChatStream(created=int(time.time()))


def _message_of_completion(body: bytes, _repeated: Mapping[str, Any]) -> bytes:
    return anthropic.from_chat_completion(body)


def _messages_of_chunks(_repeated: Mapping[str, Any]) -> anthropic.FromChatStream:
    return anthropic.FromChatStream()


_MESSAGES = _Dialect(
    b"/messages",
    anthropic.to_chat_request,
    anthropic.in_messages_words,
    anthropic.from_chat_request,
    anthropic.recorded_messages,
    _completion_of_message,
    _message_of_completion,
    _chunks_of_messages,
    _messages_of_chunks,
    anthropic.read_error,
    anthropic.error_body,
)


def _read_openai_error(body: bytes, status: int) -> tuple[str, str] | None:
    answer = answer_of_error(status, body)
    return None if answer is None else (answer.error_code, error_message(body))


def _openai_error_body(*, kind: str, message: str, param: str | None, code: str, status: int) -> bytes:  # noqa: ARG001 - the dialects'
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def _response_of_completion(body: bytes, repeated: Mapping[str, Any]) -> bytes:
    return responses.from_chat_completion(body, request=repeated)


def _response_of_chunks(repeated: Mapping[str, Any]) -> responses.FromChatStream:
    return responses.FromChatStream(request=repeated)


_RESPONSES = _Dialect(
    b"/responses",
    responses.to_chat_request,
    responses.in_responses_words,
    responses.from_chat_request,
    responses.recorded_messages,
    responses.to_chat_completion,
    _response_of_completion,
    responses.ToChatStream,
    _response_of_chunks,
    _read_openai_error,
    _openai_error_body,
)
_CALLERS: Mapping[str, _Dialect] = {"messages": _MESSAGES, "responses": _RESPONSES}
DIALECTS: Mapping[str, _Dialect | None] = {
    "openai-chat": None,
    "openai-responses": _RESPONSES,
    "anthropic-messages": _MESSAGES,
}
"""By the name in a release's wire; `None` for the pivot itself."""


class PivotTranslation:
    """From one format to another, through chat completions."""

    def __init__(self, release: CompiledRelease, *, caller: Format, wire: str) -> None:
        self._chat = ChatTranslation(release)
        self._parameters = release.model.parameters
        self._has_schema = release.schema is not None
        self._steps: Sequence[str] = release.adapter.output if release.adapter else ()
        self._caller = _CALLERS.get(caller)
        self._upstream = DIALECTS[wire]
        self._echo = responses.RequestEcho(release) if caller == "responses" else None
        self.path = self._chat.path if self._upstream is None else self._upstream.path

    def request(self, prompt: Sequence[dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
        caller, upstream = self._caller, self._upstream
        if caller is None:
            merged = self._chat.request(prompt, body)
            return merged if upstream is None else self._sent(upstream, merged, body, first=len(prompt))
        if caller is _MESSAGES:
            body = anthropic.without_met_ceiling(body, self._parameters)
        chat = caller.to_chat_request(body)
        try:
            merged = self._chat.request(prompt, chat)
            return merged if upstream is None else self._sent(upstream, merged, chat, first=len(prompt))
        except InputError as error:
            raise caller.in_words(error, body) from error

    def recorded(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return self._chat.recorded(request) if self._upstream is None else self._upstream.recorded(request)

    def read(self, body: bytes, sent: Mapping[str, Any] = NOTHING_SENT) -> tuple[Answer, bytes]:
        if self._upstream is not None:
            body = self._upstream.to_chat_completion(body)
        answer, body = self._chat.read(body)
        if self._caller is None:
            return answer, body
        return answer, self._caller.from_chat_completion(body, self._repeated(sent))

    def stream(self, body: dict[str, Any]) -> StreamReader:
        # A caller of another format gets its usage within its last events, so the chunk that has it must come by.
        reader = (
            self._chat.stream(body) if self._caller is None else StreamAssembler(keep_usage=True, steps=self._steps)
        )
        inward = self._upstream.to_chat_stream() if self._upstream else None
        outward = self._caller.from_chat_stream(self._repeated(body)) if self._caller else None
        return _PipedStream(inward, reader, outward)

    def error(self, status: int, body: bytes) -> tuple[Answer, bytes] | None:
        read = _read_openai_error if self._upstream is None else self._upstream.read_error
        code, message = read(body, status) or ("", "")
        if not code:
            return None
        tell = _openai_error_body if self._caller is None else self._caller.error_body
        told = tell(kind="upstream_error", message=message, param=None, code=code, status=status)
        return Answer(error_code=code), told

    def _repeated(self, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        return NOTHING_SENT if self._echo is None else self._echo.of(sent)

    def _sent(self, upstream: _Dialect, merged: dict[str, Any], sent: dict[str, Any], *, first: int) -> dict[str, Any]:
        """Return the upstream's request. `first`: the message with which those of the caller begin."""
        try:
            return upstream.from_chat_request(merged)
        except InputError as error:
            param = error.param or ""
            told = self._place(param, sent, first)
            if told == param:
                raise
            message = error.message.replace(f"`{param}`", f"`{told}`")
            raise InputError(error.code, message, param=told, hint=error.hint) from error

    def _place(self, param: str, sent: dict[str, Any], first: int) -> str:
        """Return where what an error names in the merged request came from: the caller's, or the release's own."""
        message = _MESSAGE.fullmatch(param)
        if message is not None:
            index = int(message[1]) - first
            return f"messages[{index}]{message[2]}" if index >= 0 else f"prompt.{param}"
        field = param.partition(".")[0].partition("[")[0]
        if field in sent:
            return param
        if field in self._parameters:
            return f"model.parameters.{param}"
        return param.replace("response_format.json_schema", "schema") if self._has_schema else param


class _PipedStream:
    """A chat stream between two translations; either may be missing."""

    __slots__ = ("_inward", "_outward", "_reader")

    def __init__(self, inward: _Pipe | None, reader: StreamReader, outward: _OutwardPipe | None) -> None:
        self._inward = inward
        self._reader = reader
        self._outward = outward

    @property
    def started(self) -> bool:
        return self._reader.started

    @property
    def ended(self) -> bool:
        return self._reader.ended

    @property
    def complete(self) -> bool:
        return self._reader.complete

    def feed(self, data: bytes) -> bytes:
        broken: StreamBrokenError | None = None
        for pipe in (self._inward, self._reader, self._outward):
            if pipe is None or not data:
                continue
            try:
                data = pipe.feed(data)
            except StreamBrokenError as error:
                data, broken = error.said, broken or error
        if broken is not None:
            raise StreamBrokenError(broken, data)
        return data

    def end(self) -> bytes:
        """Return what the caller's format says last, where the upstream closed without its own last word."""
        return self._outward.end() if self._outward is not None else b""

    def answer(self) -> Answer:
        return self._reader.answer()
