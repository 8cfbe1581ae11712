"""Reads one upstream answer, streamed or whole, into what the caller gets and what the journal records."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from trimtab.calls.errors import internal_error
from trimtab.calls.formats import StreamReader, Translation
from trimtab.calls.headers import is_event_stream, passed_headers
from trimtab.core.errors import TrimtabError, UpstreamError
from trimtab.providers.http import UpstreamCall
from trimtab.providers.http.message import JSON_CONTENT
from trimtab.providers.resilience import AttemptResult, retry_after_seconds, should_retry
from trimtab.providers.sse import StreamBrokenError
from trimtab.serving.generation import Answer

if TYPE_CHECKING:
    from trimtab.calls.plan import Target

__all__ = ["AnswerListener", "AnswerReader", "Outcome", "failure", "send"]

_FIRST_ERROR_STATUS = 400
_STATUS_CODE = re.compile("[45][0-9][0-9]")
_KEY_REFUSED = frozenset({401, 403})
_SNIPPET_BYTES = 200
_encode = msgspec.json.Encoder().encode
_log = logging.getLogger("trimtab.calls")


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How an upstream call ended."""

    status: int
    """HTTP status for the caller (of a begun stream: the status it began with); 0 where `error` decides."""
    answer: Answer
    headers: bytes
    """Header lines for the caller."""
    body: bytes
    """What the caller gets; of a stream, what it still gets. Empty where `error` says what happened."""
    error: TrimtabError | None = None
    """What the caller is told instead, in its own format."""
    broken: bool = False
    """The stream broke off after it had begun: the caller's connection must break too."""
    failed: AttemptResult | None = None
    """Where the upstream failed: what decides whether another attempt is made. `None` where it answered."""


class AnswerListener(Protocol):
    """Who waits for the answer."""

    def on_begin(self, status: int, headers: bytes) -> None:
        """A stream begins; its first piece follows at once. Until then another attempt may take its place."""
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


