"""What each data-plane process says of itself once a second: the observed half of "which version is running?".

Plain files, so that the question is answered with the control plane dead.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import StorageError
from trimtab.serving.durable_file import write_atomically
from trimtab.serving.mirror_counter import MirrorCount

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "MINUTE_MS",
    "STALE_MS",
    "WINDOW_MINUTES",
    "ProcessStatus",
    "StatusFile",
    "TrafficCount",
    "TrafficCounter",
    "read_processes",
    "stale_reason",
]

WINDOW_MINUTES = 15
MINUTE_MS = 60_000
STALE_MS = 5_000
"""Silence, or a snapshot behind the declared one, after which a process is not trusted to serve what is declared."""
_FORGET_MS = 3_600_000


class TrafficCount(msgspec.Struct, frozen=True):
    """Requests of one release and arm in one minute."""

    minute_ms: int
    """Start of the minute, milliseconds since the Unix epoch."""
    feature: str
    release: str
    number: int
    arm: str
    requests: int


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process's own account."""

    process: str
    kind: str
    pid: int
    host: str
    environment: str
    started_ms: int
    heartbeat_ms: int
    revision: int = 0
    """Revision of the snapshot it serves; 0 before the first one."""
    stopped: bool = False
    """It said goodbye."""
    problem: str = ""
    """Why events are not written whole, or the newest snapshot is not served."""
    snapshot_refused: str = ""
    """Code of why the newest snapshot is not served (`needs_newer_reader`, ...); empty where it is."""
    recorded: int = 0
    durable: int = 0
    dropped: int = 0
    without_content: int = 0
    traffic: list[TrafficCount] = []
    withdrawn: list[str] = []
    """Rollout attempts whose candidate it took out of service by itself."""
    mirrors: list[MirrorCount] = []
    """What became of the requests that it was to mirror."""
    machine: str = ""
    """Whose relay told of it; empty on its own machine."""


def stale_reason(status: ProcessStatus, *, declared_revision: int, published_ms: int, now_ms: int) -> str:
    """Return why a process cannot be trusted to serve what is declared, or an empty string."""
    if status.stopped:
        return "stopped"
    silent_ms = now_ms - status.heartbeat_ms
    if silent_ms > STALE_MS:
        return f"no heartbeat for {silent_ms / 1000:.0f} s"
    if status.revision < declared_revision and now_ms - published_ms > STALE_MS:
        return f"serves snapshot {status.revision}, declared is {declared_revision}"
    return ""


class TrafficCounter:
    """Counts requests by minute, release and arm, for the last quarter of an hour."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[int, str, str, int, str], list[int]] = {}

    def add(self, at_ms: int, feature: str, release: str, number: int, arm: str) -> None:
        """Count one request of a release (its digest and number) and arm."""
        key = (at_ms - at_ms % MINUTE_MS, feature, release, number, arm)
        with self._lock:
            self._counts.setdefault(key, [0])[0] += 1

    def minute(self, at_ms: int, feature: str, release: str, number: int, arm: str) -> list[int]:
        """Return the one number that `add` would count up, for a thread that counts many of that minute itself."""
        key = (at_ms - at_ms % MINUTE_MS, feature, release, number, arm)
        with self._lock:
            return self._counts.setdefault(key, [0])

    def recent(self, now_ms: int) -> list[TrafficCount]:
        """Return the counts of the window, dropping older ones."""
        oldest = now_ms - WINDOW_MINUTES * MINUTE_MS
        with self._lock:
            self._counts = {key: count for key, count in self._counts.items() if key[0] >= oldest}
            return [TrafficCount(*key, count) for key, (count,) in sorted(self._counts.items())]


def read_processes(folder: Path, *, environment: str | None, now_ms: int) -> list[ProcessStatus]:
    """Return the statuses of an environment's processes, or of all (`None`); files silent for an hour are removed."""
    statuses = []
    for path in sorted(folder.glob("*.json")):
        try:
            status = msgspec.json.decode(path.read_bytes(), type=ProcessStatus)
        except (OSError, msgspec.DecodeError):
            continue  # being replaced, or not ours
        if now_ms - status.heartbeat_ms > _FORGET_MS:
            with contextlib.suppress(OSError):
                path.unlink()
        elif environment is None or status.environment == environment:
            statuses.append(status)
    return statuses


class StatusFile:
    """Writes one process's status."""

    def __init__(self, folder: Path, first: ProcessStatus) -> None:
        self._path = folder / f"{first.process}.json"
        self._first = first

    def write(self, **changes: object) -> None:
        """Replace the file; a disk that refuses is not the request path's problem and shows as a missing heartbeat."""
        try:
            content = msgspec.json.encode(msgspec.structs.replace(self._first, **changes))
            write_atomically(self._path, content, durable=False)
        except StorageError:
            return


def this_process(process: str, *, kind: str, environment: str, now_ms: int) -> ProcessStatus:
    """Return the first status of the running process."""
    return ProcessStatus(
        process=process,
        kind=kind,
        pid=os.getpid(),
        host=os.uname().nodename,
        environment=environment,
        started_ms=now_ms,
        heartbeat_ms=now_ms,
    )
