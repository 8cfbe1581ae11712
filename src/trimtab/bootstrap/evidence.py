"""The evidence of a data directory, wired: the loop that moves journals into files, and the reader of both."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from trimtab.core.clock import SystemClock
from trimtab.core.errors import ConflictError, TrimtabError
from trimtab.evidence.compactor import Compactor
from trimtab.evidence.objects import open_objects
from trimtab.evidence.reader import EvidenceReader
from trimtab.evidence.upkeep import merge, retain, settle_erasures
from trimtab.rollout.controller import CONSUMER
from trimtab.serving.salvage import JournalPosition, prune, retire
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from trimtab.bootstrap.settings import Settings

__all__ = ["EvidenceLoop", "open_compactor", "open_reader"]

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_UPKEEP_SECONDS = 60.0
_STANDBY_SECONDS = 10.0
_LONGEST_BACKOFF_SECONDS = 60.0


def open_reader(settings: Settings) -> EvidenceReader:
    """Open what answers questions: files, and journals that are not in files yet."""
    return EvidenceReader(open_objects(settings.evidence_location), settings.data_directory.journals)


def open_compactor(settings: Settings) -> AbstractContextManager[Compactor]:
    """Open the compactor; raises `ConflictError` (`compactor_running`) where another process has it."""
    return Compactor.open(open_objects(settings.evidence_location), settings.data_directory, SystemClock())


class EvidenceLoop:
    """Moves journals into files and keeps both in order, in a thread of its own.

    Where another process of this data directory does so already, it stands by.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = open_sqlite(settings.data_directory.database)
        self._kept_at = -_UPKEEP_SECONDS

    def run(self, stop: threading.Event, tell: Callable[[str], None]) -> None:
        """Go on until told to stop; what fails is told, and tried again. Closes the store."""
        backoff_seconds = self._settings.evidence.compact_seconds
        try:
            while not stop.is_set():
                try:
                    with open_compactor(self._settings) as compactor:
                        while not stop.is_set():
                            self._turn(compactor, tell)
                            backoff_seconds = self._settings.evidence.compact_seconds
                            stop.wait(backoff_seconds)
                except ConflictError:
                    stop.wait(_STANDBY_SECONDS)
                except TrimtabError as error:
                    backoff_seconds = min(2 * backoff_seconds, _LONGEST_BACKOFF_SECONDS)
                    tell(f"evidence: {error.message}; next try in {backoff_seconds:.0f} s")
                    stop.wait(backoff_seconds)
        finally:
            self._store.close()

    def _turn(self, compactor: Compactor, tell: Callable[[str], None]) -> None:
        while True:
            done = compactor.run()
            if done.damaged:
                tell(f"evidence: {done.damaged} damaged frames in journals; what was in them is lost")
            if not done.more:
                break
        if time.monotonic() - self._kept_at >= _UPKEEP_SECONDS:
            self._kept_at = time.monotonic()
            self._keep(compactor)

    def _keep(self, compactor: Compactor) -> None:
        """Merge, and let go of what is old: of journals only what the controller has read as well."""
        now_ms = compactor.now_ms
        merge(compactor)
        retain(compactor, older_than_ms=now_ms - round(self._settings.evidence.retention_days * _DAY_MS))
        settle_erasures(compactor)
        with self._store.read() as tx:
            judged = {
                one.process: JournalPosition(one.segment, one.offset, one.sequence) for one in tx.cursors(CONSUMER)
            }
        old_ms = now_ms - round(self._settings.evidence.journal_hours * _HOUR_MS)
        moved = compactor.state.cursors
        both = {process: min(moved[process], judged[process], key=_depth) for process in moved.keys() & judged.keys()}
        retire(self._settings.data_directory.journals, older_than_ms=old_ms, read=both)
        prune(self._settings.data_directory.journals, older_than_ms=old_ms, read=both)


def _depth(position: JournalPosition) -> int:
    return position.sequence
