"""One call of a caller: decide, render, send, answer, record, mirror."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from trimtab.core.errors import NotFoundError, TrimtabError
from trimtab.gateway.caller import read_caller
from trimtab.gateway.errors import error_body, internal_error, status_of
from trimtab.gateway.passthrough import forwarded_headers
from trimtab.gateway.prepare import prepare, send
from trimtab.gateway.recording import Recording
from trimtab.gateway.shadow import ShadowCall
from trimtab.gateway.stamp import stamp
from trimtab.gateway.upstream import failure
from trimtab.serving.generation import begin

if TYPE_CHECKING:
    from trimtab.core.clock import Clock
    from trimtab.gateway.caller import Caller
    from trimtab.gateway.config import GatewayConfig
    from trimtab.gateway.mirror import MirrorQueue
    from trimtab.gateway.prepare import Operation, Prepared
    from trimtab.gateway.upstream import AnswerReader, Outcome
    from trimtab.gateway.upstreams import Upstreams
    from trimtab.providers.http import Exchange
    from trimtab.serving.routing import Decision
    from trimtab.serving.runtime import DataPlane

__all__ = ["GatewayContext", "ModelCall"]

_log = logging.getLogger("trimtab.gateway")


class GatewayContext(Protocol):
    """What a call needs of its gateway."""

    config: GatewayConfig
    plane: DataPlane
    upstreams: Upstreams
    mirrors: MirrorQueue
    clock: Clock


class ModelCall:
    """A chat completion or embeddings call. `start`, and it runs by itself.

    The event is written before the last byte of the answer leaves: whoever has an answer finds its generation, even
    if the gateway is killed the moment after.
    """

    __slots__ = (
        "_caller",
        "_context",
        "_decision",
        "_exchange",
        "_forwarded",
        "_operation",
        "_reader",
        "_recording",
        "_stamp",
    )

    def __init__(self, context: GatewayContext, exchange: Exchange, operation: Operation) -> None:
        self._context = context
        self._exchange = exchange
        self._operation = operation
        self._caller: Caller
        self._decision: Decision
        self._recording: Recording
        self._reader: AnswerReader | None = None
        self._stamp = b""
        self._forwarded = b""

    def start(self) -> None:
        """Decide and send; errors are answered."""
        try:
            self._caller = caller = read_caller(self._exchange.request)
            self._decision = self._decide(caller)
        except TrimtabError as error:
            self._exchange.respond(status_of(error), error_body(error))
            return
        context, decision = self._context, self._decision
        record = begin(decision, clock=context.clock)
        self._recording = Recording(context.plane, record, caller, stream=caller.stream)
        self._stamp = stamp(decision, record.id)
        self._forwarded = forwarded_headers(self._exchange.request.headers)
        try:
            prepared = prepare(self._operation, decision.release, caller, context.upstreams, forwarded=self._forwarded)
        except TrimtabError as error:
            self._answer(failure(error))
            return
        self._send(prepared)

    def _decide(self, caller: Caller) -> Decision:
        try:
            return self._context.plane.decide(caller.feature, caller.unit)
        except NotFoundError as error:
            raise NotFoundError(
                "model_not_found",
                f"the model is the feature's name, and there is {error.message}",
                param="model",
                hint=error.hint,
            ) from error

    def _send(self, prepared: Prepared) -> None:
        self._recording.messages = prepared.messages
        exchange = self._exchange
        self._reader = reader = send(prepared, self, limit_bytes=self._context.config.max_answer_bytes)
        exchange.on_abort = self._on_abort
        if reader.call is not None:
            exchange.on_pause = reader.call.pause
            exchange.on_resume = reader.call.resume

    # --- AnswerListener -----------------------------------------------------------------------------------------

    def on_begin(self, status: int, headers: bytes) -> None:
        self._exchange.start(status, self._headers(headers))

    def on_first_token(self) -> None:
        self._recording.first_token()

    def on_piece(self, data: bytes) -> None:
        self._exchange.write(data)

    def on_outcome(self, outcome: Outcome) -> None:
        try:
            self._recording.end(outcome)
            if self._reader is None or not self._reader.streaming:
                self._answer(outcome)
            else:
                self._exchange.write(outcome.body)
                if outcome.broken:
                    self._exchange.cut()
                else:
                    self._exchange.end()
            self._mirror()
        except Exception as error:  # noqa: BLE001 - a surface: the caller must hear something
            _log.exception("a call failed in the gateway itself")
            self._exchange.respond(500, error_body(internal_error(error)))

    # --- inner workings -----------------------------------------------------------------------------------------

    def _answer(self, outcome: Outcome) -> None:
        self._recording.end(outcome)
        self._exchange.respond(outcome.status, outcome.body, self._headers(outcome.headers))

    def _headers(self, upstream: bytes) -> bytes:
        if b"x-request-id: " in upstream:
            return upstream + self._stamp
        return b"%s%sx-request-id: %s\r\n" % (upstream, self._stamp, self._recording.id.encode())

    def _on_abort(self) -> None:
        reader = self._reader
        if reader is None:
            return
        partial = reader.partial
        if reader.call is not None:
            reader.call.cancel()
        self._recording.abort(partial)

    def _mirror(self) -> None:
        if self._decision.mirror is None:
            return
        shadow = ShadowCall(
            self._context,
            self._decision,
            self._caller,
            operation=self._operation,
            forwarded=self._forwarded,
            primary=self._recording.id,
        )
        self._context.mirrors.submit(shadow)
