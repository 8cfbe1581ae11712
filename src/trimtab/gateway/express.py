"""The short way of the usual request: a chat completion, asked for as before.

Going through every layer, a request makes some 65 Python calls, which is most of what it costs; here it makes 20. It
means the same: the same team, limits, release, breaker, headers and event, each looked up once where no request changes
it. Only what needs no judging is taken. A request that does is left to the layers before anything was counted or sent;
a call that meets anything but a good whole answer, a stream among it, goes on in the layers as if it had begun there
(`_Call.prolong`).
The tests of the gateway run through both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from trimtab.calls import Plan
from trimtab.calls.call import ModelCall
from trimtab.calls.caller import Caller
from trimtab.calls.formats.native import ChatTranslation
from trimtab.calls.headers import forwarded_headers, passed_headers
from trimtab.calls.ports import CallContext
from trimtab.calls.reader import AnswerReader
from trimtab.calls.stamp import fixed_stamp
from trimtab.core.errors import TrimtabError, UpstreamError
from trimtab.core.ids import new_id
from trimtab.gateway.caller import MAX_UNIT_CHARACTERS
from trimtab.providers.http import Exchange, Request, UpstreamClient
from trimtab.providers.http.lane import Line
from trimtab.providers.http.message import STATUS_LINES
from trimtab.providers.http.upstream import UpstreamConnection
from trimtab.providers.openai import read_completion
from trimtab.providers.resilience.breaker import CircuitBreaker
from trimtab.providers.resilience.budget import RetryBudget
from trimtab.serving.generation import GenerationRecord
from trimtab.serving.limits import TeamMeter
from trimtab.serving.plain_recorder import PlainRecorder
from trimtab.serving.routing import Decision

if TYPE_CHECKING:
    from trimtab.calls import Plans
    from trimtab.providers.http import Refusal, UpstreamCall
    from trimtab.providers.http.lane import Lane
    from trimtab.serving.limits import TeamLimits
    from trimtab.serving.routing import RoutingTable, Served
    from trimtab.serving.runtime import DataPlane

__all__ = ["Ways", "express_lane"]

_OK = 200
_STATUS_LINE = STATUS_LINES[_OK]
_MICRO = 1_000_000
_SECONDS = 1e-9
_NO_MESSAGES: list[dict[str, Any]] = []
_TRACE, _SPAN, _FLAGS = slice(3, 35), slice(36, 52), slice(53, 55)
"""The parts of a `traceparent`."""
_ELSEWHERE = frozenset({"trimtab", "safety_identifier"})
"""What a body says that is read in the layers."""
_OURS = b"x-trimtab-"
"""How all headers begin that say more of a call than its body does."""
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class Application(CallContext, Protocol):
    """What the short way needs of the gateway."""

    ways: Ways
    limits: TeamLimits
    admit: Callable[[Request], Refusal | None]


def express_lane(app: Application, head: Request) -> Lane | None:
    """Return what takes requests whose head is like this one's; `None` where that leaves something to be judged."""
    told = any(name.startswith(_OURS) for name in head.headers)
    return None if told or head.method != b"POST" else _Lane(app, head).take


class _Way(msgspec.Struct, frozen=True, eq=False):
    """What all requests of one arm have in common."""

    plan: Plan
    client: UpstreamClient
    breaker: CircuitBreaker
    budget: RetryBudget
    build: Callable[[Sequence[Any], dict[str, Any]], dict[str, Any]]
    """Makes the upstream's request."""
    head: bytes
    """Of the upstream's request, but for the caller's lines and the length."""
    stamp: bytes
    prompt: list[dict[str, Any]]
    encoded: list[msgspec.Raw]
    """The prompt, as JSON."""
    captured: bool
    """Whether content is recorded."""
    most_bytes: int
    """Of an answer."""


