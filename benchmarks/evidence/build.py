"""Writes a week of evidence as the compactor leaves it: closed hours merged, the open one in files of all levels."""

from __future__ import annotations

import math
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

import msgspec

from benchmarks.evidence.data import HOUR_MS, make_hour
from trimtab.evidence.compactor import stored
from trimtab.evidence.layout import Partition, data_key
from trimtab.evidence.log import Commit, EvidenceLog, LiveFile, LogState
from trimtab.evidence.objects import LocalObjects
from trimtab.evidence.parquet import ParquetBuffer, in_order
from trimtab.evidence.upkeep import FINAL_LEVEL, fan_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

__all__ = ["HOURS", "Built", "build", "kept"]

HOURS = 7 * 24
WRITER = "0bench00"
_TICK_MS = 5_000
"""How often the compactor runs."""
_PER_GENERATION = 1.25
"""Events: with 15 % scores and 10 % feedback."""


class Built(msgspec.Struct, frozen=True):
    """What was written."""

    files: list[LiveFile]
    now_ms: int

    def count(self, kind: str) -> int:
        return sum(file.rows for file in self.files if file.kind == kind)

    def size(self, kind: str) -> int:
        """Bytes."""
        return sum(file.size for file in self.files if file.kind == kind)


class _Task(msgspec.Struct, frozen=True):
    number: int
    hour_ms: int
    count: int
    until_ms: int


def build(folder: Path, events: int, *, now_ms: int, seed: int = 1) -> Built:
    """Write about so many events that end at `now_ms`, as many in every hour, on every core."""
    open_ms = now_ms // HOUR_MS * HOUR_MS
    hours = [open_ms - back * HOUR_MS for back in range(HOURS - 1, -1, -1)]
    weights = [1.0] * (HOURS - 1) + [(now_ms - open_ms) / HOUR_MS]
    scale = events / _PER_GENERATION / sum(weights)
    tasks = [
        _Task(number, hour_ms, round(weight * scale), min(now_ms, hour_ms + HOUR_MS))
        for number, (hour_ms, weight) in enumerate(zip(hours, weights, strict=True))
    ]
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as pool:
        files = [file for found in pool.map(partial(_write, folder, seed), tasks) for file in found]
    log = EvidenceLog(LocalObjects(folder), WRITER)
    log.commit(LogState(), Commit(number=1, at_ms=now_ms, add=files))
    return Built(files, now_ms)


def kept(folder: Path) -> Built:
    """Return what was written before."""
    files = list(EvidenceLog(LocalObjects(folder), WRITER).read().files.values())
    return Built(files, max(file.newest_ms for file in files if file.kind == "generations"))


def _write(folder: Path, seed: int, task: _Task) -> list[LiveFile]:
    hour = make_hour(task.hour_ms, task.count, seed=seed, span_ms=(task.hour_ms, task.until_ms))
    objects = LocalObjects(folder)
    found = []
    for kind in ("generations", "scores", "feedback"):
        partition = Partition(kind, task.hour_ms)
        for number, (table, level) in enumerate(_files(kind, getattr(hour, kind), task)):
            buffer = ParquetBuffer(kind, final=level == FINAL_LEVEL)
            for rows in in_order(kind, table) if level == FINAL_LEVEL else [table]:
                buffer.write(rows)
            found.append(stored(objects, data_key(partition, WRITER, number + 1, level), partition, buffer, level))
    return found


def _files(kind: str, table: pa.Table, task: _Task) -> Iterator[tuple[pa.Table, int]]:
    """Yield what becomes a file each, and its level: merged ones of an open hour, and the newest few seconds apart."""
    ticks = (task.until_ms - task.hour_ms) // _TICK_MS
    if task.until_ms == task.hour_ms + HOUR_MS or ticks < 2:
        yield table, FINAL_LEVEL
        return
    begin = done = 0
    levels = round(math.log(ticks) / math.log(fan_in(kind)))
    for level in range(levels, -1, -1):
        each = fan_in(kind) ** level
        while done + each <= ticks:
            done += each
            end = table.num_rows * done // ticks
            if end > begin:
                yield table.slice(begin, end - begin), level
            begin = end
