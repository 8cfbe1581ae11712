"""The short way of a managed call whose caller waits in its own thread: it sends and reads there, and wakes no loop.

What is usual ends here. Whatever else comes of the request (a failure, an answer to be judged, a caller that is
interrupted) is told to the event loop, where the call goes on as if it had been sent from there (`sdk.short_chat`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from trimtab.calls.short import good_answer
from trimtab.core.ids import new_id
from trimtab.providers.http.upstream import UpstreamConnection
from trimtab.sdk.managed_answer import chat_answer
from trimtab.sdk.short_chat import ShortChat, write_request

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from trimtab.calls.caller import Caller
    from trimtab.calls.way import Way
    from trimtab.providers.http.threads import Heard
    from trimtab.sdk.managed import AsyncCalls
    from trimtab.sdk.managed_answer import Answered, ChatAnswer
    from trimtab.serving.decision import Decision

__all__ = ["ThreadChat", "send_here"]

_SECONDS: Final = 1e-9
_FINAL: Final = frozenset({"upstream_timeout", "upstream_closed"})
"""Failures of ours, not of the connection's."""


class ThreadChat:
    """One call that was sent from the caller's thread."""

    __slots__ = (
        "_at_ms",
        "_caller",
        "_calls",
        "_data",
        "_heard",
        "_messages",
        "_sent_at",
        "_started_ns",
        "_ticket",
        "_way",
        "answer",
        "decision",
        "id",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - positional: one is made for each call
        self,
        calls: AsyncCalls,
        way: Way,
        decision: Decision,
        caller: Caller,
        data: bytes,
        messages: list[dict[str, Any]],
        started_ns: int,
        sent_at: float,
        ticket: int,
    ) -> None:
        self._calls = calls
        self._way = way
        self.decision = decision
        self._caller = caller
        self._data = data
        self._messages = messages
        self._at_ms = calls.clock.now_ms()
        self.id = new_id("gen", self._at_ms)
        self._started_ns = started_ns
        self._sent_at = sent_at
        self._ticket = ticket
        self._heard: Heard | None = None
        self.answer: ChatAnswer | None = None
        """Recorded; `None` where the loop has to judge what came (`go_on`)."""

    def send(self, connection: UpstreamConnection) -> None:
        """Send, and wait for what comes of it; raises nothing but interrupts."""
        heard = self._heard = self._way.client.threads.ask(
            connection, self._data, most_bytes=self._way.most_bytes, began=self._sent_at
        )
        if heard.error is None and not self._way.breaker.probing:
            self._finish(heard)

    def go_on(self, answered: asyncio.Future[Answered]) -> ShortChat:
        """Go on from what came, on the event loop; the answer goes to `answered`."""
        call, heard = self._on_loop(answered), self._heard
        if heard is None:
            raise RuntimeError("nothing came")
        call.upstream.active = heard.active
        if heard.error is None:
            call.on_whole(heard.status, heard.headers, heard.body)
        elif heard.error.code in _FINAL:
            call.fail(heard.error)
        else:
            call.on_lost(heard.error, stale=heard.stale)
        return call

    def give_up(self, answered: asyncio.Future[Answered]) -> None:
        """Note, on the event loop, that nobody waits any more."""
        self._on_loop(answered).abort()

    def _finish(self, heard: Heard) -> None:
        """Record and keep an answer that leaves nothing to judge."""
        way, caller, decision = self._way, self._caller, self.decision
        try:
            found = good_answer(way, heard.status, heard.body, caller.body)
        except Exception:  # noqa: BLE001 - found again, and said, in the layers
            return
        if found is None:
            return
        way.breaker.succeeded(self._ticket)
        way.budget.deposit()
        said = found[0]
        way.recorder.record(
            self.id,
            self._at_ms,
            self._started_ns,
            decision.unit,
            said,
            self._messages,
            caller.variables,
            caller.attributes,
        )
        self.answer = chat_answer(said, decision, self.id, found[1])

    def _on_loop(self, answered: asyncio.Future[Answered]) -> ShortChat:
        return ShortChat(
            self._way,
            UpstreamConnection(self._way.client.threads),  # not connected: what there was to hear was heard
            self.decision,
            self._data,
            self._messages,
            self.id,
            self._at_ms,
            self._started_ns,
            self._sent_at,
            self._ticket,
            self._calls,
            self._caller,
            answered,
        )


def send_here(
    calls: AsyncCalls, decision: Decision, caller: Caller, interrupted: Callable[[ThreadChat], None]
) -> ThreadChat | None:
    """Send a call from this thread, and return it once it is known what comes of it; or do nothing, return `None`.

    `interrupted` is told of a call that was broken off by what is no matter of calls, such as a KeyboardInterrupt.
    """
    way = calls.ways.known(decision)
    written = None if way is None else write_request(way, decision, caller)
    if way is None or written is None:
        return None
    started_ns, now = calls.clock.monotonic_ns(), time.monotonic()
    ticket = way.breaker.still_steady(started_ns * _SECONDS)
    connection = way.client.threads.take(now) if ticket else None
    if connection is None:
        return None
    call = ThreadChat(calls, way, decision, caller, written[0], written[1], started_ns, now, ticket)
    try:
        call.send(connection)
    except BaseException:
        interrupted(call)
        raise
    return call
