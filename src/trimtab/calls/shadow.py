"""The candidate's own answer to a request that stable has answered: recorded, seen by nobody."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.calls.errors import status_of
from trimtab.calls.reader import failure, send
from trimtab.calls.recording import RecordedCall
from trimtab.core.errors import TrimtabError, UpstreamError
from trimtab.providers.mirrorable import harmless, obstacle
from trimtab.serving.generation import Answer, begin_mirror

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.calls.caller import Caller
    from trimtab.calls.formats import Format
    from trimtab.calls.plan import Target
    from trimtab.calls.ports import CallContext
    from trimtab.calls.reader import AnswerReader, Outcome
    from trimtab.serving.decision import Decision
    from trimtab.serving.shadow_budget import ShadowTicket

__all__ = ["ShadowCall"]

_SECONDS = 1e-9
_RESPONSES = b"/responses"
_log = logging.getLogger("trimtab.calls")


class ShadowCall:
    """A `Mirror`: the candidate's model, prompt and parameters on the caller's input.

    One request, never tried again, and none to a fallback: that would measure another model. It does not count for or
    against the model's health, nor wait for it: copies are in nobody's way. What may not or cannot be sent is recorded
    too, as aborted, with the reason as its error code: nothing is missing without a word.
    """

    def __init__(  # noqa: PLR0913 - what a copy is made of
        self,
        context: CallContext,
        decision: Decision,
        caller: Caller,
        format: Format,  # noqa: A002 - the field's word
        *,
        forwarded: bytes,
        primary: str,
        size: int,
    ) -> None:
        self._context = context
        self._decision = decision
        self._caller = caller
        self._format = format
        self._forwarded = forwarded
        self._primary = primary
        self.size = size
        self._reader: AnswerReader | None = None
        self._recorded: RecordedCall | None = None
        self._done: Callable[[], None] | None = None

    def start(self, done: Callable[[], None]) -> None:
        """Send the copy; what the candidate cannot even be asked is recorded as its error."""
        self._done = done
        context = self._context
        recorded = self._record()
        ticket = self._ticket()
        if isinstance(ticket, str):
            self._give_up(ticket)
            return
        recorded.budget = ticket
        try:
            target, request = self._request()
        except TrimtabError as error:
            self.on_outcome(failure(error))
            return
        recorded.messages = target.translation.recorded(request)
        blocked = obstacle(request, self._hosted_tools())
        if blocked:
            self._give_up(blocked)
            return
        caller = self._caller
        self._reader = send(
            target,
            harmless(request, stores_by_default=target.translation.path == _RESPONSES),
            self,
            sent=caller.body,
            stream=target.translation.stream(caller.body) if caller.stream else None,
            headers=self._forwarded + (recorded.traceparent() if caller.trace else b""),
            limit_bytes=context.config.max_answer_bytes,
        )

    def cancel(self) -> None:
        """Give up; recorded as abandoned."""
        partial = Answer()
        if self._reader is not None:
            partial = self._reader.partial
            self._reader.cancel()
        self._give_up("mirror_abandoned", partial)

    def drop(self, code: str) -> None:
        """Record that it was never sent."""
        self._record()
        self._give_up(code)

    def _record(self) -> RecordedCall:
        context = self._context
        record = begin_mirror(self._decision, clock=context.clock, mirrors=self._primary)
        self._recorded = recorded = RecordedCall(context.plane, record, self._caller, self._format, "")
        return recorded

    def _ticket(self) -> ShadowTicket | str | None:
        """Return the right to spend on this copy; an error code where there is none to be had."""
        decision = self._decision
        route = decision.served.route if decision.served is not None else None
        if route is None:
            return None
        return self._context.shadow_budgets.admit(route, decision.mirror_price, self._context.clock.now_ms())

    def _request(self) -> tuple[Target, dict[str, Any]]:
        candidate = self._decision.mirror
        assert candidate is not None  # noqa: S101 - only mirrored decisions get here
        context, caller = self._context, self._caller
        target = context.plans.find(candidate, self._format).target
        if target.fallback:
            raise UpstreamError("upstream_unavailable", "the candidate's own model cannot be called from here")
        if not target.guard.breaker.available(context.clock.monotonic_ns() * _SECONDS):
            raise UpstreamError("upstream_circuit_open", "a copy is not sent to a model that keeps failing")
        return target, target.translation.request(candidate.render(caller.variables), caller.body)

    def _hosted_tools(self) -> list[str]:
        route = self._decision.served.route if self._decision.served is not None else None
        return [] if route is None or route.rollout is None else route.rollout.shadow_hosted_tools

    def _give_up(self, code: str, partial: Answer | None = None) -> None:
        if self._recorded is not None:
            answer = msgspec.structs.replace(partial or Answer(), error_code=code)
            self._recorded.write_event(answer, 0, aborted=True)
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
            _log.exception("a mirrored call could not be recorded", extra={"generation": self._primary})
        self._finish()

    def _finish(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done()
