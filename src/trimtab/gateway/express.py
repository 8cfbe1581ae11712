"""The short way of the usual request, asked for as before (`calls.short`).

Going through every layer, a request makes some 65 Python calls, which is most of what it costs; here it makes 20. It
means the same: the same team, limits, release, breaker, headers and event, each looked up once where no request changes
it. A request that needs judging is left to the layers before anything was counted or sent; a call that meets anything
but a good whole answer, a stream among it, goes on in the layers as if it had begun there. The tests of the gateway run
through both.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from trimtab.calls.caller import Caller
from trimtab.calls.headers import forwarded_headers, passed_headers
from trimtab.calls.ports import ServingContext
from trimtab.calls.recording import UNSAMPLED
from trimtab.calls.short import ShortCall
from trimtab.calls.way import NO_MESSAGES
from trimtab.core.ids import new_id
from trimtab.gateway.caller import MAX_UNIT_CHARACTERS, read_beside
from trimtab.providers.http import Exchange, Request
from trimtab.providers.http.message import STATUS_LINES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trimtab.calls.formats import Format
    from trimtab.calls.short import Prolonged, Ways
    from trimtab.calls.way import Way
    from trimtab.providers.http import Refusal
    from trimtab.providers.http.lane import Lane, Line
    from trimtab.providers.http.upstream import UpstreamConnection
    from trimtab.serving.decision import Decision, Served
    from trimtab.serving.limits import TeamLimits, TeamMeter
    from trimtab.serving.plain_recorder import PlainRecorder
    from trimtab.serving.routing import RoutingTable

__all__ = ["express_lane"]

_STATUS_LINE: Final = STATUS_LINES[200]
_MICRO: Final = 1_000_000
_SECONDS: Final = 1e-9
_NOTHING: Final[dict[str, Any]] = {}
_NOTHING_BESIDE: Final[tuple[dict[str, Any], dict[str, str]]] = ({}, {})
_UNTRACED: Final = ("", "", "")
_UNIT: Final = b"x-trimtab-unit"
_OURS: Final = b"x-trimtab-"
"""How all headers begin that say more of a call than its body does."""
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode


class Application(ServingContext, Protocol):
    """What the short way needs of the gateway."""

    ways: Mapping[Format, Ways]
    limits: TeamLimits
    admit: Callable[[Request], Refusal | None]


def express_lane(app: Application, head: Request, format: Format) -> Lane | None:  # noqa: A002 - the field's word
    """Return what takes requests whose head is like this one's; `None` where that leaves something to be judged."""
    told = any(name.startswith(_OURS) and name != _UNIT for name in head.headers)
    return None if told or head.method != b"POST" else _Lane(app, head, app.ways[format]).take


class _Lane:
    """Takes the requests of one head: one caller's, as long as it says the same."""

    __slots__ = (
        "_admit",
        "_arms",
        "_context",
        "_forwarded",
        "_limits",
        "_messages",
        "_meter",
        "_table",
        "_ways",
        "_whole",
        "head",
        "team",
    )

    def __init__(self, app: Application, head: Request, ways: Ways) -> None:
        self._context: ServingContext = app
        self._ways = ways
        self._messages = ways.format == "messages"
        self._whole = ways.format == "embeddings"
        self._limits = app.limits
        self._admit = app.admit
        self._table: RoutingTable | None = None
        self._meter: TeamMeter | None = None
        self._arms: dict[Served | None, tuple[Way, PlainRecorder]] = {}
        self._forwarded = forwarded_headers(head.headers)
        self.head = msgspec.structs.replace(head, body=b"", refusal=None, principal="")
        self.team = ""

    def take(self, connection: Line, body: bytes, varied: Mapping[bytes, bytes]) -> bool:  # noqa: C901, PLR0911, PLR0912, PLR0915 - a Python call less
        """Send what was asked, and return `True`; or do nothing at all, and return `False`."""
        context = self._context
        table = context.plane.table
        if table is None or (table is not self._table and not self._follow(table)):
            return False
        try:
            sent = _decode(body)
            if _UNIT in varied:
                unit = varied[_UNIT].decode()
            elif self._messages:
                unit = sent.get("metadata", _NOTHING).get("user_id", "")
            else:
                unit = sent.get("user", "")
                if unit == "":
                    unit = sent.get("safety_identifier", "")
            stream = sent.get("stream", False)
            if not unit.isascii() or len(unit) > MAX_UNIT_CHARACTERS:
                return False
            beside = read_beside(sent) if "trimtab" in sent else None
            decision = table.decide(sent["model"], unit)
            arm = self._arms.get(decision.served) or self._arm(decision)
            if arm is None or (stream is not False and (stream is not True or self._whole)):
                return False
            way, recorder = arm
            prompt = way.prompt if beside is None else decision.release.render(beside[0])
            if prompt is None:
                return False
            request = way.build(prompt, sent)
            payload = _encode(request)
            messages = way.messages(request) if way.captured else NO_MESSAGES
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
        if trace := varied.get(b"traceparent", b""):
            forwarded = b"%btraceparent: 00-%b-%b-%b\r\n" % (
                forwarded,
                trace[3:35],
                id_[-16:].encode(),
                trace[53:55],
            )
        data = b"%b%bcontent-length: %d\r\n\r\n%b" % (way.head, forwarded, len(payload), payload)
        call = _Call(
            way,
            upstream,
            decision,
            data,
            messages,
            id_,
            at_ms,
            started_ns,
            now,
            ticket,
            self,
            connection,
            recorder,
            sent,
            beside or _NOTHING_BESIDE,
            meter,
            varied,
            trace,
        )
        connection.exchange = call
        client.send_on(upstream, data, call)
        if stream:
            call.prolong()  # what is short is the way to the upstream
        return True

    def begun(self, call: _Call) -> Prolonged[Exchange]:
        """Return what the layers would have made of a call by now."""
        head, trace, sent = self.head, call.trace, call.sent
        headers = {**head.headers, **call.varied}
        request = Request(head.method, head.target, headers, head.path, principal=self.team)
        caller = Caller(
            sent,
            call.decision.feature,
            call.decision.unit,
            call.beside[0],
            sent.get("stream", False),
            *_parts(trace),
            attributes=call.beside[1],
        )
        exchange = Exchange(call.connection, request)
        found = call.model_call(self._context, exchange, caller, self._ways.format, call.meter)
        call.connection.exchange = exchange
        return found

    def _follow(self, table: RoutingTable) -> bool:
        """A new snapshot: the key may have been revoked, or have another team. Returns whether it is admitted."""
        if self._admit(self.head) is not None:
            return False
        self.team = self.head.principal
        self._meter = self._limits.find(self.team)
        self._arms.clear()
        self._table = table
        return True

    def _arm(self, decision: Decision) -> tuple[Way, PlainRecorder] | None:
        """Return the way of a decision and what records its answers for this team; `None` where there is none."""
        way = self._ways.find(decision)
        if way is None:
            return None
        recorder = way.recorder
        if self.team:
            recorder = self._context.plane.plain_recorder(decision, team=self.team, format=self._ways.format)
        found = self._arms[decision.served] = way, recorder
        return found


