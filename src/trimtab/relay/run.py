"""A relay at work: what each of its threads does over and over, and what it tells."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import TrimtabError
from trimtab.relay.health import RelayHealth, write_health
from trimtab.serving.durable_file import make_private
from trimtab.serving.machine_report import MachineReport
from trimtab.serving.process_status import read_processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.core.clock import Clock
    from trimtab.relay.follow import SnapshotFollower
    from trimtab.relay.link import Link
    from trimtab.relay.ship import Shipper
    from trimtab.rollout.files import SnapshotFiles
    from trimtab.serving.directory import DataDirectory

__all__ = ["Relay", "RelayParts"]

_REPORT_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
_STOP_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class RelayParts:
    """What a relay is made of. Each link belongs to one thread."""

    machine: str
    environment: str
    directory: DataDirectory
    files: SnapshotFiles
    follower: SnapshotFollower
    shipper: Shipper
    reports: Link
    clock: Clock


class Relay:
    """Runs until told to stop. Whatever fails is told once, and tried again."""

    def __init__(self, parts: RelayParts, tell: Callable[[str], None]) -> None:
        self._parts = parts
        self._tell = tell
        self._stop = threading.Event()
        self._problems = {"snapshots": "not connected yet", "journals": "not connected yet"}
        turns = {"snapshots": self._follow, "journals": self._ship, "report": self._report}
        self._threads = [
            threading.Thread(target=self._run, args=(name, turn), name=f"relay-{name}", daemon=True)
            for name, turn in turns.items()
        ]

    def start(self) -> None:
        """Begin."""
        make_private(self._parts.directory.root)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; what was not shipped is in the journals, and shipped by the next."""
        self._stop.set()
        self._parts.follower.stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_STOP_SECONDS)

    def _run(self, name: str, turn: Callable[[], float]) -> None:
        """Take turns until told to stop; a turn returns how many seconds the next may wait."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            try:
                wait_seconds = turn()
                pause_seconds = _FIRST_PAUSE_SECONDS
            except (TrimtabError, OSError, msgspec.DecodeError) as error:
                self._note(name, error)
                wait_seconds = pause_seconds
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            self._stop.wait(wait_seconds)

    def _note(self, name: str, error: Exception) -> None:
        problem = error.message if isinstance(error, TrimtabError) else f"{type(error).__name__}: {error}"
        if self._stop.is_set() or name not in self._problems:
            return  # what cannot be reported cannot be shipped either, and that is told
        if not self._problems[name] or self._problems[name] == "not connected yet":
            self._tell(f"{name}: {error if isinstance(error, TrimtabError) else problem}")
        self._problems[name] = problem

    def _well(self, name: str, words: str) -> None:
        if self._problems[name]:
            self._tell(f"{name}: {words}")
            self._problems[name] = ""

    def _follow(self) -> float:
        follower = self._parts.follower
        follower.follow(lambda: self._well("snapshots", f"from {follower.server}"))
        return 0.0

    def _ship(self) -> float:
        wait_seconds = self._parts.shipper.turn()
        if self._parts.shipper.shipped_at:
            self._well("journals", f"to {self._parts.shipper.server}")
        return wait_seconds

    def _report(self) -> float:
        """Tell the control plane and this machine's own file; the file also while no node answers."""
        parts = self._parts
        now_ms = parts.clock.now_ms()
        problem = "; ".join(f"{name}: {text}" for name, text in self._problems.items() if text)
        problem = problem or parts.follower.problem
        health = RelayHealth(
            machine=parts.machine,
            environment=parts.environment,
            pid=os.getpid(),
            at_ms=now_ms,
            server=parts.follower.server,
            journals_to=parts.shipper.server,
            revision=parts.files.published_revision(parts.environment),
            heard_seconds_ago=_ago(parts.follower.heard_at),
            shipped_seconds_ago=_ago(parts.shipper.shipped_at),
            backlog_bytes=parts.shipper.backlog_bytes(),
            problem=problem,
        )
        write_health(parts.directory.relay, health)
        report = MachineReport(
            machine=parts.machine,
            at_ms=now_ms,
            processes=read_processes(parts.directory.processes, environment=parts.environment, now_ms=now_ms),
            backlog_bytes=health.backlog_bytes,
            problem=problem,
        )
        parts.reports.call(
            "POST", "/api/v1/machines", msgspec.json.encode(report), **{"content-type": "application/json"}
        )
        return _REPORT_SECONDS


def _ago(at: float) -> float | None:
    return round(time.monotonic() - at, 1) if at else None