class Ways:
    """The short ways of one snapshot."""

    def __init__(self, plans: Plans, plane: DataPlane, *, most_bytes: int) -> None:
        """`most_bytes`: of an answer; a longer one is given up by the layers."""
        self._plans = plans
        self._plane = plane
        self._most_bytes = most_bytes
        self._table: RoutingTable | None = None
        self._ways: dict[Served, _Way | None] = {}

    def find(self, decision: Decision) -> _Way | None:
        """Return the way of a decision; `None` where there is no short one."""
        if self._plane.table is not self._table:
            self._table = self._plane.table
            self._ways.clear()
        served = decision.served
        if served is None:
            return None
        try:
            return self._ways[served]
        except KeyError:
            way = self._ways[served] = self._make(decision)
            return way

    def _make(self, decision: Decision) -> _Way | None:
        release = decision.release
        try:
            plan = self._plans.find(release, "chat")
            prompt: list[dict[str, Any]] = [*release.render({})]
        except TrimtabError:
            return None  # found again, and said, by each request
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
            fixed_stamp(decision),
            prompt,
            [msgspec.Raw(_encode(message)) for message in prompt],
            decision.capture_content,
            self._most_bytes,
        )


class _Begun(NamedTuple):
    """A call of the short way, as the layers have it."""

    exchange: Exchange
    call: UpstreamCall
    reader: AnswerReader


class _Lane:
    """Takes the requests of one head: one caller's, as long as it says the same."""

    __slots__ = (
        "_admit",
        "_arms",
        "_context",
        "_forwarded",
        "_limits",
        "_meter",
        "_table",
        "_ways",
        "head",
        "team",
    )

    def __init__(self, app: Application, head: Request) -> None:
        self._context: CallContext = app
        self._ways = app.ways
        self._limits = app.limits
        self._admit = app.admit
        self._table: RoutingTable | None = None
        self._meter: TeamMeter | None = None
        self._arms: dict[Served | None, tuple[_Way, PlainRecorder]] = {}
        self._forwarded = forwarded_headers(head.headers)
        self.head = msgspec.structs.replace(head, body=b"", refusal=None, principal="")
        self.team = ""

    def take(self, connection: Line, body: bytes, trace: bytes) -> bool:
        """Send what was asked, and return `True`; or do nothing at all, and return `False`."""
        context = self._context
        table = context.plane.table
        if table is None or (table is not self._table and not self._follow(table)):
            return False
        try:
            sent = _decode(body)
            unit = sent.get("user", "")
            stream = sent.get("stream", False)
            if not unit.isascii() or len(unit) > MAX_UNIT_CHARACTERS or not _ELSEWHERE.isdisjoint(sent):
                return False
            decision = table.decide(sent["model"], unit)
            arm = self._arms.get(decision.served) or self._arm(decision)
            if arm is None or (stream is not False and stream is not True):
                return False
            way, recorder = arm
            captured = way.captured
            request = way.build(way.prompt if captured else way.encoded, sent)
            payload = _encode(request)
        except Exception:  # noqa: BLE001 - whatever is wrong with it is found again, and said, in the layers
            return False
        clock, client, meter = context.clock, way.client, self._meter
        started_ns, now = clock.monotonic_ns(), time.monotonic()
        ticket = way.breaker.steady(started_ns * _SECONDS)
        upstream, at_ms = client.idle_connection(now) if ticket else None, clock.now_ms()
        if upstream is not None and meter is not None and meter.admit(at_ms) is not None:
            client.give_back(upstream)
            upstream = None
        if upstream is None:
            return False
        id_, forwarded = new_id("gen", at_ms), self._forwarded
        if trace:
            forwarded = b"%btraceparent: 00-%b-%b-%b\r\n" % (
                forwarded,
                trace[_TRACE],
                id_[-16:].encode(),
                trace[_FLAGS],
            )
        data = b"%b%bcontent-length: %d\r\n\r\n%b" % (way.head, forwarded, len(payload), payload)
        messages = request["messages"] if captured else _NO_MESSAGES
        call = _Call(
            self,
            connection,
            upstream,
            decision,
            way,
            recorder,
            sent,
            data,
            messages,
            id_,
            at_ms,
            started_ns,
            now,
            ticket,
            meter,
            trace,
        )
        connection.exchange = call
        client.send_on(upstream, data, call)
        if stream:
            call.prolong()  # what is short is the way to the upstream
        return True

    def begun(self, call: _Call) -> _Begun:
        """Return what the layers would have made of a call by now."""
        context, decision, way = self._context, call.decision, call.way
        head, translation = self.head, way.plan.target.translation
        trace = call.trace
        headers = {**head.headers, b"traceparent": trace} if trace else head.headers
        request = Request(head.method, head.target, headers, head.path, principal=self.team)
        caller = Caller(
            call.sent,
            decision.feature,
            decision.unit,
            {},
            call.sent.get("stream", False),
            trace[_TRACE].decode(),
            trace[_SPAN].decode(),
            trace[_FLAGS].decode(),
        )
        exchange = Exchange(call.connection, request)
        record = GenerationRecord(
            decision,
            context.clock,
            decision.release,
            decision.price,
            decision.arm,
            call.at_ms,
            call.id,
            call.started_ns,
        )
        model_call = ModelCall(context, exchange, caller, decision, "chat", record)
        model_call.budget = call.meter
        stream = translation.stream(caller.body) if caller.stream else None
        reader = AnswerReader(model_call, translation, context.config.max_answer_bytes, stream)
        longer = reader.call = way.client.prolong(call, call.upstream, call.request_bytes, reader, call.sent_at)
        model_call.go_on(reader, plan=way.plan, ticket=call.ticket, messages=call.messages)
        call.connection.exchange = exchange
        return _Begun(exchange, longer, reader)

    def _follow(self, table: RoutingTable) -> bool:
        """A new snapshot: the key may have been revoked, or have another team. Returns whether it is admitted."""
        if self._admit(self.head) is not None:
            return False
        self.team = self.head.principal
        self._meter = self._limits.find(self.team)
        self._arms.clear()
        self._table = table
        return True

    def _arm(self, decision: Decision) -> tuple[_Way, PlainRecorder] | None:
        """Return the way of a decision and what records its answers for this team; `None` where there is none."""
        way = self._ways.find(decision)
        if way is None:
            return None
        found = self._arms[decision.served] = way, self._context.plane.plain_recorder(decision, team=self.team)
        return found


