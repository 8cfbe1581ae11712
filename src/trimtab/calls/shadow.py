"""The candidate's own answer to a request that stable has answered: recorded, seen by nobody."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from trimtab.calls.errors import status_of
from trimtab.calls.reader import failure, send
from trimtab.calls.recording import RecordedCall
from trimtab.core.errors import TrimtabError, UpstreamError
from trimtab.serving.generation import begin_mirror

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.calls.caller import Caller
    from trimtab.calls.formats import Format
    from trimtab.calls.ports import CallContext
    from trimtab.calls.reader import AnswerReader, Outcome
    from trimtab.serving.routing import Decision

__all__ = ["ShadowCall"]

_SECONDS = 1e-9
_log = logging.getLogger("trimtab.calls")


class ShadowCall:
    """A `Mirror`: the candidate's model, prompt and parameters on the caller's input.

    One request, never tried again, and none to a fallback: that would measure another model. It does not count for or
    against the model's health, nor wait for it: copies are in nobody's way.
    """

    def __init__(
        self,
        context: CallContext,
        decision: Decision,
        caller: Caller,
        format: Format,  # noqa: A002 - the field's word
        *,
        forwarded: bytes,
        primary: str,
    ) -> None:
        self._context = context
        self._decision = decision
        self._caller = caller
        self._format = format
        self._forwarded = forwarded
        self._primary = primary
        self._reader: AnswerReader | None = None
        self._recorded: RecordedCall | None = None
        self._done: Callable[[], None] | None = None

    def start(self, done: Callable[[], None]) -> None:
        """Send the copy; what the candidate cannot even be asked is recorded as its error."""
        candidate = self._decision.mirror
        assert candidate is not None  # noqa: S101 - only mirrored decisions get here
        self._done = done
        context, caller = self._context, self._caller
        record = begin_mirror(self._decision, clock=context.clock, mirrors=self._primary)
        self._recorded = recorded = RecordedCall(context.plane, record, caller, self._format, "")
        try:
            target = context.plans.find(candidate, self._format).target
            if target.fallback:
                raise UpstreamError("upstream_unavailable", "the candidate's own model cannot be called from here")
            if not target.guard.breaker.available(context.clock.monotonic_ns() * _SECONDS):
                raise UpstreamError("upstream_circuit_open", "a copy is not sent to a model that keeps failing")
            translation = target.translation
            request = translation.request(candidate.render(caller.variables), caller.body)
        except TrimtabError as error:
            self.on_outcome(failure(error))
            return
        recorded.messages = translation.recorded(request)
        self._reader = send(
            target,
            request,
            self,
            stream=translation.stream(caller.body) if caller.stream else None,
            headers=self._forwarded + (recorded.traceparent() if caller.trace else b""),
            limit_bytes=context.config.max_answer_bytes,
        )

    def cancel(self) -> None:
        """Give up; recorded as aborted."""
        if self._reader is not None and self._recorded is not None:
            partial = self._reader.partial
            self._reader.cancel()
            self._recorded.write_event(partial, 0, aborted=True)
        self._finish()

    def on_begin(self, status: int, headers: bytes) -> None:
        """Nobody waits for the stream."""

    def on_first_token(self) -> None:
        if self._recorded is not None:
            self._recorded.record.first_token()

    def on_piece(self, data: bytes) -> None:
        """Nobody waits for the stream."""

    def on_outcome(self, outcome: Outcome) -> None:
        try:
            if self._recorded is not None:
                status = outcome.status or (status_of(outcome.error) if outcome.error else 0)
                self._recorded.write_event(outcome.answer, status)
        except Exception:  # noqa: BLE001 - a surface: mirrors must not take calls down
            _log.exception("a mirrored call could not be recorded")
        self._finish()

    def _finish(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done()
