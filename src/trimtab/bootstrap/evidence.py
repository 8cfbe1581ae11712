"""The evidence of a data directory, wired: the loop that moves journals into files."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from trimtab.bootstrap.store import open_store
from trimtab.control.score_journal import is_score_journal
from trimtab.core.clock import SystemClock
from trimtab.core.errors import ConflictError
from trimtab.evidence.compactor import Compactor
from trimtab.evidence.erasure_requests import fulfil_erasures, open_erasures
from trimtab.evidence.erasure_store import forget_remembered
from trimtab.evidence.objects import open_objects
from trimtab.evidence.state import EvidenceState, Owed
from trimtab.evidence.upkeep import merge, retain, settle_erasures
from trimtab.evidence.writers import sweep_estates
from trimtab.rollout.controller import CONSUMER
from trimtab.serving.disk_budget import bytes_used
from trimtab.serving.salvage import JournalPosition, prune, reclaim, retire

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from trimtab.bootstrap.settings import Settings

__all__ = ["EvidenceLoop", "Judged", "JudgedInStore", "open_compactor"]

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_UPKEEP_SECONDS = 60.0
_ERASE_SECONDS = 10.0
"""How often it is looked whether somebody is to be forgotten: a bucket is listed for it."""
_ANNOUNCE_MS = 300_000
"""How often a writer says that it lives."""
_REMEMBERED_MS = 400 * _DAY_MS
"""How long erasures are remembered at least, for whoever comes back with journals of before."""
_RECLAIM_SHARE = 0.5
"""Of `journal.max_bytes`: from here on journals whose events are in files are deleted before their time."""


def open_compactor(settings: Settings) -> AbstractContextManager[Compactor]:
    """Open the compactor; raises `ConflictError` (`compactor_running`) where another process has it."""
    return Compactor.open(open_objects(settings.evidence_location), settings.data_directory, SystemClock())


class Judged(Protocol):
    """Knows how far journals were read by the controller."""

    def read(self) -> dict[str, JournalPosition]:
        """Return, by process, the position up to which evidence is committed; raises `StorageError`."""
        ...

    def close(self) -> None: ...


class JudgedInStore:
    """A `Judged` that asks the control state."""

    def __init__(self, settings: Settings) -> None:
        self._store = open_store(settings)

    def read(self) -> dict[str, JournalPosition]:
        """See `Judged`."""
        with self._store.read() as tx:
            cursors = tx.cursors(CONSUMER)
        return {one.process: JournalPosition(one.segment, one.offset, one.sequence) for one in cursors}

    def close(self) -> None:
        """Close the store."""
        self._store.close()


class EvidenceLoop:
    """Moves journals into files and keeps both in order, ticked by whoever runs the process.

    Where another process of this data directory does so already, it stands by.
    """

    def __init__(self, settings: Settings, judged: Judged) -> None:
        """`judged` says how far journals are committed evidence of rollouts: what is not is never deleted."""
        self._settings = settings
        self._judged = judged
        self._held = ExitStack()
        self._compactor: Compactor | None = None
        self._kept_at = -_UPKEEP_SECONDS
        self._erased_at = -_ERASE_SECONDS
        self._announced_ms = self._warned_ms = self._forgot_ms = 0
        self._owed = Owed()
        self.compacted: EvidenceState | None = None
        """What is in files as of the last turn; `None` while another process compacts."""

    def tick(self) -> list[str]:
        """Do all that is to be done now; returns what is worth telling. After an error the next starts from the log."""
        finished = False
        try:
            told = self._tick()
            finished = True
        finally:
            if not finished:
                self._let_go()
        self.compacted = self._state()
        return told

    def _state(self) -> EvidenceState | None:
        if self._compactor is None:
            return None
        state = self._compactor.state
        return EvidenceState.of(state.files.values(), state.cursors, self._owed)

    def close(self) -> None:
        """Let another process compact, and close."""
        self._let_go()
        self._judged.close()

    def _let_go(self) -> None:
        self._compactor = self.compacted = None
        self._held.close()

    def _tick(self) -> list[str]:
        compactor = self._compactor
        if compactor is None:
            try:
                compactor = self._compactor = self._held.enter_context(open_compactor(self._settings))
            except ConflictError:
                return []
        damaged = removed = 0
        while True:
            done = compactor.run()
            damaged += done.damaged
            if not done.more:
                break
        told = [f"evidence: {damaged} damaged frames in journals; what was in them is lost"] if damaged else []
        if time.monotonic() - self._erased_at >= _ERASE_SECONDS:
            self._erased_at = time.monotonic()
            removed = fulfil_erasures(compactor)
        if removed:
            told.append(f"evidence: {removed:,} events of users who are to be forgotten removed")
        if time.monotonic() - self._kept_at >= _UPKEEP_SECONDS:
            self._kept_at = time.monotonic()
            self._keep(compactor)
            told += self._look_what_is_owed(compactor)
        self._make_room(compactor)
        return told

    def _look_what_is_owed(self, compactor: Compactor) -> list[str]:
        """Look which erasures are open, here or elsewhere; tells once a day of those that wait for too long."""
        now_ms = compactor.now_ms
        found = open_erasures(compactor.objects)
        self._owed = Owed(
            count=len(found),
            oldest_ms=found[0].asked_ms if found else 0,
            waits_for=sorted({name for one in found for name in one.waits_for}),
            patience_ms=round(self._settings.evidence.erasure_hours * _HOUR_MS),
        )
        if not self._owed.late(now_ms) or now_ms - self._warned_ms < _DAY_MS:
            return []
        self._warned_ms = now_ms
        hours = (now_ms - self._owed.oldest_ms) // _HOUR_MS
        waits_for = ", ".join(found[0].waits_for)
        return [f"evidence: an erasure has waited {hours:,} hours for {waits_for} (trimtab evidence erasures)"]

    def _keep(self, compactor: Compactor) -> None:
        """Merge, and let go of what is old: of journals only what the controller has read as well."""
        now_ms = compactor.now_ms
        retention_ms = round(self._settings.evidence.retention_days * _DAY_MS)
        if now_ms - self._announced_ms >= _ANNOUNCE_MS:
            self._announced_ms = now_ms
            compactor.announce()
        for one in (compactor, *compactor.estates()):
            merge(one)
            retain(one, older_than_ms=now_ms - retention_ms)
            settle_erasures(one)
        sweep_estates(compactor.objects, compactor.writer)
        if now_ms - self._forgot_ms >= _DAY_MS:
            self._forgot_ms = now_ms
            forget_remembered(compactor.objects, before_ms=now_ms - max(retention_ms, _REMEMBERED_MS))
        compactor.log.must_count()  # else what its cursors have passed may be nowhere but in journals
        old_ms = now_ms - round(self._settings.evidence.journal_hours * _HOUR_MS)
        read = self._read_by_both(compactor)
        retire(self._settings.data_directory.journals, older_than_ms=old_ms, read=read)
        prune(self._settings.data_directory.journals, older_than_ms=old_ms, read=read)

    def _make_room(self, compactor: Compactor) -> None:
        """Delete journals before their time where they are more than half of what they may be: new events need room."""
        journals = self._settings.data_directory.journals
        try:
            over = bytes_used(journals) - round(self._settings.journal.max_bytes * _RECLAIM_SHARE)
        except OSError:
            return  # nothing was ever recorded here
        if over > 0:
            compactor.log.must_count()
            read = self._read_by_both(compactor)
            if over > reclaim(journals, size=over, read=read):
                prune(journals, older_than_ms=compactor.now_ms, read=read)

    def _read_by_both(self, compactor: Compactor) -> dict[str, JournalPosition]:
        """Return how far each journal is in files and was judged by the controller."""
        judged = self._judged.read()
        moved = compactor.state.cursors
        judged |= {name: at for name, at in moved.items() if is_score_journal(name)}  # judged before it was written
        return {process: min(moved[process], judged[process], key=_depth) for process in moved.keys() & judged.keys()}


def _depth(position: JournalPosition) -> int:
    return position.sequence
