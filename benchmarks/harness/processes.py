"""Processes on the core they are measured on: pinned, accounted with all their children, frozen while others run.

Linux: CPU time comes from `/proc/PID/task/*/schedstat` in nanoseconds, which `getrusage` does not give for a process
that still runs. Real-time priority and negative niceness need root; without it the figures are noisier, not wrong.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

__all__ = ["LOAD_CORE", "SERVER_CORE", "Process", "on_core", "pinned", "spinning"]

_CORES = sorted(os.sched_getaffinity(0))
LOAD_CORE = _CORES[0]
"""Load generator and upstream run here."""
SERVER_CORE = _CORES[1] if len(_CORES) > 1 else _CORES[0]
"""The server under test has this one for itself."""
_REAL_TIME_PRIORITY = 5
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STOP_SECONDS = 15.0


def pinned(core: int, *, real_time: bool = False, niceness: int = 0) -> Callable[[], None]:
    """Return what a child runs before its program, so that it stays on `core`, with priority where that is allowed."""

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        with contextlib.suppress(PermissionError):
            if real_time:
                os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_REAL_TIME_PRIORITY))
            if niceness:
                os.setpriority(os.PRIO_PROCESS, 0, niceness)

    return prepare


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Keep this process to one core meanwhile."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextlib.contextmanager
def spinning(cores: Collection[int] = (LOAD_CORE, SERVER_CORE)) -> Iterator[None]:
    """Keep cores awake with loops of idle priority: a core that sleeps between requests adds its waking time."""

    def idle(core: int) -> Callable[[], None]:
        def prepare() -> None:
            os.sched_setaffinity(0, {core})
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

        return prepare

    loops = [
        subprocess.Popen(["sh", "-c", "while :; do :; done"], preexec_fn=idle(core))  # noqa: PLW1509 - one thread
        for core in sorted(set(cores))
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


class Process:
    """A server under test with whatever it starts itself."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self._log: IO[bytes] = log.open("wb")
        self._process = subprocess.Popen(
            command,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=pinned(SERVER_CORE, niceness=-20),  # noqa: PLW1509 - one thread
        )
        with contextlib.suppress(OSError):  # no automatic grouping on this kernel, or not root
            Path(f"/proc/{self._process.pid}/autogroup").write_text("-20")

    @property
    def alive(self) -> bool:
        """Whether the process that was started still runs."""
        return self._process.poll() is None

    def cpu_ns(self) -> int:
        """CPU time of all threads of all processes."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    total += int((task / "schedstat").read_text().split()[0])
        return total

    def rss_bytes(self) -> int:
        """Resident memory of all processes, shared pages counted in each."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
        return total

    def freeze(self) -> None:
        """Stop every thread, so that nothing of this server runs while another is measured."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ask it to end, and see that it does."""
        pids = self.pids()
        self.thaw()
        self._process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        while self.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def pids(self) -> list[int]:
        """The process and its descendants, parents first."""
        found = [self._process.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += [int(child) for child in (task / "children").read_text().split()]
        return found

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with contextlib.suppress(OSError):
                os.kill(pid, number)
