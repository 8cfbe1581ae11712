"""How soon what is recorded is seen: by a question, and in the live statistics of a rollout that a server drives."""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import TYPE_CHECKING

import msgspec

from benchmarks.rollback import ENVIRONMENT, call, server, start, wait_for
from trimtab.evidence.objects import open_objects
from trimtab.evidence.reader import EvidenceReader
from trimtab.rollout.controller import CONSUMER
from trimtab.serving.directory import DataDirectory
from trimtab.serving.runtime import DataPlane
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Freshness", "measure_freshness"]

_PAUSE_SECONDS = 0.137
"""No fraction of the server's ticks: events fall anywhere between two of them."""


class Freshness(msgspec.Struct, frozen=True):
    """Seconds from `record` until the event counts: half of the times, and the longest."""

    query: tuple[float, float]
    live: tuple[float, float]


def measure_freshness(folder: Path, *, events: int = 40) -> Freshness:
    """Record events one by one beside a real `trimtab server`, and watch for each."""
    directory = DataDirectory(folder / "data")
    store = open_sqlite(directory.database)
    start(store)
    seen: dict[str, list[float]] = {"query": [], "live": []}
    with contextlib.ExitStack() as stack:
        stack.callback(store.close)
        stack.enter_context(server(folder))
        wait_for(lambda: directory.snapshot(ENVIRONMENT).exists(), "the server published nothing")
        plane = DataPlane.open(directory, environment=ENVIRONMENT, kind="bench")
        stack.callback(plane.close)
        reader = EvidenceReader(open_objects(str(directory.root / "evidence")), directory.journals)
        stack.callback(reader.close)

        def counted() -> int:
            found: int = reader.query("SELECT count(*) AS n FROM generations").to_pylist()[0]["n"]
            return found

        def judged() -> int:
            with store.read() as tx:
                return next((one.sequence for one in tx.cursors(CONSUMER) if one.process == plane.process_id), 0)

        for number in range(events):
            began = time.monotonic()
            call(plane, f"user-{number}", broken=False)
            waiting: dict[str, Callable[[], int]] = {"query": counted, "live": judged}
            while waiting:
                for name, count in list(waiting.items()):
                    if count() > number:
                        seen[name].append(time.monotonic() - began)
                        del waiting[name]
                time.sleep(0.005)
            time.sleep(_PAUSE_SECONDS)
    return Freshness(*((statistics.median(seen[name]), max(seen[name])) for name in ("query", "live")))
