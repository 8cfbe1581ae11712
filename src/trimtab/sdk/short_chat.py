"""The short way of the usual managed call (`calls.short`): whole, at the first request, by the release's own model.

It makes a third of the Python calls that going through every layer does, and means the same: the same breaker, budget
and event.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from trimtab.calls.short import ShortCall, Ways
from trimtab.core.ids import new_id
from trimtab.sdk.managed_port import WholePort

if TYPE_CHECKING:
    import asyncio

    from trimtab.calls.caller import Caller
    from trimtab.calls.ports import ServingContext
    from trimtab.calls.short import Prolonged
    from trimtab.calls.way import Way
    from trimtab.providers.http.upstream import UpstreamConnection
    from trimtab.sdk.managed_answer import Answered
    from trimtab.serving.decision import Decision

__all__ = ["ShortChat", "ShortWays"]

_SECONDS: Final = 1e-9
_encode: Final = msgspec.json.Encoder().encode


class ShortWays:
    """The short ways of the snapshot in force."""

    def __init__(self, context: ServingContext) -> None:
        self._context = context
        self._ways = Ways(context.plans, context.plane, "chat", most_bytes=context.config.max_answer_bytes)

    def begin(self, decision: Decision, caller: Caller, answered: asyncio.Future[Answered]) -> ShortChat | None:
        """Send a call whose answer goes to `answered`; or do nothing at all, and return `None`."""
        way = self._ways.find(decision)
        written = None if way is None else _write_request(way, decision, caller)
        if way is None or written is None:
            return None
        clock, client = self._context.clock, way.client
        started_ns, now = clock.monotonic_ns(), time.monotonic()
        ticket = way.breaker.steady(started_ns * _SECONDS)
        upstream = client.idle_connection(now) if ticket else None
        if upstream is None:
            return None
        at_ms = clock.now_ms()
        data, messages = written
        call = ShortChat(
            way,
            upstream,
            decision,
            data,
            messages,
            new_id("gen", at_ms),
            at_ms,
            started_ns,
            now,
            ticket,
            self._context,
            caller,
            answered,
        )
        client.send_on(upstream, data, call)
        return call


def _write_request(way: Way, decision: Decision, caller: Caller) -> tuple[bytes, list[dict[str, Any]]] | None:
    """Return the upstream's request, and what is recorded of its prompt; `None` where something is wrong with it."""
    try:
        request = way.build(decision.release.render(caller.variables), caller.body)
        payload = _encode(request)
        messages = way.messages(request)
    except Exception:  # noqa: BLE001 - whatever is wrong with it is found again, and said, in the layers
        return None
    return b"%bcontent-length: %d\r\n\r\n%b" % (way.head, len(payload), payload), messages


class ShortChat(ShortCall[WholePort]):
    """One call on the short way: what hears its upstream, and tells whoever awaits the answer."""

    __slots__ = ("answered", "caller", "context", "over")

    def __init__(  # noqa: PLR0913, PLR0917 - positional: one is made for each call
        self,
        way: Way,
        upstream: UpstreamConnection,
        decision: Decision,
        request_bytes: bytes,
        messages: list[dict[str, Any]],
        id: str,  # noqa: A002 - the event's field
        at_ms: int,
        started_ns: int,
        sent_at: float,
        ticket: int,
        context: ServingContext,
        caller: Caller,
        answered: asyncio.Future[Any],
    ) -> None:
        super().__init__(way, upstream, decision, request_bytes, messages, id, at_ms, started_ns, sent_at, ticket)
        self.context = context
        self.caller = caller
        self.answered = answered
        self.over = False

    def on_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer, where this is what mostly is answered."""
        caller = self.caller
        try:
            found = self.read(status, headers, body, caller.body)
            if found is None:
                return
            # First: whoever has the answer finds its generation, even if this process is killed the moment after.
            self.way.recorder.record(
                self.id,
                self.at_ms,
                self.started_ns,
                self.decision.unit,
                found[0],
                self.messages,
                caller.variables,
                caller.attributes,
            )
        except Exception as error:  # noqa: BLE001 - a surface: the caller must hear something
            self.prolong().reader.break_off(error)
            return
        self.over = True
        if not self.answered.done():
            self.answered.set_result((found[1], found[0]))

    def abort(self) -> None:
        """Give the call up: nobody waits for it any more. One that is over stays as it is."""
        if not self.over:
            self.prolong().port.abort()

    def in_layers(self) -> Prolonged[WholePort]:
        return self.model_call(self.context, WholePort(self.answered), self.caller, "chat")
