"""Delivers the messages of the outbox: at least once, each target by itself, never in the controller's way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.control.outbound import Letter, failure_of
from trimtab.control.under_way import UnderWay
from trimtab.rollout.outbox import KEEP_MS, claimed, delivered, failed

if TYPE_CHECKING:
    from trimtab.control.outbound import Correspondent
    from trimtab.core.clock import Clock
    from trimtab.rollout.outbox import Message
    from trimtab.rollout.ports import ControlStore

__all__ = ["Courier"]

_LOOKED_AT = 500
"""Messages, oldest first, among which each target's next is looked for."""
_PRUNE_MS = 3_600_000


class Courier:
    """Call :meth:`tick` every half second or so, inside one event loop; any number of processes may do so.

    One message at a time goes to each target, the oldest first: a target that hangs holds up nobody else, and one that
    works is told things in the order in which they happened.
    """

    def __init__(self, *, store: ControlStore, clock: Clock, correspondent: Correspondent) -> None:
        self._store = store
        self._clock = clock
        self._correspondent = correspondent
        self._under_way = UnderWay()
        self._pruned_ms: int | None = None

    def tick(self) -> list[str]:
        """Send what is due, without waiting for it; returns what went wrong since the last call, in words."""
        now_ms = self._clock.now_ms()
        for message in self._claim(now_ms):
            self._under_way.start(message.url_env, self._deliver(message))
        self._prune(now_ms)
        return self._under_way.take_lines()

    async def settle(self, timeout_seconds: float | None = None) -> list[str]:
        """Wait for what is under way, and no longer than that; returns what went wrong, in words."""
        return await self._under_way.settle(timeout_seconds)

    def _claim(self, now_ms: int) -> list[Message]:
        with self._store.read() as tx:
            if not self._next(tx.due_messages(now_ms=now_ms, limit=_LOOKED_AT)):
                return []
        with self._store.write() as tx:
            found = self._next(tx.due_messages(now_ms=now_ms, limit=_LOOKED_AT))
            taken = [claimed(message, now_ms=now_ms) for message in found]
            for message in taken:
                tx.save_message(message)
        return taken

    def _next(self, due: list[Message]) -> list[Message]:
        """Return the oldest message of each target to which none is under way."""
        oldest: dict[str, Message] = {}
        for message in due:
            if message.url_env not in self._under_way:
                oldest.setdefault(message.url_env, message)
        return list(oldest.values())[: self._under_way.room]

    async def _deliver(self, message: Message) -> None:
        letter = Letter(
            id=message.id, body=message.body, url_env=message.url_env, secret_env=message.secret_env or None
        )
        error = failure_of(await self._correspondent.send(letter))
        now_ms = self._clock.now_ms()
        settled = failed(message, error, now_ms=now_ms) if error else delivered(message, now_ms=now_ms)
        with self._store.write() as tx:
            tx.save_message(settled)
        if error:
            wait_seconds = (settled.due_at_ms - now_ms) / 1000
            wait = "given up" if settled.status == "given_up" else f"next try in {wait_seconds:.0f} s"
            self._under_way.tell(
                f"{message.url_env} was not told of `{message.event}`: {error}; {wait} ({message.rollout})"
            )

    def _prune(self, now_ms: int) -> None:
        """Drop what is long settled, now and then."""
        if self._pruned_ms is None or abs(now_ms - self._pruned_ms) >= _PRUNE_MS:
            with self._store.write() as tx:
                tx.drop_settled_messages(created_before_ms=now_ms - KEEP_MS)
            self._pruned_ms = now_ms
