"""Reads one upstream answer, streamed or whole, into what the caller gets and what the journal records."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from trimtab.core.errors import TrimtabError, UpstreamError
from trimtab.gateway.errors import error_body, status_of
from trimtab.gateway.passthrough import is_event_stream, passed_headers
from trimtab.providers.http.message import JSON_CONTENT
from trimtab.providers.openai import (
    Answer,
    StreamAssembler,
    adapt_completion,
    answer_of_error,
    read_completion,
    read_embeddings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.providers.http import UpstreamCall

__all__ = ["AnswerListener", "AnswerReader", "Outcome", "failure"]

_FIRST_ERROR_STATUS = 400
_KEY_REFUSED = frozenset({401, 403})
_SNIPPET_BYTES = 200


class Outcome(NamedTuple):
    """How an upstream call ended."""

    status: int
    """HTTP status for the caller (of a begun stream: the status it began with)."""
    answer: Answer
    headers: bytes
    """Header lines for the caller."""
    body: bytes
    """What the caller gets; of a stream, what it still gets."""
    broken: bool = False
    """The stream broke off after it had begun: the caller's connection must break too."""


class AnswerListener(Protocol):
    """Who waits for the answer."""

    def on_begin(self, status: int, headers: bytes) -> None:
        """A stream begins."""
        ...

    def on_first_token(self) -> None:
        """The first piece of a streamed answer itself (text, refusal, tool call) has come."""
        ...

    def on_piece(self, data: bytes) -> None:
        """The stream goes on."""
        ...

    def on_outcome(self, outcome: Outcome) -> None:
        """All is known; called exactly once, last."""
        ...


class AnswerReader:
    """The `ResponseSink` of every call the gateway makes.

    `stream`: whether events are expected. `steps`: the release's output adapters. `embeddings`: whether the answer is
    one. `keep_usage`: whether the caller asked for a stream's usage chunk.
    """

    __slots__ = (
        "_assembler",
        "_begun",
        "_body_bytes",
        "_embeddings",
        "_headers",
        "_limit",
        "_listener",
        "_over",
        "_parts",
        "_status",
        "_steps",
        "_stream",
        "_streaming",
        "call",
    )

    def __init__(
        self,
        listener: AnswerListener,
        *,
        limit_bytes: int,
        stream: bool = False,
        keep_usage: bool = False,
        steps: Sequence[str] = (),
        embeddings: bool = False,
    ) -> None:
        self._listener = listener
        self._limit = limit_bytes
        self._stream = stream
        self._steps = steps
        self._embeddings = embeddings
        self._assembler = StreamAssembler(keep_usage=keep_usage, steps=steps) if stream else None
        self._parts: list[bytes] = []
        self._body_bytes = 0
        self._status = 0
        self._headers = b""
        self._streaming = False
        self._begun = False
        self._over = False
        self.call: UpstreamCall | None = None

    @property
    def streaming(self) -> bool:
        """Whether the answer came as a stream."""
        return self._streaming

    @property
    def partial(self) -> Answer:
        """What has been read of the answer so far."""
        return self._assembler.answer() if self._streaming and self._assembler else Answer()

    # --- ResponseSink -------------------------------------------------------------------------------------------

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status = status
        self._headers = passed_headers(headers)
        if not self._stream or status >= _FIRST_ERROR_STATUS:
            return
        if is_event_stream(headers):
            self._streaming = True
            self._listener.on_begin(status, self._headers)
        else:
            self._give_up(UpstreamError("upstream_malformed", "a stream was asked for and something else was answered"))

    def on_data(self, data: bytes) -> None:
        if self._over:
            return
        if self._streaming and self._assembler is not None:
            self._feed(self._assembler, data)
            return
        self._body_bytes += len(data)
        if self._body_bytes > self._limit:
            self._give_up(UpstreamError("upstream_malformed", f"the answer exceeds {self._limit} bytes"))
        else:
            self._parts.append(data)

    def on_end(self) -> None:
        if self._over:
            return
        if self._streaming:
            self._end_stream()
            return
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        if self._status >= _FIRST_ERROR_STATUS:
            self._finish(_error_outcome(self._status, body, self._headers))
            return
        try:
            if self._embeddings:
                answer = read_embeddings(body)
            else:
                body = adapt_completion(body, self._steps) if self._steps else body
                answer = read_completion(body)
        except UpstreamError as error:
            self._finish(failure(error))
            return
        self._finish(Outcome(self._status, answer, self._headers, body))

    def on_failure(self, error: UpstreamError) -> None:
        if not self._over:
            self._fail(error)

    # --- inner workings -----------------------------------------------------------------------------------------

    def _feed(self, assembler: StreamAssembler, data: bytes) -> None:
        try:
            piece = assembler.feed(data)
        except UpstreamError as error:
            self._give_up(error)
            return
        if assembler.started and not self._begun:
            self._begun = True
            self._listener.on_first_token()
        if assembler.ended:
            # Callers leave on `[DONE]`, without waiting for the upstream's last chunk: the answer ends here.
            self._finish(Outcome(self._status, assembler.answer(), self._headers, piece))
        elif piece:
            self._listener.on_piece(piece)

    def _end_stream(self) -> None:
        answer = self.partial
        assert self._assembler is not None  # noqa: S101 - a stream has one
        if self._assembler.complete or answer.error_code:
            self._finish(Outcome(self._status, answer, self._headers, b""))
        else:
            self._fail(UpstreamError("upstream_truncated", "the stream ended before its answer did"))

    def _give_up(self, error: UpstreamError) -> None:
        if self.call is not None:
            self.call.cancel()
        self._fail(error)

    def _fail(self, error: UpstreamError) -> None:
        outcome = failure(error)
        if self._streaming and self._assembler is not None:
            partial = self._assembler.answer()
            outcome = outcome._replace(
                answer=msgspec.structs.replace(partial, error_code=error.code),
                body=b"data: " + error_body(error) + b"\n\n",
                broken=True,
            )
        self._finish(outcome)

    def _finish(self, outcome: Outcome) -> None:
        self._over = True
        self._listener.on_outcome(outcome)


def failure(error: TrimtabError) -> Outcome:
    """Return the outcome of a call that never got an answer."""
    return Outcome(status_of(error), Answer(error_code=error.code), JSON_CONTENT, error_body(error))


def _error_outcome(status: int, body: bytes, headers: bytes) -> Outcome:
    """Pass on an error in OpenAI's shape; say what happened where it has another, or where it is about our key."""
    if status in _KEY_REFUSED:
        error = UpstreamError(
            "upstream_authentication_failed",
            f"the provider refused the gateway's own key with {status}",
            hint="check the key of this provider where the gateway is started",
        )
        return failure(error)
    answer = answer_of_error(status, body)
    if answer is not None:
        return Outcome(status, answer, headers, body)
    said = body[:_SNIPPET_BYTES].decode(errors="replace")
    error = UpstreamError(f"upstream_status_{status}", f"the upstream answered {status}: {said}")
    kept = b"".join(line + b"\r\n" for line in headers.split(b"\r\n") if line.lower().startswith(b"retry-after"))
    return failure(error)._replace(status=status, headers=JSON_CONTENT + kept)
