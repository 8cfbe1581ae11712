from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from trimtab.core.errors import StorageError
from trimtab.core.ids import new_id
from trimtab.events import Feedback, Generation, Score, encode_event
from trimtab.serving.journal import JournalWriter
from trimtab.serving.journal_folder import segments
from trimtab.serving.journal_reader import JournalPosition, find, prune, read_journal, salvage

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_760_000_000_000


def generation(at_ms: int = NOW_MS, *, output: str = "text") -> Generation:
    return Generation(
        id=new_id("gen", at_ms), at_ms=at_ms, feature="f", environment="production", release="sha256:0", output=output
    )


def append(writer: JournalWriter, event: Generation) -> None:
    assert writer.append(encode_event(event), event.at_ms)


def written(folder: Path, count: int) -> list[str]:
    writer = JournalWriter(folder)
    events = [generation(NOW_MS + index) for index in range(count)]
    for event in events:
        append(writer, event)
        if random.random() < 0.01:
            writer.flush(5)
    writer.close()
    return [event.id for event in events]


def ids(folder: Path) -> list[str]:
    found, position = [], JournalPosition()
    while events := (result := read_journal(folder, position)).events:
        found += [event.id for event in events]
        position = result.position
    return found


def test_what_is_appended_is_read_in_order(tmp_path: Path) -> None:
    expected = written(tmp_path / "gateway-1", 2000)
    assert ids(tmp_path / "gateway-1") == expected


def test_a_data_directory_that_a_journal_is_the_first_in_is_its_owners_alone(tmp_path: Path) -> None:
    """What lies there quotes people; a usual umask would let everybody read it."""
    before = os.umask(0o022)
    try:
        JournalWriter(tmp_path / "data/journal/p").close()
    finally:
        os.umask(before)
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "p")
    position, seen = JournalPosition(), []
    expected = []
    for round_number in range(5):
        for index in range(50):
            event = generation(NOW_MS + round_number * 100 + index)
            expected.append(event.id)
            append(writer, event)
        writer.flush(5)
        result = read_journal(tmp_path / "p", position)
        seen += [event.id for event in result.events]
        position = result.position
    writer.close()
    assert seen == expected
    assert read_journal(tmp_path / "p", position).events == []


def test_segments_roll_and_nothing_is_lost(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "p", segment_bytes=20_000)
    expected = []
    for index in range(300):
        event = generation(NOW_MS + index, output=random.randbytes(200).hex())
        expected.append(event.id)
        append(writer, event)
        if index % 20 == 0:
            writer.flush(5)
    writer.close()
    assert len(segments(tmp_path / "p")) > 2
    assert ids(tmp_path / "p") == expected


RECORD_FOREVER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from trimtab.core.ids import new_id
    from trimtab.events import Generation, encode_event
    from trimtab.serving.journal import JournalWriter
    writer = JournalWriter(Path(sys.argv[1]))
    out = open(1, "wb", buffering=0)
    now = 1_760_000_000_000
    while True:
        now += 1
        event = Generation(id=new_id("gen", now), at_ms=now, feature="f", environment="e", release="r", output="x")
        if writer.append(encode_event(event), now):
            out.write(event.id.encode() + b"\\n")
""")


@pytest.mark.parametrize("attempt", range(20))
def test_kill_9_loses_nothing_that_was_recorded(tmp_path: Path, attempt: int) -> None:
    folder = tmp_path / "p"
    with (tmp_path / "told").open("wb") as told:
        child = subprocess.Popen([sys.executable, "-c", RECORD_FOREVER, str(folder)], stdout=told)
        while not (tmp_path / "told").stat().st_size:
            time.sleep(0.005)
        time.sleep(random.Random(attempt).uniform(0.0, 0.2))
        assert salvage(tmp_path) == []  # a live process is never touched
        child.send_signal(signal.SIGKILL)
        child.wait()
    recorded = [line for line in (tmp_path / "told").read_text().splitlines() if len(line) == 36]
    assert salvage(tmp_path) == ["p"]
    assert salvage(tmp_path) == []
    found = ids(folder)
    assert len(set(found)) == len(found)
    assert found[: len(recorded)] == recorded
    assert len(found) <= len(recorded) + 1  # the one that was recorded but not yet told


def test_a_salvage_that_is_repeated_doubles_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    writer = JournalWriter(folder)
    expected = []
    for index in range(10):
        event = generation(NOW_MS + index)
        expected.append(event.id)
        append(writer, event)
    hot = (folder / "hot.buffer").read_bytes()
    writer.close()
    (folder / "hot.buffer").write_bytes(hot)  # killed after the frame was fsynced, before the buffer was emptied
    assert salvage(tmp_path) == ["p"]
    assert ids(folder) == expected
    assert [event.id for event in find(tmp_path, expected[3])] == [expected[3]]


def test_a_torn_tail_is_cut_and_its_events_come_from_the_buffer(tmp_path: Path) -> None:
    expected = written(tmp_path / "p", 500)
    path = segments(tmp_path / "p")[-1]
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(whole[: len(whole) // 3])
        file.truncate(len(whole) + 30)
    (tmp_path / "p" / "hot.buffer").write_bytes(bytes(8192))
    salvage(tmp_path)
    assert path.read_bytes() == whole
    assert ids(tmp_path / "p") == expected


@pytest.mark.parametrize("seed", range(10))
def test_a_bit_flip_costs_its_frame_and_is_counted(tmp_path: Path, seed: int) -> None:
    folder = tmp_path / "p"
    writer = JournalWriter(folder)
    expected = []
    for index in range(200):
        event = generation(NOW_MS + index)
        expected.append(event.id)
        append(writer, event)
        if index % 10 == 9:
            writer.flush(5)
    writer.close()
    path = segments(folder)[0]
    data = bytearray(path.read_bytes())
    place = random.Random(seed).randrange(len(data) // 4, len(data) // 2)
    data[place] ^= 0x10
    path.write_bytes(data)
    result = read_journal(folder, JournalPosition())
    found = [event.id for event in result.events]
    assert result.damaged >= 1
    assert len(found) >= 180
    assert found == [identifier for identifier in expected if identifier in set(found)]


def test_a_generation_is_found_with_all_that_was_said_of_it(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "gateway-1")
    wanted = generation()
    for event in (generation(NOW_MS - 5000), wanted, generation(NOW_MS + 5000)):
        append(writer, event)
        writer.flush(5)
    writer.close()
    other = JournalWriter(tmp_path / "controller-1")
    about = {"feature": "f", "environment": "production", "generation": wanted.id}
    score = Score(id=new_id("sco", NOW_MS + 9_000), at_ms=NOW_MS + 9_000, name="json", value=1.0, **about)
    thumb = Feedback(id=new_id("fbk", NOW_MS + 99_000), at_ms=NOW_MS + 99_000, name="thumb", value=1.0, **about)
    other.append(encode_event(score), wanted.at_ms)
    other.append(encode_event(thumb), wanted.at_ms)
    other.close()
    assert find(tmp_path, wanted.id) == [wanted, score, thumb]


FULL_DISK = textwrap.dedent("""
    import resource, signal, sys
    from pathlib import Path
    from trimtab.core.errors import StorageError
    from trimtab.core.ids import new_id
    from trimtab.events import Generation, encode_event
    from trimtab.serving.journal import JournalWriter
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    writer = JournalWriter(Path(sys.argv[1]), half_bytes=65536)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    taken, now, refused = [], 1_760_000_000_000, 0
    import random
    for index in range(3000):
        event = Generation(id=new_id("gen", now), at_ms=now, feature="f", environment="e", release="r",
                           output=random.randbytes(100).hex())
        if writer.append(encode_event(event), now):
            taken.append(event.id)
        else:
            refused += 1
    try:
        writer.flush(2)
        sys.exit("flush did not fail")
    except StorageError as error:
        assert error.code == "journal_write_failed", error
    assert refused and writer.counters.dropped == refused and writer.counters.problem
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.flush(5)
    assert not writer.counters.problem
    writer.close()
    print(*taken)
