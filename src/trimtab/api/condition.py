"""How a server fares: what its probes and its figures are made of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from trimtab.core.errors import StorageError
from trimtab.serving.snapshot_file import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.control.loop_watch import LoopState, LoopWatch
    from trimtab.control.vitals import Vitals
    from trimtab.core.clock import Clock
    from trimtab.evidence.state import EvidenceState, Owed
    from trimtab.serving.directory import DataDirectory

__all__ = ["Check", "ServerCondition"]

_STUCK_MS = 300_000
"""A loop that did not come round for so long hangs: only a restart helps."""
_LATE_MS = 30_000
"""A turn of a loop that takes longer is worth telling."""
_LEAST_FREE_BYTES = 64 * 1024 * 1024


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    status: Literal["pass", "warn", "fail"]
    """`warn` is for people; only `fail` makes the server unready."""
    told: str


class Plane(Protocol):
    """What is asked of a control plane."""

    environment: str

    def vitals(self) -> Vitals:
        """Return what the store tells; raises `StorageError`."""
        ...


class ServerCondition:
    """What is known of a server and its data directory."""

    def __init__(
        self,
        plane: Plane,
        directory: DataDirectory,
        clock: Clock,
        watch: LoopWatch,
        compacted: Callable[[], EvidenceState | None],
        intake: Callable[[], dict[str, int]] = dict,
    ) -> None:
        """`compacted` tells what is in files, where this process puts it there; `intake` what became of spans."""
        self.directory = directory
        self.compacted = compacted
        self.intake = intake
        self._plane = plane
        self._clock = clock
        self._watch = watch

    def now_ms(self) -> int:
        """Return the time, milliseconds since the Unix epoch."""
        return self._clock.now_ms()

    def loops(self) -> list[LoopState]:
        """Return how the loops of this process fare."""
        return self._watch.states()

    def vitals(self) -> Vitals | None:
        """Return what the store tells; `None` while it does not answer."""
        try:
            return self._plane.vitals()
        except StorageError:
            return None

    def stuck(self) -> list[str]:
        """Return the loops that hang."""
        now_ms = self.now_ms()
        return [one.name for one in self.loops() if now_ms - one.turned_ms > _STUCK_MS]

    def checks(self) -> dict[str, Check]:
        """Look at everything that a server needs, and at what people want to know of it."""
        now_ms = self.now_ms()
        found: dict[str, Check] = {}
        try:
            vitals = self._plane.vitals()
            found["store"] = Check(status="pass", told="answers")
            found["controller"] = _led(vitals, now_ms)
        except StorageError as error:
            found["store"] = Check(status="fail", told=f"{error.code}: {error.message}")
        found["disk"] = self._disk()
        found["snapshot"] = self._snapshot(now_ms)
        compacted = self.compacted()
        if compacted is not None:
            found["erasures"] = _forgotten(compacted.owed, now_ms)
        found |= {f"loop:{one.name}": _turning(one, now_ms) for one in self.loops()}
        return found

    def _disk(self) -> Check:
        try:
            told = os.statvfs(self.directory.root)
        except OSError as error:
            return Check(status="fail", told=f"the data directory cannot be looked at: {error.strerror}")
        free = told.f_bavail * told.f_frsize
        status: Literal["pass", "fail"] = "pass" if free >= _LEAST_FREE_BYTES else "fail"
        return Check(status=status, told=f"{free // 1_000_000:,} MB free in the data directory")

    def _snapshot(self, now_ms: int) -> Check:
        try:
            snapshot = read_snapshot(self.directory.snapshot(self._plane.environment))
        except StorageError as error:
            return Check(status="warn", told=error.message)
        if snapshot is None:
            return Check(status="warn", told=f"nothing is published for `{self._plane.environment}` yet")
        age_seconds = max(0, now_ms - snapshot.published_at_ms) // 1000
        return Check(status="pass", told=f"revision {snapshot.revision}, published {age_seconds} s ago")


def _led(vitals: Vitals, now_ms: int) -> Check:
    lease = vitals.lease
    if lease is None or lease.expires_at_ms <= now_ms:
        return Check(status="warn", told="nobody drives rollouts: weights stay as they are")
    return Check(status="pass", told=f"{lease.holder} drives rollouts")


def _forgotten(owed: Owed, now_ms: int) -> Check:
    """Look at users who are to be forgotten. It never makes the server unready: no restart would help."""
    if not owed.count:
        return Check(status="pass", told="nobody waits to be forgotten")
    hours = max(0, now_ms - owed.oldest_ms) // 3_600_000
    told = f"{owed.count:,} to be forgotten, the oldest for {hours:,} hours; not done by {', '.join(owed.waits_for)}"
    return Check(status="warn" if owed.late(now_ms) else "pass", told=told)


def _turning(loop: LoopState, now_ms: int) -> Check:
    """Look at one loop. It never makes the server unready: who asks is answered, and a person can still abort."""
    late = now_ms - loop.turned_ms > _LATE_MS
    if not loop.problem and not late:
        return Check(status="pass", told="does its work" if loop.succeeded_ms else "begins")
    since = f"for {(now_ms - loop.succeeded_ms) // 1000} s" if loop.succeeded_ms else "since it began"
    return Check(status="warn", told=f"did not do its work {since}: {loop.problem or 'its turn is not over'}")
