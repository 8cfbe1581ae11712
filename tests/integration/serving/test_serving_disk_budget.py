"""What gives way where journals run out of disk: old journals, then content, then events; never what was recorded."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab import Trimtab
from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.errors import StorageError
from trimtab.core.ids import new_id
from trimtab.events import Event, Feedback, Generation, Withdrawal, encode_event
from trimtab.releases.model import CompiledRelease
from trimtab.serving.directory import DataDirectory
from trimtab.serving.disk_budget import DiskBudget, JournalLimits, Shortage, bytes_used
from trimtab.serving.generation import Answer
from trimtab.serving.journal import JournalWriter
from trimtab.serving.journal_folder import segments
from trimtab.serving.journal_reader import JournalPosition, read_journal, salvage
from trimtab.serving.process_status import read_processes
from trimtab.serving.runtime import DataPlane
from trimtab.serving.salvage import prune, reclaim, retire
from trimtab.serving.snapshot import Route, Snapshot
from trimtab.serving.snapshot_file import publish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW_MS = 1_760_000_000_000
ROOMY = JournalLimits(min_free_bytes=0)
MESSAGES = [{"role": "user", "content": "what was asked"}]


def generation(at_ms: int = NOW_MS, **fields: Any) -> Generation:
    about = {"feature": "f", "environment": "production", "release": "sha256:1", "output": "said", "messages": MESSAGES}
    return Generation(id=new_id("gen", at_ms), at_ms=at_ms, **about | fields)


def events_in(folder: Path) -> list[Event]:
    found, position = [], JournalPosition()
    while (result := read_journal(folder, position)).events:
        assert result.damaged == 0
        found += result.events
        position = result.position
    return found


class Clock:
    """Monotonic seconds that stand still."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def filled(journals: Path, size: int) -> None:
    (journals / "other").mkdir(parents=True, exist_ok=True)
    (journals / "other" / "00000000.seg").write_bytes(bytes(size))


@pytest.mark.parametrize(
    ("used", "code", "refuses"),
    [(77_000, "", False), (82_000, "journal_full", False), (102_400, "journal_full", True)],
)
def test_content_gives_way_before_events_do(tmp_path: Path, used: int, code: str, *, refuses: bool) -> None:
    filled(tmp_path, used)
    found = DiskBudget(tmp_path, JournalLimits(max_bytes=100_000, min_free_bytes=0)).shortage()
    assert (found.code, found.refuses) == (code, refuses) if found else not code


