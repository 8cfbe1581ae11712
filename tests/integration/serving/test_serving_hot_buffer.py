"""The hot buffer under the moments at which a process or a machine can die."""

from __future__ import annotations

import mmap
import os
import resource
import signal
import struct
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import StorageError
from trimtab.core.ids import new_id
from trimtab.events import Generation, encode_event
from trimtab.serving.hot_buffer import HotBuffer, read_hot, records_of
from trimtab.serving.journal import JournalWriter
from trimtab.serving.journal_folder import segments
from trimtab.serving.journal_reader import JournalPosition, find, read_journal, salvage

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_760_000_000_000
PAGE = 4096
COMMITTED = (64, 128)
"""Offsets of the committed lengths of the two halves."""

APPEND = textwrap.dedent("""
    import sys
    from pathlib import Path
    from trimtab.serving.hot_buffer import HotBuffer
    hot = HotBuffer(Path(sys.argv[1]), half_bytes=16 * 1024 * 1024)
    print("made", flush=True)
    while hot.append(b"x" * 20, 1_760_000_000_000):
        pass
""")


def generation(at_ms: int = NOW_MS, *, output: str = "text") -> Generation:
    return Generation(id=new_id("gen", at_ms), at_ms=at_ms, feature="f", environment="e", release="r", output=output)


def held(path: Path) -> list[bytes]:
    return [bytes(record) for half in read_hot(path) for record in records_of(half.records)]


def test_at_no_moment_does_the_file_say_that_less_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "hot"
    with subprocess.Popen([sys.executable, "-c", APPEND, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        seen, looks = 0, 0
        with path.open("rb") as file, mmap.mmap(file.fileno(), PAGE, access=mmap.ACCESS_READ) as page:
            words = memoryview(page).cast("Q")
            while child.poll() is None:
                for _ in range(50_000):
                    now = words[COMMITTED[0] // 8]
                    if now < seen:
                        pytest.fail(f"{seen} bytes were committed, then {now}")
                    seen = now
                    looks += 1
            words.release()
    assert child.returncode == 0
    assert seen > 15 * 1024 * 1024
    assert looks > 100_000


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=30), st.data())
def test_what_was_appended_is_read_back_over_any_swaps(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("hot") / "hot"
    hot = HotBuffer(path, half_bytes=8192)
    written: list[bytes] = []
    for record in records:
        assert hot.append(record, NOW_MS)
        if data.draw(st.booleans()) and (half := hot.swap()) is not None and data.draw(st.booleans()):
            written += [bytes(each) for each in records_of(half.records)]
            del half
            hot.done()
    hot.close()
    assert written + held(path) == records


def test_records_left_by_an_earlier_turn_are_never_taken_for_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "hot"
    hot = HotBuffer(path, half_bytes=8192)
    for turn in range(2):
        for index in range(10):
            hot.append(b"old %d %d" % (turn, index), NOW_MS)
        assert hot.swap() is not None
        hot.done()
    hot.append(b"new", NOW_MS)
    hot.close()
    with path.open("r+b") as file:  # a power cut: the page that says how much came back, those with the records not
        file.seek(COMMITTED[0])
        file.write(struct.pack("Q", 8192))
    assert held(path) == [b"new"]


@pytest.mark.parametrize("lost", range(0, 8192, 512))
def test_of_pages_that_did_not_come_back_no_record_is_made_up(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "hot"
    hot = HotBuffer(path, half_bytes=8192)
    records = [os.urandom(100) for _ in range(70)]
    for record in records:
        hot.append(record, NOW_MS)
    hot.close()
    data = bytearray(path.read_bytes())
    data[PAGE + lost : PAGE + lost + 512] = bytes(512)
    path.write_bytes(data)
    kept = held(path)
    assert kept == records[: len(kept)]
    assert len(kept) == min(70, lost // 108)


@pytest.mark.parametrize("size", [0, 1, PAGE, PAGE + 10])
def test_a_file_that_was_never_finished_holds_nothing(tmp_path: Path, size: int) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "hot.buffer").write_bytes(bytes(size))
    assert salvage(tmp_path) == ["p"]
    assert not (tmp_path / "p" / "hot.buffer").exists()


def test_a_buffer_of_another_version_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    foreign = b"TTHOT\x00\x00\x09" + bytes(9000)
    (tmp_path / "p" / "hot.buffer").write_bytes(foreign)
    events = abandoned(tmp_path / "q", 1)
    assert salvage(tmp_path) == ["q"]
    assert find(tmp_path, events[0].id) == events
    assert (tmp_path / "p" / "hot.buffer").read_bytes() == foreign


def test_a_buffer_that_finds_no_space_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageError) as caught:
            JournalWriter(tmp_path / "p")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert caught.value.code == "journal_unavailable"
    assert "8 MiB" in (caught.value.hint or "")
    assert not (tmp_path / "p" / "hot.buffer").exists()


def abandoned(folder: Path, count: int) -> list[Generation]:
    """A journal whose owner was killed with everything in the buffer."""
    folder.mkdir(parents=True)
    hot = HotBuffer(folder / "hot.buffer")
    events = [generation(NOW_MS + index, output=os.urandom(500).hex()) for index in range(count)]
    for event in events:
        hot.append(encode_event(event), event.at_ms)
    hot.close()
    return events


def test_a_salvage_that_finds_a_full_disk_keeps_everything_and_hinders_nobody(tmp_path: Path) -> None:
    events = abandoned(tmp_path / "a", 50)
    others = abandoned(tmp_path / "b", 1)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        assert salvage(tmp_path) == ["b"]
        assert find(tmp_path, events[20].id) == [events[20]]
        assert find(tmp_path, others[0].id) == others
        assert read_journal(tmp_path / "a", JournalPosition()).events == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert salvage(tmp_path) == ["a"]
    assert read_journal(tmp_path / "a", JournalPosition()).events == events


def test_a_salvage_killed_before_it_removed_the_buffer_writes_nothing_twice(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    events = abandoned(folder, 20)
    hot = (folder / "hot.buffer").read_bytes()
    assert salvage(tmp_path) == ["p"]
    size = segments(folder)[0].stat().st_size
    (folder / "hot.buffer").write_bytes(hot)
    assert salvage(tmp_path) == ["p"]
    assert segments(folder)[0].stat().st_size == size
    assert read_journal(folder, JournalPosition()).events == events


def test_a_generation_is_found_before_it_is_flushed(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "p")
    with writer._flush_lock:  # a disk that hangs
        event = generation()
        writer.append(encode_event(event), event.at_ms)
        assert segments(tmp_path / "p") == []
        assert find(tmp_path, event.id) == [event]
    writer.close()
    assert find(tmp_path, event.id) == [event]


def test_a_forked_child_of_a_busy_parent_is_refused_and_never_hangs(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "p")
    event = generation()
    with writer._append_lock, writer._flush_lock:  # other threads hold both at the moment of the fork
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            taken = writer.append(encode_event(event), event.at_ms)
            writer.close()
            os._exit(1 if taken else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert writer.append(encode_event(event), event.at_ms)
    writer.close()
    assert read_journal(tmp_path / "p", JournalPosition()).events == [event]
