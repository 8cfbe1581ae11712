from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from trimtab.core.errors import StorageError
from trimtab.storage.write_lock import WriteLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOLD = """
import pathlib, sys, time
from trimtab.storage.write_lock import WriteLock
with WriteLock(pathlib.Path(sys.argv[1])).held():
    print("held", flush=True)
    time.sleep(60)
"""


def tickets(queue: Path) -> list[int]:
    return sorted(int(path.name) for path in queue.iterdir() if path.name.isdecimal())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited ten seconds in vain"
        time.sleep(0.001)


def holder(queue: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", HOLD, str(queue)], stdout=subprocess.PIPE)


def end(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGKILL) -> None:
    process.send_signal(how)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_writers_are_served_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    queue = tmp_path / "queue"
    served: list[int] = []

    def write(number: int) -> None:
        with WriteLock(queue).held():
            served.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    with WriteLock(queue).held():
        for place, thread in enumerate(threads, start=2):
            thread.start()
            until(lambda place=place: len(tickets(queue)) == place)  # type: ignore[misc]
    for thread in threads:
        thread.join(10)
    assert served == list(range(12))
    assert tickets(queue) == []


def test_who_lets_go_and_comes_again_queues_behind_who_waits(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path / "queue")
    order: list[str] = []

    def wait() -> None:
        with lock.held():
            order.append("waiter")

    waiter = threading.Thread(target=wait)
    with lock.held():
        waiter.start()
        until(lambda: len(tickets(tmp_path / "queue")) == 2)
    with lock.held():
        order.append("again")
    waiter.join(10)
    assert order == ["waiter", "again"]


def test_a_lock_inside_itself_is_refused_instead_of_hanging(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path / "queue")
    with lock.held(), pytest.raises(StorageError) as caught, lock.held():
        pass
    assert caught.value.code == "nested_write"
    with lock.held():
        pass


def test_an_exception_lets_the_next_one_in(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path / "queue", timeout_seconds=1)
    with pytest.raises(RuntimeError), lock.held():
        raise RuntimeError
    with lock.held():
        pass


def test_waiting_too_long_says_who_to_look_for_and_gives_the_place_up(tmp_path: Path) -> None:
    queue = tmp_path / "queue"
    process = holder(queue)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StorageError) as caught, WriteLock(queue, timeout_seconds=0.05).held():
            pass
        assert caught.value.code == "write_lock_timeout"
        assert "fuser" in (caught.value.hint or "")
        assert len(tickets(queue)) == 1
    finally:
        end(process)


def test_a_killed_holder_and_killed_waiters_block_nobody(tmp_path: Path) -> None:
    queue = tmp_path / "queue"
    first = holder(queue)
    assert first.stdout is not None
    first.stdout.readline()
    waiters = [holder(queue) for _ in range(2)]
    until(lambda: len(tickets(queue)) == 3)
    for process in (*waiters, first):  # a waiter left alive would take its turn and clear away the dead
        end(process)
    assert len(tickets(queue)) == 3  # what the dead left behind
    with WriteLock(queue, timeout_seconds=5).held():
        assert len(tickets(queue)) == 1
    assert tickets(queue) == []


def test_a_ticket_left_half_drawn_by_a_crash_is_swept_away(tmp_path: Path) -> None:
    queue = tmp_path / "queue"
    queue.mkdir()
    (queue / "41").touch()
    (queue / "not-a-ticket").touch()
    with WriteLock(queue, timeout_seconds=5).held():
        assert tickets(queue) == [42]


def test_a_forked_child_does_not_keep_the_lock_of_its_parent(tmp_path: Path) -> None:
    queue = tmp_path / "queue"
    wakes, waits = os.pipe()
    with WriteLock(queue).held():
        child = os.fork()
        if child == 0:
            os.close(waits)
            os.read(wakes, 1)
            os._exit(0)
    try:
        with WriteLock(queue, timeout_seconds=1).held():
            pass
    finally:
        os.close(waits)
        os.close(wakes)
        os.waitpid(child, 0)


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught, WriteLock(tmp_path / "file" / "queue").held():
        pass
    assert caught.value.code == "write_lock_unavailable"
