"""Events that other machines ship to the controller: kept in memory until they are evidence, never longer.

Nothing here is durable, and nothing needs to be. Machines keep their journals until the cursors that the controller
commits with its evidence are past them; whatever this node forgets (it was killed, it lost the lease, a tick failed) is
asked for again, from those cursors. So no event counts twice or not at all, however often anybody dies.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import ConflictError
from trimtab.rollout.ports import Cursor, EventBatch
from trimtab.serving.frames import payload_records
from trimtab.serving.journal_reader import JournalPosition, append_decoded
from trimtab.serving.shipment import Receipt, ShippedFrame, check_process, frames_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trimtab.events import Event
    from trimtab.rollout.ports import EventSource
    from trimtab.serving.shipment import Shipment, Stretch

__all__ = ["AllEvents", "Inbox"]

_CAPACITY_BYTES = 64 * 1024 * 1024
"""Compressed, of all machines together: some 100,000 events with a few kilobytes of text each."""


class _Queue(msgspec.Struct):
    """What of one process is not evidence yet."""

    begin: JournalPosition
    """Before the first frame here."""
    frames: deque[ShippedFrame]

    @property
    def end(self) -> JournalPosition:
        """After the last one."""
        return self.frames[-1].end if self.frames else self.begin


class Inbox:
    """Takes shipments in while this node's controller leads. Thread-safe."""

    def __init__(
        self, *, consumer: str, is_local: Callable[[str], bool], capacity_bytes: int = _CAPACITY_BYTES
    ) -> None:
        """`is_local` says whether a process's journal is on this machine, where the controller reads it itself."""
        self._consumer = consumer
        self._is_local = is_local
        self._capacity_bytes = capacity_bytes
        self._lock = threading.Lock()
        self._open = False
        self._bytes = 0
        self._queues: dict[str, _Queue] = {}
        self._cursors: dict[str, JournalPosition] = {}
        self._damage: list[str] = []

    @property
    def is_open(self) -> bool:
        """Whether this node's controller leads."""
        return self._open

    def close(self) -> None:
        """Take nothing more in, and forget everything: somebody else leads now, or nobody."""
        with self._lock:
            self._open = False
            self._bytes = 0
            self._queues = {}
            self._cursors = {}

    def put(self, shipment: Shipment) -> Receipt:
        """Take in what is due of a shipment, as far as there is room.

        Raises `ConflictError` (`not_leading`) where this node's controller does not lead, `InputError` for what is no
        shipment: nothing of it is then taken in.
        """
        names = {*shipment.ask, *(stretch.process for stretch in shipment.stretches)}
        for name in names:
            check_process(name)
        opened = [(stretch, frames_in(stretch)) for stretch in shipment.stretches]  # checksums: outside of the lock
        with self._lock:
            if not self._open:
                raise ConflictError("not_leading", "this node does not drive rollouts", hint="ask the one that does")
            roomy = [self._take(stretch, frames) for stretch, frames in opened]
            return Receipt(
                positions={name: self._position(name) for name in sorted(names)},
                local=sorted(filter(self._is_local, names)),
                full=not all(roomy),
            )

    def read(self, cursors: Sequence[Cursor], *, limit: int) -> EventBatch:
        """Return events after the cursors, about `limit` at most: an `EventSource` whose reader leads."""
        at = {one.process: JournalPosition(one.segment, one.offset, one.sequence) for one in cursors}
        with self._lock:
            self._open = True
            self._cursors = at
            waiting = {name: self._waiting(name, at.get(name, JournalPosition())) for name in sorted(self._queues)}
        events: list[Event] = []
        moved: list[Cursor] = []
        for name, frames in waiting.items():
            position = at.get(name, JournalPosition())
            for frame in frames:
                if len(events) >= limit:
                    break
                self._decode(name, frame, events, sequence=position.sequence)
                position = frame.end
            if frames:
                moved.append(
                    Cursor(
                        consumer=self._consumer,
                        process=name,
                        segment=position.segment,
                        offset=position.offset,
                        sequence=position.sequence,
                    )
                )
            if len(events) >= limit:
                break
        return EventBatch(events, moved, more=len(events) >= limit)

    def take_damage(self) -> list[str]:
        """Return what was found damaged since the last call, for people."""
        with self._lock:
            found, self._damage = self._damage, []
        return found

    def _position(self, name: str) -> JournalPosition:
        queue = self._queues.get(name)
        return self._cursors.get(name, JournalPosition()) if queue is None else queue.end

    def _take(self, stretch: Stretch, frames: list[ShippedFrame]) -> bool:
        """Take a stretch in, if it is due; returns whether there was room."""
        name = stretch.process
        size = sum(len(frame.payload) for frame in frames)
        if stretch.after != self._position(name) or self._is_local(name):
            return True  # it came twice, or another node was told what this one was not
        if self._bytes and self._bytes + size > self._capacity_bytes:
            return False
        if stretch.damaged:
            missing = max(0, frames[0].header.first_sequence - stretch.after.sequence)
            self._damage.append(f"journal {name}: {stretch.damaged} damaged, {missing} events lost to it")
        queue = self._queues.setdefault(name, _Queue(stretch.after, deque()))
        queue.frames.extend(frames)
        self._bytes += size
        return True

    def _waiting(self, name: str, cursor: JournalPosition) -> list[ShippedFrame]:
        """Return the frames after a cursor, dropping those before it: they are evidence.

        A cursor before all of them means that a tick failed after some were dropped: then they are asked for again.
        """
        queue = self._queues[name]
        while queue.frames and _place(queue.frames[0].end) <= _place(cursor):
            done = queue.frames.popleft()
            queue.begin = done.end
            self._bytes -= len(done.payload)
        if not queue.frames or _place(queue.begin) > _place(cursor):
            self._bytes -= sum(len(frame.payload) for frame in queue.frames)
            del self._queues[name]
            return []
        return list(queue.frames)

    def _decode(self, name: str, frame: ShippedFrame, events: list[Event], *, sequence: int) -> None:
        if not frame.header.events:
            return
        records = payload_records(frame.header, frame.payload)
        if records is None:
            undecoded = frame.header.events
        else:
            first = frame.header.first_sequence
            undecoded = sum(not append_decoded(events, record) for record in records[max(0, sequence - first) :])
        if undecoded:
            with self._lock:
                self._damage.append(f"journal {name}: {undecoded} events that cannot be read")


def _place(position: JournalPosition) -> tuple[int, str, int]:
    """What orders the positions in one journal."""
    return position.sequence, position.segment, position.offset


class AllEvents:
    """An `EventSource` over the journals of this machine and those that others ship: neither can starve the other."""

    def __init__(self, local: EventSource, shipped: Inbox) -> None:
        self._local = local
        self._shipped = shipped

    def read(self, cursors: Sequence[Cursor], *, limit: int) -> EventBatch:
        """Return new events of both, about twice `limit` at most."""
        here, there = self._local.read(cursors, limit=limit), self._shipped.read(cursors, limit=limit)
        return EventBatch(here.events + there.events, here.cursors + there.cursors, more=here.more or there.more)
