"""One call of a caller: decide, render, send, answer, record, mirror."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from trimtab.core.errors import NotFoundError, TrimtabError
from trimtab.gateway.caller import read_caller
from trimtab.gateway.errors import error_body, internal_error, status_of, stream_error
from trimtab.gateway.recording import RecordedCall
from trimtab.gateway.shadow import ShadowCall
from trimtab.gateway.stamp import stamp
from trimtab.providers.calls import failure, send
from trimtab.providers.calls.headers import forwarded_headers
from trimtab.serving.generation import begin

if TYPE_CHECKING:
    from trimtab.core.clock import Clock
    from trimtab.gateway.caller import Caller
    from trimtab.gateway.config import GatewayConfig
    from trimtab.gateway.mirror import MirrorQueue
    from trimtab.providers.calls import AnswerReader, Format, Outcome, Plans
    from trimtab.providers.http import Exchange
    from trimtab.serving.routing import Decision
    from trimtab.serving.runtime import DataPlane

__all__ = ["GatewayContext", "ModelCall", "start_call"]

_log = logging.getLogger("trimtab.gateway")


class GatewayContext(Protocol):
    """What a call needs of its gateway."""

    config: GatewayConfig
    plane: DataPlane
    plans: Plans
    mirrors: MirrorQueue
    clock: Clock


def start_call(context: GatewayContext, exchange: Exchange, format: Format) -> None:  # noqa: A002 - the field's word
    """Answer a model call, now or later; errors are answered in the caller's format."""
    try:
        caller = read_caller(exchange.request, format)
        table = context.plane.table
        decision = (table or context.plane).decide(caller.feature, caller.unit)
    except TrimtabError as error:
        if error.code == "unknown_feature":
            error = _unknown_model(error)
        exchange.respond(status_of(error), error_body(error, format))
        return
    ModelCall(context, exchange, caller, decision, format).start()


class ModelCall(RecordedCall):
    """A call that was decided. `start`, and it runs by itself.

    The event is written before the last byte of the answer leaves: whoever has an answer finds its generation, even
    if the gateway is killed the moment after.
    """

    __slots__ = ("_context", "_decision", "_exchange", "_reader", "_stamp")

    def __init__(
        self,
        context: GatewayContext,
        exchange: Exchange,
        caller: Caller,
        decision: Decision,
        format: Format,  # noqa: A002 - the field's word
    ) -> None:
        record = begin(decision, clock=context.clock)
        RecordedCall.__init__(self, context.plane, record, caller, format, exchange.request.principal)
        self._context = context
        self._exchange = exchange
        self._decision = decision
        self._stamp = stamp(decision, record.id)
        self._reader: AnswerReader | None = None

    def start(self) -> None:
        """Render and send."""
        context, release, caller = self._context, self._decision.release, self.caller
        try:
            target = context.plans.find(release, self.format).target
            translation = target.translation
            request = translation.request(release.render(caller.variables), caller.body)
        except TrimtabError as error:
            self._answer(failure(error))
            return
        if self._decision.capture_content:
            self.messages = translation.recorded(request)
        exchange = self._exchange
        exchange.on_abort = self._on_abort
        self._reader = reader = send(
            target,
            request,
            self,
            stream=translation.stream(caller.body) if caller.stream else None,
            headers=forwarded_headers(exchange.request.headers) + (self.traceparent() if caller.trace else b""),
            limit_bytes=context.config.max_answer_bytes,
        )
        call = reader.call
        if call is not None and caller.stream:
            exchange.on_pause = call.pause
            exchange.on_resume = call.resume

    # --- AnswerListener -----------------------------------------------------------------------------------------

    def on_begin(self, status: int, headers: bytes) -> None:
        self._exchange.start(status, self._headers(headers))

    def on_first_token(self) -> None:
        self.record.first_token()

    def on_piece(self, data: bytes) -> None:
        self._exchange.write(data)

    def on_outcome(self, outcome: Outcome) -> None:
        try:
            reader = self._reader
            if reader is None or not reader.streaming:
                self._answer(outcome)
            else:
                self._end_stream(outcome)
            if self._decision.mirror is not None:
                self._mirror()
        except Exception as error:  # noqa: BLE001 - a surface: the caller must hear something
            _log.exception("a call failed in the gateway itself")
            self._exchange.respond(500, error_body(internal_error(error), self.format))

    # --- inner workings -----------------------------------------------------------------------------------------

    def _answer(self, outcome: Outcome) -> None:
        error = outcome.error
        status = outcome.status or (status_of(error) if error else 500)
        self.write_event(outcome.answer, status)
        body = outcome.body if error is None else error_body(error, self.format)
        headers = outcome.headers
        if b"x-request-id: " in headers:
            self._exchange.respond(status, body, headers + self._stamp)
        else:
            self._exchange.respond(status, body, self._headers(headers))

    def _end_stream(self, outcome: Outcome) -> None:
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

    def _on_abort(self) -> None:
        reader = self._reader
        if reader is None:
            return
        partial = reader.partial
        reader.cancel()
        self.write_aborted(partial)

    def _mirror(self) -> None:
        forwarded = forwarded_headers(self._exchange.request.headers)
        shadow = ShadowCall(
            self._context, self._decision, self.caller, self.format, forwarded=forwarded, primary=self.record.id
        )
        self._context.mirrors.submit(shadow)


def _unknown_model(error: TrimtabError) -> NotFoundError:
    message = f"the model is the feature's name, and there is {error.message}"
    return NotFoundError("model_not_found", message, param="model", hint=error.hint)