class AnswerReader(msgspec.Struct, eq=False):
    """The `ResponseSink` of one upstream call. `stream`: where events are expected, what reads them."""

    listener: AnswerListener | None
    translation: Translation
    sent: Mapping[str, Any]
    """What the caller asked: answers of some formats repeat it."""
    limit_bytes: int
    """Largest complete answer."""
    stream: StreamReader | None = None
    call: UpstreamCall | None = None
    streaming: bool = False
    """Whether the answer came as a stream."""
    opened: bool = False
    """Whether the listener has heard of the stream (`on_begin`)."""
    _failed: AttemptResult | None = None
    """What the head of an error says of trying again."""
    _status: int = 0
    _headers: bytes = b""
    _body: bytes = b""
    _parts: list[bytes] | None = None
    _body_bytes: int = 0
    _begun: bool = False

    @property
    def partial(self) -> Answer:
        """What has been read of the answer so far."""
        return self.stream.answer() if self.streaming and self.stream else Answer()

    def cancel(self) -> None:
        """Give up: nobody hears anything more."""
        self.listener = None
        call, self.call = self.call, None
        if call is not None:
            call.cancel()

    def give_up(self, error: UpstreamError) -> None:
        """Take no more of the answer: the listener hears of a failure."""
        if self.call is not None:
            self.call.cancel()
        self._fail(error)

    # --- ResponseSink -------------------------------------------------------------------------------------------

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status = status
        self._headers = passed_headers(headers)
        if status >= _FIRST_ERROR_STATUS:
            wait = retry_after_seconds(headers, now_epoch=time.time())
            self._failed = AttemptResult(status, "", wait, should_retry(headers))
        elif self.stream is None:
            return
        elif is_event_stream(headers):
            self.streaming = True
        else:
            self.give_up(UpstreamError("upstream_malformed", "a stream was asked for and something else was answered"))

    def on_data(self, data: bytes) -> None:
        if self.streaming:
            try:
                self._feed(data)
            except Exception as error:  # noqa: BLE001 - a surface: the caller must hear something
                self.break_off(error)
            return
        self._body_bytes += len(data)
        if self._body_bytes > self.limit_bytes:
            self.give_up(UpstreamError("upstream_malformed", f"the answer exceeds {self.limit_bytes} bytes"))
        elif not self._body:
            self._body = data
        elif self._parts is None:
            self._parts = [self._body, data]
        else:
            self._parts.append(data)

    def on_end(self) -> None:
        try:
            self._end()
        except Exception as error:  # noqa: BLE001 - as above
            self.break_off(error)

    def _end(self) -> None:
        if self.streaming:
            self._end_stream()
            return
        body = self._body if self._parts is None else b"".join(self._parts)
        if self._status >= _FIRST_ERROR_STATUS:
            self._finish(self._refused(body))
            return
        try:
            answer, body = self.translation.read(body, self.sent)
        except UpstreamError as error:
            self._fail(error)
            return
        listener, self.listener = self.listener, None  # as `_finish` does
        self.call = None
        if listener is not None:
            listener.on_outcome(Outcome(self._status, answer, self._headers, body))

    def on_failure(self, error: UpstreamError) -> None:
        self._fail(error)

    # --- inner workings -----------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        stream, listener = self.stream, self.listener
        if stream is None or listener is None:
            return
        broken: UpstreamError | None = None
        try:
            piece = stream.feed(data)
        except StreamBrokenError as error:
            piece, broken = error.said, error
        except UpstreamError as error:
            self.give_up(error)
            return
        if not self._begun and stream.started:
            self._begun = True
            listener.on_first_token()
        if stream.ended:
            # Callers leave on the last event, without waiting for the upstream's last chunk: the answer ends here.
            self._finish(self._said(stream.answer(), piece))
        elif piece:
            if not self.opened and not self._open(stream, piece):
                return
            listener.on_piece(piece)
        if broken is not None and not stream.ended:
            self.give_up(broken)

    def _open(self, stream: StreamReader, piece: bytes) -> bool:
        """Tell the listener that the stream begins, unless all it begins with is an error."""
        if not stream.started:
            answer = stream.answer()
            if answer.error_code:
                if self.call is not None:
                    self.call.cancel()
                self._finish(self._said(answer, piece))
                return False
        self.opened = True
        if self.listener is not None:
            self.listener.on_begin(self._status, self._headers)
        return True

    def _end_stream(self) -> None:
        if self.stream is None:
            return
        answer = self.stream.answer()
        if self.stream.complete or answer.error_code:
            self._finish(self._said(answer, self.stream.end()))
        else:
            self._fail(UpstreamError("upstream_truncated", "the stream ended before its answer did"))

    def _said(self, answer: Answer, piece: bytes) -> Outcome:
        """Return the outcome of a stream that said its last word, which may be an error."""
        code = answer.error_code
        if not code:
            return Outcome(self._status, answer, self._headers, piece)
        # Some providers give an HTTP status as the code of an error in a stream.
        status = int(code) if _STATUS_CODE.fullmatch(code) else 0
        failed = AttemptResult(status, code, begun=self.opened)
        return Outcome(self._status, answer, self._headers, piece, failed=failed)

    def _fail(self, error: UpstreamError) -> None:
        answer = msgspec.structs.replace(self.partial, error_code=error.code)
        failed = AttemptResult(0, error.code, begun=self.opened)
        # A caller that has heard nothing yet is told with the status of an error, not in a broken stream.
        status = self._status if self.opened else 0
        self._finish(Outcome(status, answer, JSON_CONTENT, b"", error, self.opened, failed))

    def break_off(self, error: Exception) -> None:
        """Give up an answer that our own code cannot take; not the upstream's failure, and not tried again."""
        _log.error("an answer could not be read by Trimtab itself", exc_info=error)
        if self.call is not None:
            self.call.cancel()
        told = internal_error(error)
        answer = Answer(error_code=told.code)
        self._finish(Outcome(self._status if self.opened else 0, answer, JSON_CONTENT, b"", told, self.opened))

    def _finish(self, outcome: Outcome) -> None:
        # The call knows this reader, and the listener does: both are let go of, so that nothing waits for the
        # collector of cycles.
        listener, self.listener = self.listener, None
        self.call = None
        if listener is not None:
            listener.on_outcome(outcome)

    def _refused(self, body: bytes) -> Outcome:
        """Pass on an error in a known shape; say what happened where it has another, or where it is about our key."""
        status = self._status
        failed = self._failed or AttemptResult(status)
        if status in _KEY_REFUSED:
            error = UpstreamError(
                "upstream_authentication_failed",
                f"the provider refused the gateway's own key with {status}",
                hint="check the key of this provider where the gateway is started",
            )
            return msgspec.structs.replace(failure(error), failed=failed)
        known = self.translation.error(status, body)
        if known is not None:
            failed = failed._replace(code=known[0].error_code)
            return Outcome(status, known[0], self._headers, known[1], failed=failed)
        said = body[:_SNIPPET_BYTES].decode(errors="replace")
        error = UpstreamError(f"upstream_status_{status}", f"the upstream answered {status}: {said}")
        kept = [line for line in self._headers.split(b"\r\n") if line.lower().startswith(b"retry-after")]
        headers = JSON_CONTENT + b"".join(line + b"\r\n" for line in kept)
        return msgspec.structs.replace(failure(error), status=status, headers=headers, failed=failed)


def failure(error: TrimtabError) -> Outcome:
    """Return the outcome of a call that never got an answer."""
    return Outcome(0, Answer(error_code=error.code), JSON_CONTENT, b"", error)


def send(  # noqa: PLR0913 - what a call is made of
    target: Target,
    request: dict[str, Any],
    listener: AnswerListener,
    *,
    sent: Mapping[str, Any],
    stream: StreamReader | None,
    headers: bytes,
    limit_bytes: int,
) -> AnswerReader:
    """Send a target's request; `listener` hears the answer.

    `sent`: what the caller asked. `headers`: its lines that go along.
    """
    reader = AnswerReader(listener, target.translation, sent, limit_bytes, stream)
    call = target.client.send(
        b"POST", target.translation.path, reader, headers=target.headers + headers, body=_encode(request)
    )
    if reader.listener is not None:  # else it is over already
        reader.call = call
    return reader
