"""Who lives behind the supervisor: one worker for each slot, whatever happens to them and in whatever order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Serves nothing, takes its time to start, and notes its process id: what is looked at is who starts and ends it.
WORKER = """
import os, pathlib, sys, time
_, ready, alive = (int(one) for one in sys.argv[-1].split(","))
pathlib.Path(sys.argv[1], str(os.getpid())).touch()
time.sleep(0.4)
os.write(ready, b"ready")
os.close(ready)
os.read(alive, 1)
"""
SUPERVISOR = """
import asyncio, sys
from trimtab.gateway.workers import Supervisor

command = [sys.argv[1], "-S", "-c", sys.argv[2], sys.argv[3]]
tell = lambda event: print(event.kind, event.detail, flush=True)
supervisor = Supervisor(command, workers=2, host="127.0.0.1", port=0, drain_seconds=5.0, tell=tell)
asyncio.run(supervisor.run())
"""


class Supervised:
    def __init__(self, root: Path, worker: str = WORKER) -> None:
        self._noted = root / "noted"
        self._noted.mkdir()
        self.python = root / "python"
        self.python.symlink_to(sys.executable)
        command = [sys.executable, "-c", SUPERVISOR, str(self.python), worker, str(self._noted)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def started(self) -> list[int]:
        """Every worker that was ever started, in no order."""
        return [int(path.name) for path in self._noted.iterdir()]

    def living(self) -> list[int]:
        return [pid for pid in self.started() if _lives(pid)]

    def read_until(self, kind: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(kind + " "):
                return line
        raise AssertionError(f"ended without `{kind}`")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.wait(20) == 0
        assert self.living() == []

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    one = Supervised(tmp_path)
    try:
        one.read_until("listening")
        yield one
        one.stop()
    finally:
        one.close()


def test_a_worker_killed_while_all_are_replaced_leaves_no_second_one_in_its_slot(
    supervised: Supervised, eventually: Callable[..., None]
) -> None:
    before = supervised.living()
    os.kill(before[0], signal.SIGKILL)
    os.kill(before[1], signal.SIGKILL)
    supervised.process.send_signal(signal.SIGHUP)
    supervised.read_until("reloaded")
    time.sleep(0.5)  # as long as a second one for a slot would need to come up
    eventually(lambda: len(supervised.living()) <= 2)
    assert len(supervised.living()) == 2
    assert set(supervised.living()).isdisjoint(before)


def test_a_worker_that_starts_when_the_supervisor_is_stopped_ends_with_it(
    supervised: Supervised, eventually: Callable[..., None]
) -> None:
    supervised.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(supervised.started()) == 3)
    supervised.stop()


def test_a_slot_is_filled_again_when_a_worker_could_not_even_be_started_for_a_while(
    supervised: Supervised, eventually: Callable[..., None]
) -> None:
    supervised.python.unlink()  # an upgrade is replacing it
    dead = supervised.living()[0]
    os.kill(dead, signal.SIGKILL)
    assert "cannot be started" in supervised.read_until("not_started")
    supervised.python.symlink_to(sys.executable)
    eventually(lambda: len(supervised.living()) == 2)
    assert dead not in supervised.living()


def test_a_supervisor_that_is_stopped_does_not_wait_for_workers_that_never_come_up(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    one = Supervised(tmp_path, WORKER.replace("sleep(0.4)", "sleep(3600)"))
    try:
        eventually(lambda: len(one.started()) == 1)
        one.stop()
    finally:
        one.close()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