""")


def test_a_full_disk_is_told_counted_and_recovered_from(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "p")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert ids(tmp_path / "p") == done.stdout.split()


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "p")
    with pytest.raises(StorageError, match="cannot be made"):
        JournalWriter(tmp_path / "p")
    writer.close()


def test_old_journals_of_dead_processes_are_pruned_and_live_ones_are_not(tmp_path: Path) -> None:
    written(tmp_path / "dead", 10)
    live = JournalWriter(tmp_path / "live")
    append(live, generation())
    live.flush(5)
    later_ms = int(time.time() * 1000) + 60_000
    assert prune(tmp_path, older_than_ms=NOW_MS) == 0
    assert prune(tmp_path, older_than_ms=later_ms) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["live"]
    live.close()


def test_a_process_killed_while_it_made_its_buffer_is_salvaged(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "hot.buffer").touch()
    assert salvage(tmp_path) == ["p"]
    assert ids(tmp_path / "p") == []


def test_an_event_of_a_newer_trimtab_is_passed_over_and_counted(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "p")
    before, after = generation(), generation(NOW_MS + 1)
    append(writer, before)
    writer.append(b"\x81\xa1k\xa6future", NOW_MS)
    append(writer, after)
    writer.close()
    result = read_journal(tmp_path / "p", JournalPosition())
    assert [event.id for event in result.events] == [before.id, after.id]
    assert result.damaged == 1
    assert result.position.sequence == 3


def test_a_clock_that_jumps_forth_and_back_costs_nothing(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "p")
    year_ms = 365 * 24 * 3_600_000
    events = [generation(NOW_MS + jump) for jump in (0, year_ms, 5, -year_ms, 10, -3_600_000, 11)]
    for number, event in enumerate(events):
        append(writer, event)
        if number % 2:
            writer.flush(5)
    writer.close()
    assert ids(tmp_path / "p") == [event.id for event in events]
    for event in events:
        assert find(tmp_path, event.id) == [event]


def test_flush_waits_for_the_disk(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "p")
    append(writer, generation())
    writer.flush(5)
    assert writer.counters.durable == 1
    assert segments(tmp_path / "p")[0].stat().st_size > 0
    writer.close()


def test_a_forked_child_does_not_keep_its_dead_parents_journal_from_being_salvaged(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import os, sys, time
        from pathlib import Path
        from trimtab.core.ids import new_id
        from trimtab.events import Generation, encode_event
        from trimtab.serving.journal import JournalWriter
        writer = JournalWriter(Path(sys.argv[1]))
        event = Generation(id=new_id("gen", 1), at_ms=1, feature="f", environment="e", release="r")
        writer.append(encode_event(event), 1)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, b"here")  # the child runs: what it does after a fork is done
            time.sleep(30)
            os._exit(0)
        os.read(reading, 4)
        print(child, flush=True)
        os.kill(os.getpid(), 9)
    """)
    with (tmp_path / "child").open("wb") as told:
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "p")], stdout=told, timeout=20)
    child = int((tmp_path / "child").read_text())
    try:
        assert done.returncode == -signal.SIGKILL
        assert salvage(tmp_path) == ["p"]
        assert len(ids(tmp_path / "p")) == 1
    finally:
        os.kill(child, signal.SIGKILL)