def test_a_disk_that_others_fill_is_noticed_too(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    low = DiskBudget(tmp_path, JournalLimits(min_free_bytes=2 * free)).shortage()
    assert low is not None
    assert (low.code, low.refuses) == ("disk_low", False)
    none = DiskBudget(tmp_path, JournalLimits(min_free_bytes=100 * free)).shortage()
    assert none is not None
    assert none.refuses


def test_what_a_process_writes_counts_at_once_and_what_others_write_at_the_next_look(tmp_path: Path) -> None:
    clock = Clock()
    budget = DiskBudget(tmp_path, JournalLimits(max_bytes=100_000, min_free_bytes=0), monotonic=clock)
    assert budget.shortage() is None
    budget.wrote(85_000)
    assert budget.shortage() is not None
    clock.now += 1.5
    assert budget.shortage() is None  # looked again: it is not there
    filled(tmp_path, 85_000)
    assert budget.shortage() is None
    clock.now += 1.5
    assert budget.shortage() is not None


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    directory = DataDirectory(tmp_path / ".trimtab")
    prompt = PromptContent(messages=[PromptMessage(role="system", content="hi")], variables={"type": "object"})
    release = CompiledRelease(
        digest="sha256:1", feature="f", number=1, prompt=prompt, model=ModelContent(provider="openai", model="m")
    )
    publish(
        directory.snapshot("production"),
        Snapshot(
            revision=1,
            environment="production",
            published_at_ms=0,
            routes=[Route(feature="f", stable="sha256:1")],
            releases={"sha256:1": release},
        ),
    )
    return directory


@contextlib.contextmanager
def opened(directory: DataDirectory, limits: JournalLimits) -> Iterator[DataPlane]:
    plane = DataPlane.open(directory, environment="production", kind="test", journal=limits)
    try:
        yield plane
    finally:
        plane.close()


def test_near_the_budget_events_say_that_their_content_was_dropped_and_why(directory: DataDirectory) -> None:
    filled(directory.journals, 900_000)
    with opened(directory, JournalLimits(max_bytes=11_000_000, min_free_bytes=0)) as plane:
        assert plane.record(generation())
        recorder = plane.plain_recorder(plane.decide("f", "ada"), team="")
        recorder.record(new_id("gen", NOW_MS), NOW_MS, 0, "ada", Answer(output="said"), MESSAGES)
        about = {"feature": "f", "environment": "production", "generation": "gen_" + "0" * 32, "name": "thumb"}
        plane.record(Feedback(id=new_id("fbk", NOW_MS), at_ms=NOW_MS, value=1.0, comment="too long", **about))
        plane.record(Feedback(id=new_id("fbk", NOW_MS), at_ms=NOW_MS, value=0.0, **about))
        plane.flush()
        first, second, commented, bare = events_in(directory.journals / plane.process_id)
        for event in (first, second):
            assert isinstance(event, Generation)
            assert (event.output, event.messages, event.content_dropped) == ("", [], "journal_full")
        assert isinstance(commented, Feedback)
        assert (commented.value, commented.comment, commented.content_dropped) == (1.0, "", "journal_full")
        assert isinstance(bare, Feedback)
        assert not bare.content_dropped  # it had none to lose
        told = plane.health()
        assert (told["without_content"], told["dropped"]) == (3, 0)
        assert "journal.max_bytes): new events are written without content" in told["journal_shortage"]
    (status,) = read_processes(directory.processes, environment="production", now_ms=0)
    assert status.without_content == 3
    assert "journal.max_bytes" in status.problem


def test_at_the_budget_events_are_dropped_and_counted_and_a_withdrawal_is_still_written(
    directory: DataDirectory,
) -> None:
    filled(directory.journals, 900_000)
    with opened(directory, JournalLimits(max_bytes=1_000_000, min_free_bytes=0)) as plane:
        assert not plane.record(generation())
        withdrawal = Withdrawal(
            id=new_id("wdr", NOW_MS), at_ms=NOW_MS, feature="f", environment="production", rollout="ro_1"
        )
        assert plane.record(withdrawal)
        plane.flush()
        (kept,) = events_in(directory.journals / plane.process_id)
        assert isinstance(kept, Withdrawal)
        assert plane.health()["dropped"] == 1
        assert "new events are dropped" in plane.health()["journal_shortage"]


def test_a_disk_without_a_floor_is_used_to_its_last_byte(tmp_path: Path) -> None:
    budget = DiskBudget(tmp_path, JournalLimits(max_bytes=1 << 62, min_free_bytes=0), monotonic=Clock())
    assert budget.shortage() is None
    budget.wrote(1 << 60)  # more than was free when it looked: others gave some back
    assert budget.shortage() is None


def test_what_was_dropped_is_never_acknowledged(directory: DataDirectory) -> None:
    filled(directory.journals, 900_000)
    with Trimtab(directory.root, journal=JournalLimits(max_bytes=1_000_000, min_free_bytes=0)) as tt:
        tt.record(tt.resolve("f", unit="ada"), output="said")
        with pytest.raises(StorageError, match="were not taken") as caught:
            tt.flush()
        assert caught.value.code == "events_dropped"
        assert "journal.max_bytes" in (caught.value.hint or "")
        tt.flush()  # nothing was recorded since


def test_what_content_holds_does_not_matter_where_it_is_dropped(directory: DataDirectory) -> None:
    class NoTruth:
        def __bool__(self) -> bool:
            raise ValueError

    filled(directory.journals, 900_000)
    with opened(directory, JournalLimits(max_bytes=11_000_000, min_free_bytes=0)) as plane:
        assert plane.record(generation(output=NoTruth(), variables={1: NoTruth()}))
        plane.flush()
        (kept,) = events_in(directory.journals / plane.process_id)
        assert isinstance(kept, Generation)
        assert (kept.output, kept.variables, kept.content_dropped) == ("", {}, "journal_full")


def test_while_the_disk_takes_nothing_the_buffer_is_kept_for_facts(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "p", limits=ROOMY)
    data = encode_event(generation())
    writer.append(data, NOW_MS)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))  # Python ignores SIGXFSZ: writes fail with EFBIG
    try:
        for _ in range(200):
            if writer.shortage is not None:
                break
            writer._flusher.join(0.05)
        assert writer.shortage == Shortage("write_failed", "journals cannot be written: File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.flush(5)
    writer.close()
    assert len(events_in(tmp_path / "p")) == 1


def test_while_the_disk_hangs_the_buffer_is_kept_for_facts(directory: DataDirectory) -> None:
    said = "x" * 20_000
    with opened(directory, ROOMY) as plane:
        writer = plane._journal
        with writer._flush_lock:  # as a write holds it
            assert plane.record(generation(output=said))
            writer._hot.swap()
            while writer.shortage is None:
                assert plane.record(generation(output=said))
            assert writer.shortage.code == "disk_slow"
            for _ in range(1000):
                assert plane.record(generation(output=said))
        plane.flush()
        kept = [event for event in events_in(directory.journals / plane.process_id) if isinstance(event, Generation)]
        without = [event for event in kept if event.content_dropped == "disk_slow"]
        assert len(without) == 1000
        assert {event.output for event in without} == {""}
        assert {event.output for event in kept if not event.content_dropped} == {said}
        for _ in range(200):
            if writer.shortage is None:
                break
            writer._flusher.join(0.05)
        assert writer.shortage is None
        assert plane.health()["dropped"] == 0


def test_a_segment_is_closed_after_its_time_so_that_a_quiet_process_can_be_cleaned_up(tmp_path: Path) -> None:
    clock = Clock()
    writer = JournalWriter(tmp_path / "p", limits=msgspec.structs.replace(ROOMY, segment_seconds=600), monotonic=clock)
    first = generation()
    writer.append(encode_event(first), NOW_MS)
    writer.flush(5)
    position = read_journal(tmp_path / "p", JournalPosition()).position
    assert retire(tmp_path, older_than_ms=1 << 50, read={"p": position}) == 0  # its owner still writes to it
    clock.now += 601
    while len(segments(tmp_path / "p")) == 1:
        writer._flusher.join(0.02)
    clock.now += 6010
    later = read_journal(tmp_path / "p", position)
    assert later.events == []
    assert retire(tmp_path, older_than_ms=1 << 50, read={"p": later.position}) == 1
    assert b"said" not in (tmp_path / "p" / "hot.buffer").read_bytes()
    second = generation(NOW_MS + 1)
    writer.append(encode_event(second), NOW_MS + 1)
    writer.close()
    assert [path.name for path in segments(tmp_path / "p")] == ["00000001.seg"]
    assert read_journal(tmp_path / "p", later.position).events == [second]
    assert salvage(tmp_path) == []


def test_for_room_the_oldest_journals_that_are_in_files_go_and_no_others(tmp_path: Path) -> None:
    read = {}
    for name in ("a", "b", "unread"):
        writer = JournalWriter(tmp_path / name, segment_bytes=1, limits=ROOMY)
        for index in range(4):
            writer.append(encode_event(generation(NOW_MS + index)), NOW_MS)
            writer.flush(5)
        writer.close()
        read[name] = read_journal(tmp_path / name, JournalPosition()).position
        for index, path in enumerate(segments(tmp_path / name)):
            os.utime(path, (index, index))
    del read["unread"]
    assert reclaim(tmp_path, size=1, read=read) > 0
    assert [len(segments(tmp_path / name)) for name in ("a", "b", "unread")] == [3, 4, 4]
    reclaim(tmp_path, size=1 << 30, read=read)
    assert [len(segments(tmp_path / name)) for name in ("a", "b", "unread")] == [1, 1, 4]
    prune(tmp_path, older_than_ms=1 << 50, read=read)
    assert [path.name for path in tmp_path.iterdir()] == ["unread"]
    assert 0 < bytes_used(tmp_path) < 100_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "trimtab-test", str(place)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root can mount a small file system here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_on_a_disk_that_runs_full_nothing_acknowledged_is_lost_and_control_state_finds_room(small_disk: Path) -> None:
    directory = DataDirectory(small_disk)
    seeded = random.Random(7)
    taken: dict[str, int] = {}
    with opened(directory, JournalLimits(min_free_bytes=8 * 1024**2)) as plane:
        for number in range(3_000):
            event = generation(NOW_MS + number, output=seeded.randbytes(5_000).hex())
            if plane.record(event):
                taken[event.id] = number
            if number % 50 == 0:
                plane.flush()
        plane.flush()
        health = plane.health()
        assert (health["journal_problem"], health["dropped"]) == ("", 0)
        assert 0 < health["without_content"] < 3_000
        (small_disk / "control.db").write_bytes(bytes(3 * 1024**2))
        while "events are dropped" not in plane.health()["journal_shortage"]:
            with (small_disk / "control.db").open("ab") as file:
                file.write(bytes(256 * 1024))
            time.sleep(0.3)  # the next look at the disk
        assert not plane.record(generation())
        plane.flush()
    kept = events_in(directory.journals / plane.process_id)
    assert {event.id for event in kept} == taken.keys()
    whole = [event for event in kept if isinstance(event, Generation) and event.output]
    assert whole == kept[: len(whole)]  # once content gave way, it stayed away


MEMORY = textwrap.dedent("""
    import resource, signal, sys, time
    from pathlib import Path
    from trimtab.core.ids import new_id
    from trimtab.events import Generation, encode_event
    from trimtab.serving.journal import JournalWriter
    writer = JournalWriter(Path(sys.argv[1]))
    event = Generation(id=new_id("gen", 1), at_ms=1, feature="f", environment="e", release="r", output="x" * 2300)
    data = encode_event(event)
    for _ in range(4000):
        writer.append(data, 1)
    writer.flush(5)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))  # from here on the disk takes nothing
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(100_000):
        writer.append(data, 1)
    time.sleep(0.2)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(writer.counters.dropped, grown)
""")


def test_memory_is_bounded_whatever_the_disk_does(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "p")], capture_output=True, text=True, timeout=60, check=True
    )
    dropped, grown_kib = map(int, done.stdout.split())
    assert dropped > 90_000  # 230 MB were offered to a buffer of 8 MiB
    assert grown_kib < 24 * 1024
