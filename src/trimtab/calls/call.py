"""One call of a caller: decide, render, send, answer, record, mirror."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from trimtab.calls.errors import error_body, internal_error, status_of, stream_error
from trimtab.calls.headers import FORWARDED, forwarded_headers
from trimtab.calls.reader import failure, send
from trimtab.calls.recording import AnsweredBy, RecordedCall
from trimtab.calls.recovery import Recovery
from trimtab.calls.shadow import ShadowCall
from trimtab.calls.stamp import stamp
from trimtab.core.errors import TrimtabError
from trimtab.providers.http.message import JSON_CONTENT
from trimtab.serving.generation import Answer, begin

if TYPE_CHECKING:
    from trimtab.calls.caller import Caller
    from trimtab.calls.formats import Format
    from trimtab.calls.plan import Plan, Target
    from trimtab.calls.ports import CallContext, CallerPort
    from trimtab.calls.reader import AnswerReader, Outcome
    from trimtab.providers.resilience import AttemptResult
    from trimtab.serving.decision import Decision
    from trimtab.serving.generation import GenerationRecord
    from trimtab.serving.snapshot import Price

__all__ = ["ModelCall"]

_SECONDS = 1e-9
_log = logging.getLogger("trimtab.calls")


class ModelCall(RecordedCall):
    """A call that was decided. `start`, and it runs by itself.

    The event is written before the last byte of the answer leaves: whoever has an answer finds its generation, even
    if this process is killed the moment after.
    """

    __slots__ = ("_context", "_decision", "_exchange", "_plan", "_reader", "_recovery", "_stamp", "_ticket")

    def __init__(
        self,
        context: CallContext,
        exchange: CallerPort,
        caller: Caller,
        decision: Decision,
        format: Format,  # noqa: A002 - the field's word
        record: GenerationRecord | None = None,
    ) -> None:
        """`record`: that of a call that has begun already."""
        record = record or begin(decision, clock=context.clock)
        RecordedCall.__init__(self, context.plane, record, caller, format, exchange.request.principal)
        self._context = context
        self._exchange = exchange
        self._decision = decision
        self._stamp = stamp(decision, record.id)
        self._reader: AnswerReader | None = None
        self._recovery: Recovery | None = None
        self._plan: Plan
        self._ticket = 0

    def start(self) -> None:
        """Render and send, to the release's own model where that is well."""
        try:
            self._plan = plan = self._context.plans.find(self._decision.release, self.format)
            target = plan.target
            if not target.fallback:  # else its own model cannot be called from here, which the event must say
                self._ticket = ticket = target.guard.breaker.allow(self.record.started_ns * _SECONDS)
                if ticket:
                    self.send_to(target)
                    return
        except TrimtabError as error:
            if self._ticket:
                self._plan.target.guard.breaker.released(self._ticket)
            self._answer(failure(error))
            return
        self._exchange.on_abort = self._on_abort
        self._give(self._recover().begin())

    def go_on(self, reader: AnswerReader, *, plan: Plan, ticket: int, messages: list[dict[str, Any]]) -> None:
        """Stand where `start` ends: the request was sent to the release's own model, and `reader` waits for the answer.

        `ticket`: its breaker's. `messages`: what the event says of the prompt.
        """
        self._plan, self._ticket, self._reader, self.messages = plan, ticket, reader, messages
        self._exchange.on_abort = self._on_abort
        self._listen(reader)

    def send_to(self, target: Target) -> None:
        """Send the request to one model of the release's chain; raises `InputError` where it cannot be asked this."""
        context, release, caller = self._context, self._decision.release, self.caller
        translation = target.translation
        request = translation.request(release.render(caller.variables), caller.body)
        if self._decision.capture_content:
            self.messages = translation.recorded(request)
        self._exchange.on_abort = self._on_abort
        sent = self._exchange.request.headers
        lines = b"" if FORWARDED.isdisjoint(sent) else forwarded_headers(sent)
        if caller.trace:
            lines += self.traceparent()
        self._reader = reader = send(
            target,
            request,
            self,
            sent=caller.body,
            stream=translation.stream(caller.body) if caller.stream else None,
            headers=lines,
            limit_bytes=context.config.max_answer_bytes,
        )
        self._listen(reader)

    # --- AnswerListener -----------------------------------------------------------------------------------------

    def on_begin(self, status: int, headers: bytes) -> None:
        if self._recovery is not None:
            self._recovery.answering()
            self._note_recovery(self._recovery)
        elif self._plan.target.guard.breaker.probing:
            self._plan.target.guard.breaker.succeeded(self._ticket)
        self._exchange.start(status, self._headers(headers))

    def on_first_token(self) -> None:
        self.record.first_token()

    def on_piece(self, data: bytes) -> None:
        self._exchange.write(data)

    def on_outcome(self, outcome: Outcome) -> None:
        try:
            failed = outcome.failed
            if failed is not None:
                self._failed(outcome, failed)
                return
            if self._recovery is None:
                guard = self._plan.target.guard
                guard.breaker.succeeded(self._ticket)
                guard.budget.deposit()
            else:
                self._recovery.succeeded()
            self._give(outcome)
        except Exception as error:  # noqa: BLE001 - a surface: the caller must hear something
            self._break(error)

    # --- Resender -----------------------------------------------------------------------------------------------

    def now(self) -> float:
        return self._context.clock.monotonic_ns() * _SECONDS

    def wait_is_over(self) -> None:
        try:
            self._give(self._recover().resume())
        except Exception as error:  # noqa: BLE001 - as above
            self._break(error)

    def time_is_up(self) -> None:
        error = self._recover().expire()
        if self._reader is not None:
            self._reader.give_up(error)

    # --- inner workings -----------------------------------------------------------------------------------------

    def _listen(self, reader: AnswerReader) -> None:
        """Hear of a caller that falls behind."""
        call = reader.call
        if call is not None and self.caller.stream:
            self._exchange.on_pause = call.pause
            self._exchange.on_resume = call.resume

    def _recover(self) -> Recovery:
        recovery = self._recovery
        if recovery is None:
            context = self._context
            deadline = self.record.started_ns * _SECONDS + context.config.upstream_timeout_seconds
            self._recovery = recovery = Recovery(
                self, self._plan, context.guards, deadline=deadline, ticket=self._ticket
            )
        return recovery

    def _failed(self, outcome: Outcome, failed: AttemptResult) -> None:
        """Give the caller a failure, unless another attempt is made."""
        reader, self._reader = self._reader, None
        given = self._recover().after(outcome, failed)
        if given is None:
            self.record.first_ns = 0
            return
        if given is outcome:
            self._reader = reader
        self._give(given)

    def _give(self, outcome: Outcome | None) -> None:
        """Give the caller an outcome; `None` where another attempt is under way."""
        if outcome is None:
            return
        reader = self._reader
        if reader is not None and reader.streaming and (reader.opened or outcome.error is None):
            self._end_stream(outcome, opened=reader.opened)
        else:
            self._answer(outcome)
        if self._decision.mirror is not None:
            self._mirror()

    def _answer(self, outcome: Outcome) -> None:
        if self._recovery is not None:
            self._note_recovery(self._recovery)
            self._stamp += self._recovery.last_word(outcome)
        error = outcome.error
        status = outcome.status or (status_of(error) if error else 500)
        self.write_event(outcome.answer, status)
        body = outcome.body if error is None else error_body(error, self.format)
        self._exchange.respond(status, body, self._headers(outcome.headers))

    def _end_stream(self, outcome: Outcome, *, opened: bool) -> None:
        if not opened:
            self.on_begin(outcome.status, outcome.headers)
        self.write_event(outcome.answer, outcome.status)
        if outcome.error is not None:
            self._exchange.write(stream_error(outcome.error, self.format))
        else:
            self._exchange.write(outcome.body)
        if outcome.broken:
            self._exchange.cut()
        else:
            self._exchange.end()

    def _headers(self, upstream: bytes) -> bytes:
        if b"x-request-id: " in upstream:
            return upstream + self._stamp
        return b"%b%bx-request-id: %b\r\n" % (upstream, self._stamp, self.record.id.encode())

    def _note_recovery(self, recovery: Recovery) -> None:
        """Say in the event and in the headers who answers, now that it is known."""
        target = recovery.target
        price = self._fallback_price(target.fallback) if target.fallback else self._decision.price
        self.answered_by = AnsweredBy(recovery.attempts, target.fallback, target.model, price)
        self._stamp += recovery.lines

    def _fallback_price(self, fallback: int) -> Price | None:
        table = self._context.plane.table
        prices = table.snapshot.fallback_prices.get(self._decision.release.digest, []) if table is not None else []
        return prices[fallback - 1] if fallback <= len(prices) else None

    def _on_abort(self) -> None:
        reader, recovery = self._reader, self._recovery
        if recovery is not None:
            recovery.abandon()
            if reader is None or not reader.opened:
                self._note_recovery(recovery)
        elif reader is not None:
            self._plan.target.guard.breaker.released(self._ticket)
        partial = reader.partial if reader is not None else Answer()
        if reader is not None:
            reader.cancel()
        self.write_event(partial, 0, aborted=True)

    def _break(self, error: Exception) -> None:
        _log.error("a call failed in Trimtab itself", exc_info=error, extra=self.identity())
        reader, told = self._reader, internal_error(error)
        if reader is not None and reader.opened:
            # A second answer inside the first would be read as its text, or as the next request's.
            self.write_event(Answer(error_code=told.code), 200)
            self._exchange.write(stream_error(told, self.format))
            self._exchange.cut()
            return
        self.write_event(Answer(error_code=told.code), 500)
        self._exchange.respond(500, error_body(told, self.format), self._headers(JSON_CONTENT))

    def _mirror(self) -> None:
        """Leave a copy for the candidate to the loop's next turn: by then the user's answer is with the kernel."""
        request = self._exchange.request
        shadow = ShadowCall(
            self._context,
            self._decision,
            self.caller,
            self.format,
            forwarded=forwarded_headers(request.headers),
            primary=self.record.id,
            size=len(request.body),
        )
        asyncio.get_running_loop().call_soon(self._context.mirrors.submit, shadow)
