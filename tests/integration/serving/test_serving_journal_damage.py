"""What damage on the disk costs: counted exactly, and no more than the frames it is in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core.ids import new_id
from trimtab.events import Generation, encode_event
from trimtab.serving.frames import HEADER_SIZE, parse_header
from trimtab.serving.journal import JournalWriter
from trimtab.serving.journal_folder import LOCK_FILE, segments
from trimtab.serving.journal_reader import JournalPosition, find, prune, read_journal

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_760_000_000_000
FRAMES, PER_FRAME = 20, 5


def written(folder: Path) -> list[Generation]:
    """A closed journal of about `FRAMES` frames, its events a second apart."""
    writer = JournalWriter(folder)
    events = []
    for index in range(FRAMES * PER_FRAME):
        at_ms = NOW_MS + index * 1000
        event = Generation(id=new_id("gen", at_ms), at_ms=at_ms, feature="f", environment="e", release="r")
        events.append(event)
        writer.append(encode_event(event), at_ms)
        if index % PER_FRAME == PER_FRAME - 1:
            writer.flush(5)
    writer.close()
    return events


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, list[Generation]]:
    folder = tmp_path_factory.mktemp("journal") / "p"
    events = written(folder)
    return folder, segments(folder)[0].read_bytes(), events


def bounds(data: bytes) -> list[int]:
    found, position = [], 0
    while (header := parse_header(data[position : position + HEADER_SIZE])) is not None:
        found.append(position)
        position += HEADER_SIZE + header.payload_length
    return [*found, position]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_one_flipped_bit_costs_one_frame_and_is_counted_exactly(
    journal: tuple[Path, bytes, list[Generation]], data: st.DataObject
) -> None:
    folder, sound, events = journal
    place = data.draw(st.integers(0, len(sound) - 1))
    damaged = bytearray(sound)
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    segments(folder)[0].write_bytes(damaged)
    result = read_journal(folder, JournalPosition())
    kept = {event.id for event in result.events}
    assert [event for event in events if event.id in kept] == result.events
    assert result.damaged == 1
    edges = bounds(sound)
    frame = next(index for index in range(len(edges) - 1) if place < edges[index + 1])
    spans = [(edges[index], edges[index + 1]) for index in range(len(edges) - 1)]
    lost = len(events) - len(kept)
    header = parse_header(sound[spans[frame][0] : spans[frame][0] + HEADER_SIZE])
    assert header is not None
    assert lost == header.events
    assert result.missing == (0 if frame == len(spans) - 1 else lost)  # nothing after the last tells what it held
    probe = data.draw(st.sampled_from(events))
    if probe.id in kept:
        assert find(folder.parent, probe.id) == [probe]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_a_closed_journal_cut_anywhere_is_read_to_its_last_whole_frame(
    journal: tuple[Path, bytes, list[Generation]], cut: int
) -> None:
    folder, sound, events = journal
    cut = min(cut, len(sound))
    segments(folder)[0].write_bytes(sound[:cut])
    result = read_journal(folder, JournalPosition())
    assert result.events == events[: len(result.events)]
    assert result.damaged == (0 if cut in bounds(sound) else 1)
    assert read_journal(folder, result.position).events == []


def test_a_frame_half_written_by_a_live_process_is_waited_for(tmp_path: Path) -> None:
    events = written(tmp_path / "p")
    path = segments(tmp_path / "p")[0]
    sound = path.read_bytes()
    (tmp_path / "p" / "hot.buffer").touch()  # it lives
    half = bounds(sound)[10] + HEADER_SIZE + 7
    path.write_bytes(sound[:half])
    before = read_journal(tmp_path / "p", JournalPosition())
    assert before.damaged == 0
    path.write_bytes(sound)
    after = read_journal(tmp_path / "p", before.position)
    assert before.events + after.events == events
    assert (after.damaged, after.missing) == (0, 0)


def test_only_journals_that_were_read_to_their_end_are_pruned(tmp_path: Path) -> None:
    written(tmp_path / "read")
    written(tmp_path / "unread")
    later_ms = int(time.time() * 1000) + 60_000
    position = read_journal(tmp_path / "read", JournalPosition()).position
    half_way = read_journal(tmp_path / "unread", JournalPosition(), limit=1).position
    assert prune(tmp_path, older_than_ms=later_ms, read={"read": position, "unread": half_way}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["unread"]


def test_a_process_being_born_is_neither_pruned_nor_kept_from_its_lock(tmp_path: Path) -> None:
    (tmp_path / "newborn").mkdir()
    assert prune(tmp_path, older_than_ms=int(time.time() * 1000) - 60_000) == 0
    assert not (tmp_path / "newborn" / LOCK_FILE).exists()


def test_a_journal_that_cannot_be_opened_for_salvage_can_still_be_searched(tmp_path: Path) -> None:
    events = written(tmp_path / "p")
    (tmp_path / "p" / "hot.buffer").write_bytes(b"")
    (tmp_path / "p" / LOCK_FILE).unlink()
    (tmp_path / "p" / LOCK_FILE).mkdir()  # what a folder without write permission answers, also for root
    assert find(tmp_path, events[7].id) == [events[7]]
    assert (tmp_path / "p" / "hot.buffer").exists()
