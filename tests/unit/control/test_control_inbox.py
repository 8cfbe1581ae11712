"""Journals shipped to a controller: whoever dies or forgets whatever, each event is evidence exactly once."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trimtab.control.inbox import AllEvents, Inbox
from trimtab.core.errors import ConflictError, InputError
from trimtab.events import Exposure, encode_event
from trimtab.rollout.files import JournalEvents
from trimtab.serving.frames import encode_frame
from trimtab.serving.hot_buffer import RECORD_PREFIX
from trimtab.serving.journal_folder import append_frame, segment_path
from trimtab.serving.journal_reader import JournalPosition
from trimtab.serving.shipment import Shipment, Stretch, frames_in, read_stretch

if TYPE_CHECKING:
    from trimtab.rollout.ports import Cursor

CONSUMER = "test"
PROCESSES = ("gateway-1-a", "gateway-2-b")


def event(process: str, number: int) -> bytes:
    return encode_event(
        Exposure(
            id=f"{process}:{number}",
            at_ms=number,
            feature="f",
            environment="production",
            release="sha256:1",
            arm="stable",
            unit="u",
            process="p",
        )
    )


class Disk:
    """The journals of a machine, frame by frame."""

    def __init__(self, journals: Path) -> None:
        self.journals = journals
        self.sequence: dict[str, int] = {}
        self.segment: dict[str, int] = {}

    def write(self, process: str, events: int) -> None:
        folder = self.journals / process
        folder.mkdir(parents=True, exist_ok=True)
        first = self.sequence.get(process, 0)
        records = b"".join(
            RECORD_PREFIX.pack(len(body), 0) + body
            for body in (event(process, number) for number in range(first, first + events))
        )
        frame = encode_frame(records, events=events, first_sequence=first, span_ms=(first, first + events))
        append_frame(folder, self.segment.get(process, 0), frame)
        self.sequence[process] = first + events

    def roll(self, process: str) -> None:
        self.segment[process] = self.segment.get(process, 0) + 1


class Sender:
    """A relay, without HTTP."""

    def __init__(self, journals: Path) -> None:
        self.journals = journals
        self.positions: dict[str, JournalPosition] = {}

    def shipment(self, limit_bytes: int) -> Shipment:
        stretches = [
            stretch
            for process, position in self.positions.items()
            if (stretch := read_stretch(self.journals / process, position, limit_bytes=limit_bytes))
        ]
        ask = [folder.name for folder in self.journals.iterdir()] if self.journals.exists() else []
        return Shipment(machine="m", ask=ask, stretches=stretches)


class Exactness(RuleBasedStateMachine):
    """Relay, leader and store, any of which forgets what it may forget, at any moment."""

    @initialize(capacity=st.sampled_from([300, 100_000]))
    def begin(self, capacity: int) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.disk = Disk(self.folder / "journal")
        self.sender = Sender(self.disk.journals)
        self.capacity = capacity
        self.committed: dict[str, Cursor] = {}
        self.counted: list[str] = []
        self.late: list[Shipment] = []
        self.lead()

    def lead(self) -> None:
        self.inbox = Inbox(consumer=CONSUMER, is_local=lambda _: False, capacity_bytes=self.capacity)
        self.held = dict(self.committed)
        self.uncounted: list[str] = []
        self.inbox.read(list(self.held.values()), limit=0)

    @rule(process=st.sampled_from(PROCESSES), events=st.integers(1, 4))
    def record(self, process: str, events: int) -> None:
        self.disk.write(process, events)

    @rule(process=st.sampled_from(PROCESSES))
    def roll(self, process: str) -> None:
        self.disk.roll(process)

    @rule(limit_bytes=st.sampled_from([1, 10_000]), heard=st.booleans(), kept=st.booleans())
    def ship(self, *, limit_bytes: int, heard: bool, kept: bool) -> None:
        shipment = self.sender.shipment(limit_bytes)
        if kept:
            self.late.append(shipment)
        receipt = self.inbox.put(shipment)
        if heard:
            self.sender.positions.update(receipt.positions)

    @rule(data=st.data())
    def an_old_shipment_comes_once_more(self, data: st.DataObject) -> None:
        if self.late:
            self.inbox.put(data.draw(st.sampled_from(self.late)))

    @rule(limit=st.integers(1, 6), commits=st.booleans())
    def tick(self, *, limit: int, commits: bool) -> None:
        batch = self.inbox.read(list(self.held.values()), limit=limit)
        self.uncounted += [one.id for one in batch.events]
        self.held |= {cursor.process: cursor for cursor in batch.cursors}
        if commits:
            self.committed = dict(self.held)
            self.counted += self.uncounted
            self.uncounted = []

    @rule()
    def a_tick_fails(self) -> None:
        self.held = dict(self.committed)
        self.uncounted = []

    @rule()
    def another_node_leads(self) -> None:
        self.lead()

    @rule()
    def the_relay_restarts(self) -> None:
        self.sender = Sender(self.disk.journals)

    @invariant()
    def what_is_committed_counts_once_and_nothing_else(self) -> None:
        if hasattr(self, "committed"):
            done = [f"{name}:{n}" for name, cursor in self.committed.items() for n in range(cursor.sequence)]
            assert sorted(self.counted) == sorted(done)

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        for _ in range(400):  # and in the end everything counts
            self.ship(limit_bytes=10_000, heard=True, kept=False)
            self.tick(limit=100, commits=True)
            if sum(c.sequence for c in self.committed.values()) == sum(self.disk.sequence.values()):
                break
        assert sum(c.sequence for c in self.committed.values()) == sum(self.disk.sequence.values())
        self.what_is_committed_counts_once_and_nothing_else()
        shutil.rmtree(self.folder)


TestExactness = Exactness.TestCase
TestExactness.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "journal")


def leading(*, is_local: bool = False) -> Inbox:
    inbox = Inbox(consumer=CONSUMER, is_local=lambda _: is_local)
    inbox.read([], limit=1)
    return inbox


def stretch_of(disk: Disk, process: str = PROCESSES[0], after: JournalPosition | None = None) -> Stretch:
    found = read_stretch(disk.journals / process, after or JournalPosition(), limit_bytes=1 << 20)
    assert found is not None
    return found


def test_who_does_not_lead_takes_nothing_in(disk: Disk) -> None:
    disk.write(PROCESSES[0], 2)
    inbox = Inbox(consumer=CONSUMER, is_local=lambda _: False)
    shipment = Shipment(machine="m", stretches=[stretch_of(disk)])
    with pytest.raises(ConflictError, match="does not drive"):
        inbox.put(shipment)
    inbox.read([], limit=1)
    assert inbox.is_open
    assert inbox.put(shipment).positions[PROCESSES[0]].sequence == 2
    inbox.close()
    with pytest.raises(ConflictError, match="does not drive"):
        inbox.put(shipment)


@pytest.mark.parametrize("position", range(0, 90, 7))
def test_a_bit_that_flips_on_the_way_is_noticed_and_nothing_is_taken_in(disk: Disk, position: int) -> None:
    disk.write(PROCESSES[0], 2)
    sent = stretch_of(disk)
    flipped = bytearray(sent.frames)
    flipped[position] ^= 0x10
    inbox = leading()
    broken = Shipment(machine="m", stretches=[msgspec.structs.replace(sent, frames=bytes(flipped))])
    with pytest.raises(InputError, match="no sound frame"):
        inbox.put(broken)
    assert inbox.put(Shipment(machine="m", ask=[PROCESSES[0]])).positions == {PROCESSES[0]: JournalPosition()}


@pytest.mark.parametrize("name", ["", "..", "../../etc", "a/b", ".hidden", "a\x00b", "x" * 129])
def test_a_name_that_could_leave_the_folder_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no name of a process"):
        leading().put(Shipment(machine="m", ask=[name]))


@pytest.mark.parametrize(
    "changes", [{"offset": -1}, {"offset": 1 << 63}, {"segment": "../x"}, {"segment": "00000000.seg\n"}]
)
def test_a_place_that_no_journal_has_is_refused(disk: Disk, changes: dict[str, Any]) -> None:
    disk.write(PROCESSES[0], 2)
    sent = msgspec.structs.replace(stretch_of(disk), **changes)
    with pytest.raises(InputError, match="no place in a journal"):
        leading().put(Shipment(machine="m", stretches=[sent]))


@pytest.mark.parametrize(("first", "records"), [((1 << 63) - 1, b""), (0, b"\x00" * (65 * 1024 * 1024))])
def test_a_frame_that_no_process_writes_is_refused(disk: Disk, first: int, records: bytes) -> None:
    frame = encode_frame(records, events=1, first_sequence=first, span_ms=(0, 0))
    sent = Stretch(process=PROCESSES[0], after=JournalPosition(), segment="00000000.seg", offset=0, frames=frame)
    with pytest.raises(InputError, match="no process writes such a frame"):
        leading().put(Shipment(machine="m", stretches=[sent]))


def test_who_is_full_says_so_and_takes_the_same_later(disk: Disk) -> None:
    disk.write(PROCESSES[0], 2)
    inbox = Inbox(consumer=CONSUMER, is_local=lambda _: False, capacity_bytes=1)
    inbox.read([], limit=1)
    first = stretch_of(disk)
    receipt = inbox.put(Shipment(machine="m", stretches=[first]))  # one stretch always fits
    assert not receipt.full
    disk.write(PROCESSES[0], 2)
    second = Shipment(machine="m", stretches=[stretch_of(disk, after=receipt.positions[PROCESSES[0]])])
    refused = inbox.put(second)
    assert (refused.full, refused.positions) == (True, receipt.positions)
    batch = inbox.read([], limit=100)
    inbox.read(batch.cursors, limit=100)
    assert not inbox.put(second).full


def test_damage_on_the_disk_is_passed_and_told(disk: Disk) -> None:
    for _ in range(3):
        disk.write(PROCESSES[0], 2)
    path = segment_path(disk.journals / PROCESSES[0], 0)
    content = bytearray(path.read_bytes())
    second = len(stretch_of(disk).frames) // 3 + 60
    content[second] ^= 0xFF
    path.write_bytes(bytes(content))
    inbox, position = leading(), JournalPosition()
    for _ in range(2):
        receipt = inbox.put(Shipment(machine="m", stretches=[stretch_of(disk, after=position)]))
        position = receipt.positions[PROCESSES[0]]
    batch = inbox.read([], limit=100)
    assert [one.id for one in batch.events] == [f"{PROCESSES[0]}:{number}" for number in (0, 1, 4, 5)]
    assert inbox.take_damage() == [f"journal {PROCESSES[0]}: 1 damaged, 2 events lost to it"]
    assert batch.cursors[0].sequence == 6


def test_damage_at_the_end_of_a_dead_process_is_passed_too(disk: Disk) -> None:
    disk.write(PROCESSES[0], 2)
    folder = disk.journals / PROCESSES[0]
    path = segment_path(folder, 0)
    path.write_bytes(path.read_bytes() + b"TTJ1 and then nothing")
    inbox = leading()
    position = inbox.put(Shipment(machine="m", stretches=[stretch_of(disk)])).positions[PROCESSES[0]]
    tail = stretch_of(disk, after=position)
    assert (tail.frames, tail.damaged) == (b"", 1)
    inbox.put(Shipment(machine="m", stretches=[tail]))
    batch = inbox.read([], limit=100)
    (cursor,) = batch.cursors
    assert (cursor.segment, cursor.offset, cursor.sequence) == (path.name, path.stat().st_size, 2)
    assert read_stretch(folder, JournalPosition(path.name, cursor.offset, 2), limit_bytes=1) is None
    assert inbox.read(batch.cursors, limit=100).cursors == []


def test_what_is_on_this_machine_is_read_here_and_not_taken_in(disk: Disk) -> None:
    disk.write(PROCESSES[0], 2)
    receipt = leading(is_local=True).put(Shipment(machine="m", stretches=[stretch_of(disk)]))
    assert receipt.local == [PROCESSES[0]]
    assert receipt.positions == {PROCESSES[0]: JournalPosition()}


def test_what_was_shipped_and_what_is_here_are_both_read(disk: Disk, tmp_path: Path) -> None:
    here = Disk(tmp_path / "here")
    here.write("sdk-9-c", 3)
    disk.write(PROCESSES[0], 2)
    inbox = leading()
    inbox.put(Shipment(machine="m", stretches=[stretch_of(disk)]))
    both = AllEvents(JournalEvents(here.journals, consumer=CONSUMER), inbox)
    batch = both.read([], limit=1)
    assert sorted(cursor.process for cursor in batch.cursors) == [PROCESSES[0], "sdk-9-c"]
    assert len(batch.events) == 5
    assert not both.read(batch.cursors, limit=1).events


def test_a_journal_that_a_leader_read_on_its_own_disk_is_shipped_on_from_there(disk: Disk) -> None:
    """The node that led serves traffic itself; another leads now, and the relay beside the first ships what is new."""
    disk.write(PROCESSES[0], 3)
    cursors = JournalEvents(disk.journals, consumer=CONSUMER).read([], limit=100).cursors
    disk.write(PROCESSES[0], 2)
    inbox = leading()
    inbox.read(cursors, limit=1)
    at = inbox.put(Shipment(machine="node-1", ask=[PROCESSES[0]])).positions[PROCESSES[0]]
    inbox.put(Shipment(machine="node-1", stretches=[stretch_of(disk, after=at)]))
    batch = inbox.read(cursors, limit=100)
    assert [one.id for one in batch.events] == [f"{PROCESSES[0]}:{number}" for number in (3, 4)]
    back = JournalEvents(disk.journals, consumer=CONSUMER).read(batch.cursors, limit=100)
    assert (back.events, back.cursors) == ([], [])  # and when the first leads again it has nothing to read


def test_frames_are_shipped_as_they_stand(disk: Disk) -> None:
    disk.write(PROCESSES[0], 2)
    disk.write(PROCESSES[0], 1)
    stretch = stretch_of(disk)
    assert stretch.frames == segment_path(disk.journals / PROCESSES[0], 0).read_bytes()
    first, second = frames_in(stretch)
    assert (first.end.sequence, second.end.sequence) == (2, 3)
    assert second.end.offset == len(stretch.frames)
