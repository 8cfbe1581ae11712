"""Reading every journal of a machine from the newest event on."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

from trimtab.core.ids import new_id
from trimtab.events import Generation, decode_event, encode_event
from trimtab.serving.journal import JournalWriter
from trimtab.serving.journal_backwards import read_backwards
from trimtab.serving.journal_folder import segments

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_760_000_000_000


def write(folder: Path, times: range, *, segment_bytes: int = 1 << 20, flush_every: int = 50) -> None:
    writer = JournalWriter(folder, segment_bytes=segment_bytes)
    for index, at_ms in enumerate(times):
        event = Generation(id=new_id("gen", at_ms), at_ms=at_ms, feature="f", environment="e", release="sha256:0")
        assert writer.append(encode_event(event), at_ms)
        if index % flush_every == 0:
            writer.flush(5)
    writer.close()


def times(journals: Path, since_ms: int = 0, until_ms: int = 2 * NOW_MS, writers: str = "") -> list[int]:
    records = read_backwards(journals, since_ms=since_ms, until_ms=until_ms, writers=writers)
    return [decode_event(record).at_ms for record in records]


def test_one_process_is_read_exactly_from_its_last_event_to_its_first(tmp_path: Path) -> None:
    write(tmp_path / "gateway-1", range(NOW_MS, NOW_MS + 1000), segment_bytes=4096)
    assert len(segments(tmp_path / "gateway-1")) > 2
    found = times(tmp_path)
    assert found == sorted(range(NOW_MS, NOW_MS + 1000), reverse=True)


def test_of_several_processes_every_event_is_found_and_those_of_prefix_alone_where_asked(tmp_path: Path) -> None:
    write(tmp_path / "gateway-1", range(NOW_MS, NOW_MS + 300))
    write(tmp_path / "controller-1", range(NOW_MS + 300, NOW_MS + 400))
    assert sorted(times(tmp_path)) == list(range(NOW_MS, NOW_MS + 400))
    assert sorted(times(tmp_path, writers="controller-")) == list(range(NOW_MS + 300, NOW_MS + 400))


def test_what_a_live_process_holds_in_its_buffer_is_found_too(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "gateway-1")
    event = Generation(id=new_id("gen", NOW_MS), at_ms=NOW_MS, feature="f", environment="e", release="sha256:0")
    writer.append(encode_event(event), NOW_MS)
    assert NOW_MS in times(tmp_path)
    writer.close()
    assert times(tmp_path) == [NOW_MS]


def test_frames_outside_the_time_asked_for_are_left_out_and_none_inside_it(tmp_path: Path) -> None:
    write(tmp_path / "gateway-1", range(NOW_MS, NOW_MS + 1000))
    found = times(tmp_path, NOW_MS + 400, NOW_MS + 500)
    assert set(range(NOW_MS + 400, NOW_MS + 501)) <= set(found)
    assert len(found) < 400  # whole frames, and only those that meet the span
    assert all(later > earlier for later, earlier in pairwise(found))


def test_a_segment_last_written_before_the_time_asked_for_is_not_opened(tmp_path: Path) -> None:
    write(tmp_path / "gateway-1", range(NOW_MS, NOW_MS + 10))
    (path,) = segments(tmp_path / "gateway-1")
    path.chmod(0)
    os.utime(path, ns=(NOW_MS * 1_000_000, NOW_MS * 1_000_000))
    path.unlink()
    path.mkdir()  # opening it as a file would raise
    os.utime(path, ns=(NOW_MS * 1_000_000, NOW_MS * 1_000_000))
    assert times(tmp_path, NOW_MS + 3_600_000) == []


def test_a_damaged_frame_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "gateway-1", range(NOW_MS, NOW_MS + 200), flush_every=20)
    (path,) = segments(tmp_path / "gateway-1")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    found = times(tmp_path)
    assert 100 < len(found) < 200
    assert NOW_MS in found
    assert NOW_MS + 199 in found