class _Call(ShortCall[Exchange]):
    """One call on the short way: what answers the caller, and what hears its upstream."""

    __slots__ = (
        "beside",
        "connection",
        "lane",
        "meter",
        "on_pause",
        "on_resume",
        "recorder",
        "sent",
        "started",
        "trace",
        "varied",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - as above
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
        lane: _Lane,
        connection: Line,
        recorder: PlainRecorder,
        sent: dict[str, Any],
        beside: tuple[dict[str, Any], dict[str, str]],
        meter: TeamMeter | None,
        varied: Mapping[bytes, bytes],
        trace: bytes,
    ) -> None:
        """`beside`: variables and attributes; `varied`: headers of its own."""
        super().__init__(way, upstream, decision, request_bytes, messages, id, at_ms, started_ns, sent_at, ticket)
        self.lane = lane
        self.connection = connection
        self.recorder = recorder
        self.sent = sent
        self.beside = beside
        self.meter = meter
        self.varied = varied
        self.trace = trace
        self.on_pause: Callable[[], None] | None = None
        self.on_resume: Callable[[], None] | None = None
        self.started = False

    def on_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer, where this is what mostly is answered."""
        try:
            found = self.read(status, headers, body, self.sent)
            if found is None:
                return
            answer, body = found
            # First: whoever has the answer finds its generation, even if this process is killed the moment after.
            trace, span, flags = _parts(self.trace) if self.trace else _UNTRACED
            cost_usd = self.recorder.record(
                self.id,
                self.at_ms,
                self.started_ns,
                self.decision.unit,
                answer,
                self.messages,
                *self.beside,
                trace,
                span,
                flags[-1:] in UNSAMPLED,
            )
            if self.meter is not None:
                self.meter.release(round(cost_usd * _MICRO))
        except Exception as error:  # noqa: BLE001 - a surface: the caller must hear something
            self.prolong().reader.break_off(error)
            return
        lines, generation = passed_headers(headers), self.id.encode()
        own = b"" if b"x-request-id: " in lines else b"x-request-id: %b\r\n" % generation
        self.connection.reply(
            b"%b%b%bx-trimtab-generation: %b\r\n%bcontent-length: %d\r\n\r\n"
            % (_STATUS_LINE, lines, self.way.stamp, generation, own, len(body))
            + body  # not formatted in: that copies it, and the buffer grows around it, once more
        )

    def in_layers(self) -> Prolonged[Exchange]:
        return self.lane.begun(self)

    # --- providers.http's Answering ---------------------------------------------------------------------------------

    @property
    def request(self) -> Request:
        return self.prolong().port.request

    def abort(self) -> None:
        self.prolong().port.abort()


def _parts(traceparent: bytes) -> tuple[str, str, str]:
    """Return trace, span and flags."""
    return traceparent[3:35].decode(), traceparent[36:52].decode(), traceparent[53:55].decode()
