"""Up: what this machine's processes record goes to the node that drives rollouts, as it stands in their journals."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import StorageError
from trimtab.relay.link import NodesAwayError
from trimtab.serving.journal_folder import HOT_FILE, process_folders, segments
from trimtab.serving.journal_reader import JournalPosition, salvage
from trimtab.serving.shipment import Receipt, Shipment, Stretch, read_stretch

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.relay.link import Link

__all__ = ["JudgedByNodes", "Shipper"]

_SHIPMENT_BYTES = 2 * 1024 * 1024
_IDLE_SECONDS = 0.1
_FULL_SECONDS = 1.0
_ASK_SECONDS = 1.0
"""How often the receiver is asked where it stands: it may have forgotten what it took in."""
_REST_SECONDS = 5.0
"""How often it is looked whether a process whose journal was shipped to its end wrote more after all."""
_CONFLICT = 409
_OK = 200

_receipts = msgspec.json.Decoder(Receipt)
_Size = tuple[str, int]


class _Journal(msgspec.Struct):
    """What is known of one process's journal."""

    position: JournalPosition | None = None
    """Where the receiver stands; `None` before it said so."""
    judged: JournalPosition = JournalPosition()
    fruitless: tuple[JournalPosition, _Size] | None = None
    """Where nothing new was found, and how long the journal was then."""
    rests_until: float = 0.0


class Shipper:
    """Ships the journals of a machine. One thread calls :meth:`turn`; :meth:`judged` is for all."""

    def __init__(self, link: Link, journals: Path, machine: str) -> None:
        self._link = link
        self._journals = journals
        self._machine = machine
        self._known: dict[str, _Journal] = {}
        self._judged: dict[str, JournalPosition] = {}
        self._asked_at = -_ASK_SECONDS
        self.shipped_at = 0.0
        """When a receiver last answered, in seconds of the monotonic clock."""

    @property
    def server(self) -> str:
        """The node that journals are shipped to."""
        return self._link.server

    def judged(self) -> dict[str, JournalPosition]:
        """Return how far journals are committed evidence, as far as is known."""
        return self._judged

    def backlog_bytes(self) -> int:
        """Return how much of segments no receiver has taken in, as far as is known. For any thread."""
        now, known = time.monotonic(), self._known
        journals = ((folder, known.get(folder.name, _Journal())) for folder in process_folders(self._journals))
        return sum(
            _bytes_after(folder, one.position or JournalPosition())
            for folder, one in journals
            if one.rests_until <= now
        )

    def turn(self) -> float:
        """Ship what is new, up to a bound; returns how many seconds the next turn may wait.

        Raises as `Link.call`, and `OSError`.
        """
        now = time.monotonic()
        asks = now - self._asked_at >= _ASK_SECONDS
        if asks:
            salvage(self._journals)
            self._look()
        stretches = self._read(now)
        ask = sorted(self._known) if asks else [name for name, one in self._known.items() if one.position is None]
        if not stretches and not ask:
            return _IDLE_SECONDS
        receipt = self._send(Shipment(machine=self._machine, ask=ask, stretches=stretches))
        self.shipped_at = time.monotonic()
        self._heed(receipt)
        if asks:
            self._asked_at = now
        if receipt.full:
            return _FULL_SECONDS
        return 0.0 if any(receipt.positions.get(one.process) != one.after for one in stretches) else _IDLE_SECONDS

    def _look(self) -> None:
        """See which processes there are."""
        names = [folder.name for folder in process_folders(self._journals)]
        self._known = {name: self._known.get(name, _Journal()) for name in names}

    def _read(self, now: float) -> list[Stretch]:
        stretches: list[Stretch] = []
        room = _SHIPMENT_BYTES
        for name, journal in self._known.items():
            if journal.position is None or journal.rests_until > now:
                continue
            stretch = self._next(self._journals / name, journal, now, limit_bytes=room)
            if stretch is not None:
                stretches.append(stretch)
                room -= len(stretch.frames)
                if room <= 0:
                    break
        return stretches

    def _next(self, folder: Path, journal: _Journal, now: float, *, limit_bytes: int) -> Stretch | None:
        position = journal.position
        assert position is not None  # noqa: S101 - the caller looked
        try:
            size = _size(folder)
            if journal.fruitless == (position, size):
                return None
            stretch = read_stretch(folder, position, limit_bytes=limit_bytes)
        except FileNotFoundError:
            return None  # pruned meanwhile
        if stretch is None:
            journal.fruitless = (position, size)
            if not (folder / HOT_FILE).exists() and journal.judged.sequence >= position.sequence:
                journal.rests_until = now + _REST_SECONDS
        return stretch

    def _send(self, shipment: Shipment) -> Receipt:
        answer = self._link.call(
            "POST", "/api/v1/journals", msgspec.msgpack.encode(shipment), **{"content-type": "application/msgpack"}
        )
        if answer.status == _OK:
            return _receipts.decode(answer.body)
        where, said = self.server, answer.error
        if answer.status == _CONFLICT and said.get("code") == "not_leading":
            self._link.lead_to(said.get("param") or "")
            raise NodesAwayError("not_leading", f"{where} does not drive rollouts", param=where)
        raise StorageError(
            str(said.get("code") or "shipment_refused"),
            f"{where} refuses a shipment: {said.get('message') or answer.status}",
            param=where,
            hint="is it of another version of Trimtab?",
        )

    def _heed(self, receipt: Receipt) -> None:
        for name, position in receipt.positions.items():
            journal = self._known.get(name)
            if journal is not None:
                journal.position = position
        for name, position in receipt.judged.items():
            if name in self._known:
                self._known[name].judged = position
        for name in receipt.local:  # the receiver is on this machine and reads it itself
            if name in self._known:
                self._known[name].rests_until = time.monotonic() + _REST_SECONDS
        self._judged = {name: one.judged for name, one in self._known.items()}


class JudgedByNodes:
    """A `bootstrap.evidence.Judged` that knows what nodes told a shipper."""

    def __init__(self, shipper: Shipper) -> None:
        self._shipper = shipper

    def read(self) -> dict[str, JournalPosition]:
        """See `Judged`."""
        return dict(self._shipper.judged())

    def close(self) -> None:
        """Nothing is held."""


def _size(folder: Path) -> _Size:
    """Return the name and length of the newest segment: both only grow."""
    paths = segments(folder)
    return (paths[-1].name, paths[-1].stat().st_size) if paths else ("", 0)


def _bytes_after(folder: Path, position: JournalPosition) -> int:
    try:
        sizes = {path.name: path.stat().st_size for path in segments(folder)}
    except FileNotFoundError:
        return 0
    later = sum(size for name, size in sizes.items() if name > position.segment)
    return later + max(0, sizes.get(position.segment, 0) - position.offset)
