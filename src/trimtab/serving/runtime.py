"""The data plane inside a process: decide, render, record, with no I/O on the request path."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from trimtab.core.clock import SystemClock
from trimtab.core.errors import StorageError
from trimtab.events import Exposure, Generation, Withdrawal, encode_event
from trimtab.events.model import subject_time_ms
from trimtab.serving.decision import Decision
from trimtab.serving.exposures import Exposures, Met
from trimtab.serving.in_force import InForce
from trimtab.serving.journal import JournalWriter
from trimtab.serving.mirror_counter import MirrorCounter
from trimtab.serving.plain_recorder import PlainRecorder
from trimtab.serving.process_status import StatusFile, TrafficCounter, this_process
from trimtab.serving.recordable import UNENCODABLE, encode_bare, reads_back, without_content
from trimtab.serving.redaction import Redaction
from trimtab.serving.snapshot_file import SnapshotFile
from trimtab.serving.soon import Soon
from trimtab.serving.withdrawals import Withdrawals

if TYPE_CHECKING:
    from trimtab.core.clock import Clock
    from trimtab.events import Event
    from trimtab.serving.directory import DataDirectory
    from trimtab.serving.disk_budget import JournalLimits, Shortage
    from trimtab.serving.redaction import RedactionHook
    from trimtab.serving.routing import RoutingTable
    from trimtab.serving.snapshot import Snapshot

__all__ = ["NS_PER_MS", "DataPlane", "Decision"]

_POLL_SECONDS = 0.1
_POLLS_PER_STATUS = 10
_CLOSE_SECONDS = 5.0
NS_PER_MS = 1_000_000
_ROUTED = (Generation, Exposure)


class DataPlane:
    """One per process. Thread-safe. Serves the last good snapshot whatever happens to the control plane.

    Two daemon threads do all I/O: one follows the snapshot and writes the process status, one flushes the journal.
    A forked child must open its own: an inherited one would never learn of a rollback, so `decide` and `flush` raise
    `StorageError` (`forked`) there, and `record` takes nothing.
    """

    def __init__(
        self,
        directory: DataDirectory,
        *,
        environment: str,
        kind: str,
        clock: Clock,
        redact: RedactionHook | None = None,
        journal: JournalLimits | None = None,
    ) -> None:
        self._directory = directory
        self._environment = environment
        self._clock = clock
        self.monotonic_ns = clock.monotonic_ns
        self.in_force = InForce()
        self._compare_clocks()
        self._inherited = False
        self.process_id = f"{kind}-{os.getpid()}-{os.urandom(4).hex()}"
        self._snapshots = SnapshotFile(directory.snapshot(environment), environment=environment)
        self._withdrawals = Withdrawals()
        self._serving = threading.Lock()
        """Held while what is served changes."""
        self.table: RoutingTable | None = None
        """The prepared snapshot in force; `None` before the first one. Replaced whole, never changed."""
        if self._snapshots.poll():
            self._serve()
        self.soon = Soon(functools.partial(self.record, verify=True), self._drop)
        """Takes what an event is made of: the journal's thread makes and writes it at its next turn, within 50 ms.

        Killing the process loses what was taken since that turn; `flush` and `close` wait for all of it.
        """
        self._journal = JournalWriter(
            directory.journals / self.process_id, limits=journal, before_flush=self.soon.make_some
        )
        self._traffic = TrafficCounter()
        self._mirrors = MirrorCounter()
        first = this_process(self.process_id, kind=kind, environment=environment, now_ms=clock.now_ms())
        self._status = StatusFile(directory.processes, first)
        self._without_content = 0
        self._redaction = Redaction(redact) if redact is not None else None
        self._exposures = Exposures()
        self._stop = threading.Event()
        self._write_status()
        self._worker = threading.Thread(target=self._watch, name="trimtab-data-plane", daemon=True)
        self._worker.start()
        os.register_at_fork(after_in_child=_Orphan(self))

    @classmethod
    def open(
        cls,
        directory: DataDirectory,
        *,
        environment: str,
        kind: str,
        clock: Clock | None = None,
        redact: RedactionHook | None = None,
        journal: JournalLimits | None = None,
    ) -> DataPlane:
        """Start a data plane in this process; raises `StorageError` where the journal cannot be made.

        `kind` (`gateway`, `sdk`, ...) is for people. There need be no snapshot yet. `redact` sees the content of
        every event before it is written (see `serving.redaction`); `journal` is what journals may use of the disk.
        """
        clock = clock or SystemClock()
        return cls(directory, environment=environment, kind=kind, clock=clock, redact=redact, journal=journal)

    @property
    def directory(self) -> DataDirectory:
        """Where it keeps its files."""
        return self._directory

    @property
    def environment(self) -> str:
        """The environment this data plane serves."""
        return self._environment

    @property
    def clock(self) -> Clock:
        """Where its times come from."""
        return self._clock

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot in force; `None` before the first one."""
        return self.table.snapshot if self.table else None

    @property
    def revision(self) -> int:
        """Revision of the snapshot in force; 0 before the first one."""
        return self.table.snapshot.revision if self.table else 0

    def meet(self, feature: str, unit: str, session: str = "") -> Decision:
        """Decide, and record that the unit met the release; raises what `decide` does."""
        table = self.table
        if unit and table is not None:
            try:
                return table.met[feature][unit]
            except (KeyError, TypeError):  # for the first time, or nothing that can be looked up
                pass
        decision = self.decide(feature, unit, session)
        self.expose(decision)
        if unit and table is not None:
            table.remember_met(unit, decision)
        return decision

    def decide(self, feature: str, unit: str, session: str = "") -> Decision:
        """Return what a unit meets now; without one, what the session meets where the rollout falls back on it.

        Raises `NotFoundError` (`unknown_feature`), `InputError` (`invalid_feature`, `invalid_unit`, ...) for what
        is no text, or `StorageError` (`no_snapshot`) before anything was published.
        """
        table = self.table
        if table is None:
            if self._inherited:
                raise _forked()
            raise StorageError(
                "no_snapshot",
                f"nothing is published for environment `{self._environment}` yet",
                param=str(self._directory.snapshot(self._environment)),
                hint=self._snapshots.problem or "trimtab environment set FEATURE '#1' --reason ... publishes",
            )
        return table.decide(feature, unit, session)

    def record(self, event: Event, *, verify: bool = False) -> bool:
        """Take an event; returns whether it was taken. Never raises and never waits: a memory copy.

        What was taken survives the process being killed. What was not is counted (`health()["dropped"]`). With
        `verify` it is read back first (1 µs), and loses what could not be: for what an application still holds, and
        may have put anything into.
        """
        if self._inherited:
            return False
        if self._redaction is not None:
            event = self._redaction.apply(event)
        journal = self._journal
        if journal.shortage is not None:
            event = self._spare(event, journal.shortage)
        try:
            data = encode_event(event)
        except UNENCODABLE:
            data = b""
        if not data or len(data) > journal.largest_record or (verify and not reads_back(data)):
            bare = encode_bare(event, limit_bytes=journal.largest_record)
            if bare is None:
                journal.counters.dropped += 1
                return False
            data = bare
            self._without_content += 1
        if isinstance(event, _ROUTED):
            if event.arm != "shadow" or self._was_sent(event):
                self._traffic.add(event.at_ms, event.feature, event.release, event.release_number, event.arm)
            taken = journal.append(data, event.at_ms)  # their ids are made at that very millisecond
            if event.rollout and isinstance(event, Generation) and self._withdrawals.note(event):
                self._withdraw(event)
            return taken
        return journal.append(data, subject_time_ms(event), vital=isinstance(event, Withdrawal))

    def _spare(self, event: Event, shortage: Shortage) -> Event:
        """Return the event without content, which gives way first where there is little room."""
        bare = without_content(event, shortage.code)
        if bare is not event and not shortage.refuses:
            self._without_content += 1
        return bare

    def _was_sent(self, shadow: Event) -> bool:
        """Count a mirror; returns whether the candidate was asked at all."""
        if not isinstance(shadow, Generation):
            return True
        self._mirrors.add(shadow)
        return shadow.status != "aborted"

    def plain_recorder(self, decision: Decision, *, team: str, format: str = "chat") -> PlainRecorder:  # noqa: A002 - the field's word
        """Return what records the good answers of one arm to one team, for as long as its snapshot is in force."""
        withdrawals = self._withdrawals
        return PlainRecorder(
            decision,
            self._clock,
            team=team,
            format=format,
            process=self.process_id,
            journal=self._journal,
            traffic=self._traffic,
            breaker=withdrawals.breaker(decision.rollout) if decision.rollout else None,
            redacted=self._redaction is not None,
            record=self.record,
            withdraw=self._withdraw,
        )

    def record_durably(self, event: Event) -> None:
        """Record an event and return when it is fsynced; raises `StorageError` where it was not taken or cannot be."""
        if not self.record(event):
            raise StorageError(
                "not_recorded", "the journal takes no events now", hint="is the disk full? `health()` tells; try again"
            )
        self.flush()

    def expose(self, decision: Decision) -> None:
        """Record that a unit met a release; once per rollout, step, release and unit as far as memory reaches."""
        if self._exposures.is_new(decision):
            at_ms = (self.monotonic_ns() + self.in_force.wall_ahead_ns) // NS_PER_MS
            self.soon.take(Met(decision, at_ms, self.process_id))

    def flush(self, timeout_seconds: float = 5.0) -> None:
        """Return when everything recorded before is fsynced; raises `StorageError` where it cannot be."""
        if self._inherited:
            raise _forked()
        while self.soon.make_some():
            pass
        self._journal.flush(timeout_seconds)

    def acknowledge(self, timeout_seconds: float = 5.0) -> None:
        """Flush, and vouch for all that was recorded since the last call.

        Raises `StorageError` as `flush`, and (`events_dropped`) where some of it was not taken.
        """
        self.flush(timeout_seconds)
        self._journal.vouch()

    def team_of_key(self, secret: str) -> str | None:
        """Return the team of a gateway key, `None` where it is not known."""
        table = self.table
        return (
            table.snapshot.keys.get(hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest())
            if table
            else None
        )

    @property
    def asks_for_keys(self) -> bool:
        """Whether a gateway key was ever created."""
        return bool(self.table and (self.table.snapshot.keys or self.table.snapshot.keys_required))

    def health(self) -> dict[str, Any]:
        """Return what a health check shows."""
        counters = self._journal.counters
        return {
            "process": self.process_id,
            "environment": self._environment,
            "revision": self.revision,
            "snapshot_age_seconds": self._snapshot_age_seconds(),
            "snapshot_problem": self._snapshots.problem,
            "snapshot_refused": self._snapshots.refused,
            "recorded": counters.recorded,
            "durable": counters.durable,
            "dropped": counters.dropped,
            "withdrawn": self._withdrawals.rollouts,
            "without_content": self._without_content,
            "redaction_failures": self._redaction.failures if self._redaction else 0,
            "redaction_problem": self._redaction.problem if self._redaction else "",
            "journal_problem": counters.problem,
            "journal_shortage": self._journal.shortage.message if self._journal.shortage else "",
            "watching": self._worker.is_alive(),
            "flushing": self._journal.alive,
        }

    def _snapshot_age_seconds(self) -> float | None:
        """Return how long ago the snapshot in force was published; it is no sign of trouble by itself."""
        snapshot = self.snapshot
        return None if snapshot is None else max(0, self._clock.now_ms() - snapshot.published_at_ms) / 1000

    def close(self) -> None:
        """Flush, say goodbye in the process status, and stop."""
        if self._inherited or self._stop.is_set():
            return
        self.in_force.ended = True
        self._stop.set()
        self._worker.join(timeout=_CLOSE_SECONDS)
        while self.soon.make_some():
            pass
        self._journal.close()
        self._write_status(stopped=True)

    def disown(self) -> None:
        """In a forked child: serve nothing, for the threads that follow the snapshot are the parent's."""
        self._inherited = self.in_force.ended = True
        self.table = None

    def _drop(self) -> None:
        self._journal.counters.dropped += 1

    def _watch(self) -> None:
        polls = 0
        while not self._stop.wait(_POLL_SECONDS):
            self._compare_clocks()
            changed = self._snapshots.poll()
            if changed:
                self._serve()
            polls += 1
            if changed or polls >= _POLLS_PER_STATUS:
                polls = 0
                self._write_status()

    def _compare_clocks(self) -> None:
        """Follow the wall clock. It is read in whole milliseconds, so the largest difference seen is the nearest."""
        seen_ns = self._clock.now_ms() * NS_PER_MS - self._clock.monotonic_ns()
        known_ns = self.in_force.wall_ahead_ns
        if not known_ns - NS_PER_MS < seen_ns <= known_ns:
            self.in_force.wall_ahead_ns = seen_ns

    def _serve(self) -> None:
        """Put the newest snapshot in force, less the candidates that were taken out here."""
        with self._serving:
            table = self._snapshots.table
            self.table = None if table is None else self._withdrawals.follow(table)
            self.in_force.follow(self.table)

    def _withdraw(self, last: Generation) -> None:
        """Serve stable instead of a rollout's candidate from now on, and tell the control plane."""
        self._serve()
        self.record(self._withdrawals.event(last, process=self.process_id, at_ms=self._clock.now_ms()))

    def _write_status(self, *, stopped: bool = False) -> None:
        now_ms = self._clock.now_ms()
        counters, shortage = self._journal.counters, self._journal.shortage
        self._status.write(
            heartbeat_ms=now_ms,
            revision=self.revision,
            stopped=stopped,
            problem=(shortage.message if shortage else "") or self._snapshots.problem,
            snapshot_refused=self._snapshots.refused,
            recorded=counters.recorded,
            durable=counters.durable,
            dropped=counters.dropped,
            without_content=self._without_content,
            traffic=self._traffic.recent(now_ms),
            withdrawn=self._withdrawals.rollouts,
            mirrors=self._mirrors.counts(),
        )


class _Orphan:
    """Tells a forked child's copy of a data plane, if there still is one, whose it is."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = weakref.ref(plane)

    def __call__(self) -> None:
        plane = self._plane()
        if plane is not None:
            plane.disown()


def _forked() -> StorageError:
    return StorageError("forked", "this data plane belongs to the parent process", hint="open one after fork")