class _Call(msgspec.Struct, eq=False):
    """One call on the short way: what answers the caller, and what hears its upstream."""

    lane: _Lane
    connection: Line
    upstream: UpstreamConnection
    decision: Decision
    way: _Way
    recorder: PlainRecorder
    sent: dict[str, Any]
    request_bytes: bytes
    messages: list[dict[str, Any]]
    id: str
    at_ms: int
    started_ns: int
    sent_at: float
    ticket: int
    meter: TeamMeter | None
    trace: bytes
    on_pause: None = None
    on_resume: None = None
    started: bool = False
    _begun: _Begun | None = None

    def on_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer, where this is what mostly is answered."""
        way = self.way
        try:
            if status != _OK or len(body) > way.most_bytes:
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
            said = self.id, self.at_ms, self.started_ns, self.decision.unit, answer, self.messages
            if trace := self.trace:
                cost_usd = self.recorder.record(*said, trace=trace[_TRACE].decode(), parent_span=trace[_SPAN].decode())
            else:
                cost_usd = self.recorder.record(*said)
            if self.meter is not None:
                self.meter.release(round(cost_usd * _MICRO))
        except Exception as error:  # noqa: BLE001 - a surface: the caller must hear something
            self.prolong().reader.break_off(error)
            return
        lines, generation = passed_headers(headers), self.id.encode()
        own = b"" if b"x-request-id: " in lines else b"x-request-id: %b\r\n" % generation
        self.connection.reply(
            b"%b%b%bx-trimtab-generation: %b\r\n%bcontent-length: %d\r\n\r\n%b"
            % (_STATUS_LINE, lines, way.stamp, generation, own, len(body), body)
        )

    def prolong(self) -> _Begun:
        """Go on in the layers, from here on."""
        if self._begun is None:
            self._begun = self.lane.begun(self)
        return self._begun

    # --- what is unusual: Answering, Listener, Sink, ShortCall ----------------------------------------------------

    @property
    def request(self) -> Request:
        return self.prolong().exchange.request

    def abort(self) -> None:
        self.prolong().exchange.abort()

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
