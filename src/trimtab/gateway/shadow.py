"""The candidate's own answer to a request that stable has answered: recorded, seen by nobody."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from trimtab.core.errors import TrimtabError
from trimtab.gateway.prepare import prepare, send
from trimtab.gateway.recording import Recording
from trimtab.gateway.upstream import failure
from trimtab.serving.generation import begin_mirror

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.core.clock import Clock
    from trimtab.gateway.caller import Caller
    from trimtab.gateway.config import GatewayConfig
    from trimtab.gateway.prepare import Operation
    from trimtab.gateway.upstream import AnswerReader, Outcome
    from trimtab.gateway.upstreams import Upstreams
    from trimtab.serving.routing import Decision
    from trimtab.serving.runtime import DataPlane

__all__ = ["ShadowCall", "ShadowContext"]

_log = logging.getLogger("trimtab.gateway")


class ShadowContext(Protocol):
    """What a shadow call needs of its gateway."""

    config: GatewayConfig
    plane: DataPlane
    upstreams: Upstreams
    clock: Clock


class ShadowCall:
    """A `Mirror`: the candidate's model, prompt and parameters on the caller's input."""

    def __init__(
        self,
        context: ShadowContext,
        decision: Decision,
        caller: Caller,
        *,
        operation: Operation,
        forwarded: bytes,
        primary: str,
    ) -> None:
        self._context = context
        self._decision = decision
        self._caller = caller
        self._operation = operation
        self._forwarded = forwarded
        self._primary = primary
        self._reader: AnswerReader | None = None
        self._recording: Recording | None = None
        self._done: Callable[[], None] | None = None

    def start(self, done: Callable[[], None]) -> None:
        """Send the copy; what the candidate cannot even be asked is recorded as its error."""
        assert self._decision.mirror is not None  # noqa: S101 - only mirrored decisions get here
        self._done = done
        record = begin_mirror(self._decision, clock=self._context.clock, mirrors=self._primary)
        self._recording = Recording(self._context.plane, record, self._caller, stream=self._caller.stream)
        try:
            prepared = prepare(
                self._operation,
                self._decision.mirror,
                self._caller,
                self._context.upstreams,
                forwarded=self._forwarded,
            )
        except TrimtabError as error:
            self.on_outcome(failure(error))
            return
        self._recording.messages = prepared.messages
        self._reader = send(prepared, self, limit_bytes=self._context.config.max_answer_bytes)

    def cancel(self) -> None:
        """Give up; recorded as aborted."""
        if self._reader is not None and self._recording is not None:
            if self._reader.call is not None:
                self._reader.call.cancel()
            self._recording.abort(self._reader.partial)
        self._finish()

    def on_begin(self, status: int, headers: bytes) -> None:
        """Nobody waits for the stream."""

    def on_first_token(self) -> None:
        if self._recording is not None:
            self._recording.first_token()

    def on_piece(self, data: bytes) -> None:
        """Nobody waits for the stream."""

    def on_outcome(self, outcome: Outcome) -> None:
        try:
            if self._recording is not None:
                self._recording.end(outcome)
        except Exception:  # noqa: BLE001 - a surface: mirrors must not take calls down
            _log.exception("a mirrored call could not be recorded")
        self._finish()

    def _finish(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done()
