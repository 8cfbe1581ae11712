"""The short way of the usual managed call: the release's own model answers, at the first request, whole, untranslated.

It makes a third of the Python calls that going through every layer does (`calls.ModelCall`), and means the same: the
same breaker, budget and event. Only what needs no judging is taken, and a call that meets anything but a good whole
answer goes on in the layers as if it had begun there (`ShortChat.prolong`), as `gateway.express` does it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from trimtab.calls import Plan
from trimtab.calls.call import ModelCall
from trimtab.calls.caller import Caller
from trimtab.calls.formats.native import ChatTranslation
from trimtab.calls.ports import CallContext
from trimtab.calls.reader import AnswerReader
from trimtab.core.errors import TrimtabError, UpstreamError
from trimtab.core.ids import new_id
from trimtab.providers.http import UpstreamClient
from trimtab.providers.http.upstream import UpstreamConnection
from trimtab.providers.openai import read_completion
from trimtab.providers.resilience.breaker import CircuitBreaker
from trimtab.providers.resilience.budget import RetryBudget
from trimtab.sdk.managed_port import WholePort
from trimtab.serving.generation import GenerationRecord
from trimtab.serving.plain_recorder import PlainRecorder
from trimtab.serving.routing import Decision

if TYPE_CHECKING:
    from trimtab.providers.http import UpstreamCall
    from trimtab.sdk.managed_port import Answered
    from trimtab.serving.routing import RoutingTable, Served

__all__ = ["ShortChat", "ShortWays"]

_OK = 200
_SECONDS = 1e-9
_NO_MESSAGES: list[dict[str, Any]] = []
_encode = msgspec.json.Encoder().encode


class _Way(msgspec.Struct, frozen=True, eq=False):
    """What all calls of one arm have in common."""

    plan: Plan
    client: UpstreamClient
    breaker: CircuitBreaker
    budget: RetryBudget
    build: Callable[[Sequence[Any], dict[str, Any]], dict[str, Any]]
    """Makes the upstream's request."""
    head: bytes
    """Of the upstream's request, but for its length."""
    recorder: PlainRecorder
    captured: bool
    """Whether content is recorded."""


class ShortWays:
    """The short ways of the snapshot in force."""

    def __init__(self, context: CallContext) -> None:
        self._context = context
        self._table: RoutingTable | None = None
        self._ways: dict[Served, _Way | None] = {}

    def begin(self, decision: Decision, caller: Caller, answered: asyncio.Future[Answered]) -> ShortChat | None:
        """Send a call whose answer goes to `answered`; or do nothing at all, and return `None`."""
        way = self._find(decision)
        if way is None:
            return None
        try:
            request = way.build(decision.release.render(caller.variables), caller.body)
            payload = _encode(request)
        except Exception:  # noqa: BLE001 - whatever is wrong with it is found again, and said, in the layers
            return None
        clock, client = self._context.clock, way.client
        started_ns, now = clock.monotonic_ns(), time.monotonic()
        ticket = way.breaker.steady(started_ns * _SECONDS)
        upstream = client.idle_connection(now) if ticket else None
        if upstream is None:
            return None
        at_ms = clock.now_ms()
        data = b"%bcontent-length: %d\r\n\r\n%b" % (way.head, len(payload), payload)
        messages = request["messages"] if way.captured else _NO_MESSAGES
        identifier = new_id("gen", at_ms)
        call = ShortChat(
            self._context,
            way,
            upstream,
            decision,
            caller,
            data,
            messages,
            identifier,
            at_ms,
            started_ns,
            now,
            ticket,
            answered,
        )
        client.send_on(upstream, data, call)
        return call

    def _find(self, decision: Decision) -> _Way | None:
        table, served = self._context.plane.table, decision.served
        if table is not self._table:
            self._table = table
            self._ways.clear()
        if served is None:
            return None
        try:
            return self._ways[served]
        except KeyError:
            way = self._ways[served] = self._make(decision)
            return way

    def _make(self, decision: Decision) -> _Way | None:
        try:
            plan = self._context.plans.find(decision.release, "chat")
        except TrimtabError:
            return None  # found again, and said, by each call
        target, translation = plan.target, plan.target.translation
        if type(translation) is not ChatTranslation or translation.adapts:
            return None
        if target.fallback or decision.mirror is not None:
            return None
        return _Way(
            plan,
            target.client,
            target.guard.breaker,
            target.guard.budget,
            translation.request,
            target.client.head_of(translation.path, target.headers),
            self._context.plane.plain_recorder(decision, team=""),
            decision.capture_content,
        )


