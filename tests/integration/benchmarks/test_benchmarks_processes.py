"""Processes under test are accounted with their children, and frozen whole."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest
from benchmarks.harness.processes import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

_BUSY_PARENT_OF_A_BUSY_CHILD = """
import subprocess, sys
if len(sys.argv) == 1:
    subprocess.Popen([sys.executable, __file__, "child"])
while True:
    pass
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    program = tmp_path / "busy.py"
    program.write_text(_BUSY_PARENT_OF_A_BUSY_CHILD)
    process = Process([sys.executable, str(program)], env={}, cwd=tmp_path, log=tmp_path / "log")
    try:
        _until(lambda: len(process.pids()) == 2)
        yield process
    finally:
        process.stop()


def _until(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def test_cpu_time_and_memory_of_children_count(process: Process) -> None:
    before = process.cpu_ns()
    _until(lambda: process.cpu_ns() > before)
    assert process.rss_bytes() > 2 * 1_000_000


def test_a_frozen_process_uses_no_cpu_until_it_is_thawed(process: Process) -> None:
    process.freeze()
    time.sleep(0.05)  # signals reach the other core
    before = process.cpu_ns()
    time.sleep(0.1)
    assert process.cpu_ns() == before
    process.thaw()
    _until(lambda: process.cpu_ns() > before)


def test_stopping_ends_a_frozen_process_and_its_children(process: Process) -> None:
    process.freeze()
    process.stop()
    assert not process.alive
