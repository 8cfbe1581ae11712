"""What it costs to bring events from journals to rest, beside writing the same rows with Arrow once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.evidence.data import HOUR_MS, make_hour
from trimtab.core.clock import FakeClock
from trimtab.events import encode_event
from trimtab.evidence.compactor import Compactor
from trimtab.evidence.objects import LocalObjects
from trimtab.evidence.rows import event_from_row
from trimtab.evidence.upkeep import merge
from trimtab.serving.directory import DataDirectory
from trimtab.serving.journal import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Moved", "measure_moving"]

_HOUR_BEGINS_MS = 1_790_000_000_000 // HOUR_MS * HOUR_MS


class Moved(msgspec.Struct, frozen=True):
    """CPU µs per event, and bytes per event when all is done."""

    moving: float
    merging: float
    putting_in_order: float
    floor: float
    bytes_at_rest: float


def measure_moving(folder: Path, *, generations: int, turns: int) -> Moved:
    """Move an hour of generations in so many turns of the compactor, merge as it fills, and when it is over."""
    table = make_hour(_HOUR_BEGINS_MS, generations, seed=7).generations
    records = [
        (encode_event(event), event.at_ms)
        for batch in table.to_batches(max_chunksize=1_000)
        for event in (event_from_row("generations", row) for row in batch.to_pylist())
    ]
    directory, clock = DataDirectory(folder), FakeClock(_HOUR_BEGINS_MS)
    writer = JournalWriter(directory.journals / "gateway-1")
    each = -(-len(records) // turns)
    moving = merging = 0.0
    with Compactor.open(LocalObjects(folder / "evidence"), directory, clock) as compactor:
        for begin in range(0, len(records), each):
            for record, at_ms in records[begin : begin + each]:
                while not writer.append(record, at_ms):
                    writer.flush(10)
            writer.flush(10)
            moving += _cpu(lambda: _until_done(compactor))
            merging += _cpu(lambda: merge(compactor))
        clock.advance(2 * HOUR_MS / 1000)
        in_order = _cpu(lambda: merge(compactor))
        size = sum(file.size for file in compactor.state.files.values())
    writer.close()
    floor = _cpu(lambda: pq.write_table(table, pa.BufferOutputStream(), compression="zstd", compression_level=3))
    return Moved(*(cost / len(records) * 1e6 for cost in (moving, merging, in_order, floor)), size / len(records))


def _until_done(compactor: Compactor) -> None:
    while compactor.run().more:
        pass


def _cpu(work: Callable[[], object]) -> float:
    """CPU seconds of the whole process: Arrow has threads of its own."""
    began = time.process_time()
    work()
    return time.process_time() - began