class _Begun(NamedTuple):
    """A call of the short way, as the layers have it."""

    port: WholePort
    call: UpstreamCall
    reader: AnswerReader


class ShortChat(msgspec.Struct, eq=False):
    """One call on the short way: what hears its upstream, and tells whoever awaits the answer."""

    context: CallContext
    way: _Way
    upstream: UpstreamConnection
    decision: Decision
    caller: Caller
    request_bytes: bytes
    messages: list[dict[str, Any]]
    id: str
    at_ms: int
    started_ns: int
    sent_at: float
    ticket: int
    answered: asyncio.Future[Any]
    over: bool = False
    _begun: _Begun | None = None

    def on_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer, where this is what mostly is answered."""
        way = self.way
        try:
            if status != _OK or len(body) > self.context.config.max_answer_bytes:
                self.prolong().call.on_whole(status, headers, body)
                return
            try:
                answer = read_completion(body)
            except UpstreamError:
                self.prolong().call.on_whole(status, headers, body)
                return
            way.client.forget(self)
            way.breaker.succeeded(self.ticket)
            way.budget.deposit()
            # First: whoever has the answer finds its generation, even if this process is killed the moment after.
            caller = self.caller
            way.recorder.record(
                self.id,
                self.at_ms,
                self.started_ns,
                self.decision.unit,
                answer,
                self.messages,
                caller.variables,
                caller.attributes,
            )
        except Exception as error:  # noqa: BLE001 - a surface: the caller must hear something
            self.prolong().reader.break_off(error)
            return
        self.over = True
        if not self.answered.done():
            self.answered.set_result((body, answer))

    def prolong(self) -> _Begun:
        """Go on in the layers, from here on."""
        if self._begun is None:
            self._begun = self._in_layers()
        return self._begun

    def abort(self) -> None:
        """Give the call up: nobody waits for it any more. One that is over stays as it is."""
        if not self.over:
            self.prolong().port.abort()

    def _in_layers(self) -> _Begun:
        """Return what the layers would have made of the call by now."""
        context, decision, way = self.context, self.decision, self.way
        record = GenerationRecord(
            decision,
            context.clock,
            decision.release,
            decision.price,
            decision.arm,
            self.at_ms,
            self.id,
            self.started_ns,
        )
        port = WholePort(self.answered)
        model_call = ModelCall(context, port, self.caller, decision, "chat", record)
        reader = AnswerReader(model_call, way.plan.target.translation, context.config.max_answer_bytes)
        longer = reader.call = way.client.prolong(self, self.upstream, self.request_bytes, reader, self.sent_at)
        model_call.go_on(reader, plan=way.plan, ticket=self.ticket, messages=self.messages)
        return _Begun(port, longer, reader)

    # --- what is unusual: Listener, Sink, ShortCall ---------------------------------------------------------------

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.prolong().reader.on_head(status, headers)

    def on_data(self, data: bytes) -> None:
        self.prolong().reader.on_data(data)

    def on_end(self) -> None:
        self.prolong().call.on_end()

    def on_lost(self, error: UpstreamError, *, stale: bool) -> None:
        self.prolong().call.on_lost(error, stale=stale)

    def fail(self, error: UpstreamError) -> None:
        self.prolong().call.fail(error)

    def check_deadline(self, now: float) -> None:
        if self.way.client.is_due(now, since=self.sent_at, heard=self.upstream.active):
            self.prolong().call.check_deadline(now)
