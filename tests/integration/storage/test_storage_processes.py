"""Real processes on one database: nothing acknowledged is lost, nobody starves, a kill leaves no half transaction."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from trimtab.releases.audit import chain_fault
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os, pathlib, signal, sys, time
from trimtab.releases.model import Feature
from trimtab.storage.sqlite import open_sqlite

def write(path, who, seconds):
    store, end, count = open_sqlite(path), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        count += 1
        name = f"{who}-{count}"
        asked = time.monotonic()
        with store.write() as tx:
            waited = time.monotonic() - asked
            tx.put_feature(Feature(name=name, team="before"))
            tx.append_audit(at_ms=count, actor=who, action="feature.create", subject=name, detail={"n": count})
            tx.next_snapshot_revision("production")
            tx.put_feature(Feature(name=name, team="whole"))
        os.write(1, f"{who} {waited}\\n".encode())

path = pathlib.Path(sys.argv[1])
open_sqlite(path).close()  # before forking: everything is imported, nothing is open
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    who, seconds = line.split()
    child = os.fork()
    if not child:
        write(path, who, float(seconds))
        os._exit(0)
    os.write(1, f"started {child}\\n".encode())
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


class Nursery:
    """A process that forks writers on demand: starting one costs milliseconds instead of an interpreter."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", PROGRAM, str(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.acknowledged: list[tuple[str, float]] = []
        """Who committed, after how many seconds of waiting; one for every commit somebody was told of."""

    def start(self, who: str, *, seconds: float = 60) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{who} {seconds}\n")
        self._process.stdin.flush()
        while True:
            pid = self._take(self._read())
            if pid:
                return pid

    def hear(self, who: str) -> None:
        """Return when `who` was told of a commit."""
        while not self.count(who):
            self._take(self._read())

    def wait(self) -> None:
        """Return when all writers are gone and everything they said was heard."""
        out, _ = self._process.communicate(timeout=60)
        for line in out.splitlines(keepends=True):
            self._take(line)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def _take(self, line: str) -> int:
        if not line.endswith("\n"):
            return 0
        who, value = line.split()
        if who == "started":
            return int(value)
        self.acknowledged.append((who, float(value)))
        return 0

    def count(self, who: str) -> int:
        return sum(name == who for name, _ in self.acknowledged)


def test_four_writers_lose_nothing_and_none_starves(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    nursery = Nursery(path)
    writers = ["a", "b", "c", "d"]
    for who in writers:
        nursery.start(who, seconds=2)
    nursery.wait()
    total = len(nursery.acknowledged)
    store = open_sqlite(path)
    with store.read() as tx:
        assert len(tx.features()) == total
        assert tx.snapshot_revision("production") == total
        entries = tx.audit(limit=total + 1)
    store.close()
    assert len(entries) == total
    assert chain_fault(entries) == ""
    shares = {who: nursery.count(who) / total for who in writers}
    assert min(shares.values()) > 0.15, shares  # of 0.25; under a lock that starves somebody gets next to nothing
    assert max(waited for _, waited in nursery.acknowledged) < 1.5, "somebody waited while all others went twice"


def test_killed_writers_lose_no_acknowledged_commit_and_leave_the_lock_usable(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    nursery = Nursery(path)
    dice = random.Random(7)
    killed = [f"k{number}-{side}" for number in range(13) for side in "ab"]
    for pair in zip(killed[::2], killed[1::2], strict=True):
        children = [nursery.start(who) for who in pair]
        nursery.hear(dice.choice(pair))
        time.sleep(dice.uniform(0, 0.03))
        for child in children:
            os.kill(child, signal.SIGKILL)
    nursery.wait()
    assert len(nursery.acknowledged) >= len(killed) // 2, "the kills came before anything was written"
    store = open_sqlite(path)
    with store.write() as tx:  # the lock is free
        tx.next_snapshot_revision("staging")
    with store.read() as tx:
        features = tx.features()
        entries = tx.audit(limit=100_000)
        revision = tx.snapshot_revision("production")
    store.close()
    names = {feature.name for feature in features}
    for who in killed:
        assert {f"{who}-{number}" for number in range(1, nursery.count(who) + 1)} <= names
    assert {feature.team for feature in features} == {"whole"}, "half a transaction is visible"
    assert len(entries) == len(features) == revision
    assert chain_fault(entries) == ""


def test_a_reader_sees_one_state_while_others_write(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    nursery = Nursery(path)
    nursery.start("w", seconds=1)
    store = open_sqlite(path)
    seen = set()
    deadline = time.monotonic() + 0.8
    while time.monotonic() < deadline:
        with store.read() as tx:
            first = tx.snapshot_revision("production")
            time.sleep(0.005)
            assert len(tx.features()) == len(tx.audit(limit=100_000)) == tx.snapshot_revision("production") == first
        seen.add(first)
    nursery.wait()
    store.close()
    assert len(seen) > 3, "nothing was written meanwhile"
