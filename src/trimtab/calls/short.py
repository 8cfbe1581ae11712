"""The short way of a usual call: the release's own model answers, at the first request, whole.

What a call goes through in the layers (`ModelCall` and below) is looked up here once for each arm, and passed by. Only
what needs no judging is taken; a call that meets anything but a good whole answer goes on in the layers as if it had
begun there (`ShortCall.prolong`). The gateway and the SDK each have one: `gateway.express`, `sdk.short_chat`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from trimtab.calls.call import ModelCall
from trimtab.calls.formats.native import ChatTranslation
from trimtab.calls.reader import AnswerReader
from trimtab.calls.stamp import fixed_stamp
from trimtab.calls.way import Way
from trimtab.core.errors import TrimtabError, UpstreamError
from trimtab.providers.openai import read_completion
from trimtab.serving.generation import Answer, GenerationRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.calls.caller import Caller
    from trimtab.calls.formats import Format
    from trimtab.calls.plan import Plans
    from trimtab.calls.ports import CallContext, CallerPort
    from trimtab.providers.http import UpstreamCall
    from trimtab.providers.http.upstream import UpstreamConnection
    from trimtab.serving.decision import Decision, Served
    from trimtab.serving.limits import TeamMeter
    from trimtab.serving.routing import RoutingTable
    from trimtab.serving.runtime import DataPlane

__all__ = ["Prolonged", "ShortCall", "Ways"]

_OK: Final = 200
_encode: Final = msgspec.json.Encoder().encode
PortT = TypeVar("PortT", bound="CallerPort")


class Ways:
    """The short ways of callers of one format, in the snapshot in force."""

    def __init__(self, plans: Plans, plane: DataPlane, format: Format, *, most_bytes: int) -> None:  # noqa: A002 - the field's word
        """`most_bytes`: of an answer; a longer one is given up by the layers."""
        self._plans = plans
        self._plane = plane
        self._most_bytes = most_bytes
        self._table: RoutingTable | None = None
        self._ways: dict[Served, Way | None] = {}
        self.format: Format = format

    def find(self, decision: Decision) -> Way | None:
        """Return the way of a decision; `None` where there is no short one."""
        table, served = self._plane.table, decision.served
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

    def _make(self, decision: Decision) -> Way | None:
        try:
            plan = self._plans.find(decision.release, self.format)
        except TrimtabError:
            return None  # found again, and said, by each call
        target, translation = plan.target, plan.target.translation
        if target.fallback or decision.mirror is not None:
            return None
        chat = translation if type(translation) is ChatTranslation else None
        plain = chat is not None and not chat.adapts
        return Way(
            plan,
            target.client,
            target.guard.breaker,
            target.guard.budget,
            translation.request,
            target.client.head_of(translation.path, target.headers),
            None if chat else translation.recorded,
            decision.capture_content,
            None if plain else translation.read,
            self._most_bytes,
            self._plane.plain_recorder(decision, team="", format=self.format),
            fixed_stamp(decision),
            _prompt(decision, as_json=chat is not None and not decision.capture_content),
        )


def _prompt(decision: Decision, *, as_json: bool) -> Sequence[Any] | None:
    try:
        prompt = decision.release.render({})
    except TrimtabError:
        return None
    return [msgspec.Raw(_encode(message)) for message in prompt] if as_json else [*prompt]


class Prolonged(NamedTuple, Generic[PortT]):
    """A call of the short way, as the layers have it."""

    port: PortT
    call: UpstreamCall
    reader: AnswerReader


class ShortCall(Generic[PortT]):
    """One call on the short way: what hears its upstream, and hands on what it says to the layers if it must."""

    __slots__ = (
        "at_ms",
        "decision",
        "id",
        "messages",
        "prolonged",
        "request_bytes",
        "sent_at",
        "started_ns",
        "ticket",
        "upstream",
        "way",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - positional: one is made for each request
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
    ) -> None:
        self.way = way
        self.upstream = upstream
        self.decision = decision
        self.request_bytes = request_bytes
        self.messages = messages
        self.id = id
        self.at_ms = at_ms
        self.started_ns = started_ns
        self.sent_at = sent_at
        self.ticket = ticket
        self.prolonged: Prolonged[PortT] | None = None

    # --- what the surface does ----------------------------------------------------------------------------------

    def in_layers(self) -> Prolonged[PortT]:
        """Return what the layers would have made of the call by now."""
        raise NotImplementedError

    def on_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer, where this is what mostly is answered (`read`)."""
        raise NotImplementedError

    # --- what is usual ------------------------------------------------------------------------------------------

    def read(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, sent: Mapping[str, Any]
    ) -> tuple[Answer, bytes] | None:
        """Return a good answer, and what the caller gets of it; `None` where the layers have taken it.

        `sent`: what the caller asked.
        """
        way = self.way
        if status == _OK and len(body) <= way.most_bytes:
            try:
                found = (read_completion(body), body) if way.read is None else way.read(body, sent)
            except UpstreamError:
                pass  # read again, and said, in the layers
            else:
                way.client.forget(self)
                way.breaker.succeeded(self.ticket)
                way.budget.deposit()
                return found
        self.prolong().call.on_whole(status, headers, body)
        return None

    # --- what is unusual: Listener, Sink, providers.http's ShortCall ------------------------------------------------

    def prolong(self) -> Prolonged[PortT]:
        """Go on in the layers, from here on."""
        if self.prolonged is None:
            self.prolonged = self.in_layers()
        return self.prolonged

    def model_call(
        self,
        context: CallContext,
        port: PortT,
        caller: Caller,
        format: Format,  # noqa: A002 - the field's word
        budget: TeamMeter | None = None,
    ) -> Prolonged[PortT]:
        """Make the layers' call of this one; `budget`: under what it was admitted."""
        decision, way = self.decision, self.way
        release, price, arm = decision.release, decision.price, decision.arm
        record = GenerationRecord(decision, context.clock, release, price, arm, self.at_ms, self.id, self.started_ns)
        model_call = ModelCall(context, port, caller, decision, format, record)
        model_call.budget = budget
        translation = way.plan.target.translation
        stream = translation.stream(caller.body) if caller.stream else None
        reader = AnswerReader(model_call, translation, caller.body, way.most_bytes, stream)
        longer = reader.call = way.client.prolong(self, self.upstream, self.request_bytes, reader, self.sent_at)
        model_call.go_on(reader, plan=way.plan, ticket=self.ticket, messages=self.messages)
        return Prolonged(port, longer, reader)

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
