"""`just bench evidence`: a week of evidence, the questions of the promise, and what it cost to get there.

`--events 10000000` is the size the promise is made for: some 3 minutes on two cores and 4 GB of disk. Every question is
asked warm (a server: a reader that was asked before), cold (a command in a process of its own, Python's start
included), and of plain DuckDB over the same files, which knows their columns and not which of them to open.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.evidence.asked import Asked, questions
from benchmarks.evidence.build import HOURS, Built, build, kept
from benchmarks.evidence.data import HOUR_MS
from benchmarks.evidence.freshness import measure_freshness
from benchmarks.evidence.moving import measure_moving
from benchmarks.harness.bench import FOLDER
from trimtab.evidence.objects import LocalObjects
from trimtab.evidence.reader import EvidenceReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["main"]

_TEXT = ("messages", "variables", "output", "tool_calls")
_WARM_ROUNDS, _COLD_ROUNDS = 7, 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="just bench evidence", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000, help="how many (300,000)")
    parser.add_argument("--generations", type=int, default=12_000, help="to move through a compactor (12,000)")
    parser.add_argument("--folder", type=Path, help="keep the week here; one that is here already is asked again")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with contextlib.nullcontext(options.folder) if options.folder else _folder() as folder:
        evidence = folder / ".trimtab" / "evidence"
        built = kept(evidence) if evidence.exists() else _timed_build(evidence, options.events)
        _tell_size(evidence, built)
        _ask_all(folder, built)
    with _folder() as folder:
        moved = measure_moving(folder, generations=options.generations, turns=max(2, options.generations // 500))
    total = moved.moving + moved.merging + moved.putting_in_order
    print(f"\nfrom journals to rest, CPU µs per event of 2.3 KB: {total:.0f}")
    print(f"  into files {moved.moving:.0f}, merged while the hour fills {moved.merging:.0f}, ", end="")
    print(f"put in order {moved.putting_in_order:.0f}; {moved.bytes_at_rest:.0f} bytes at rest")
    print(f"  floor: Arrow writes the same rows once, zstd level 3: {moved.floor:.0f}")
    with _folder() as folder:
        fresh = measure_freshness(folder)
    print("\nfrom `record` until it counts, seconds (half, longest of 40), beside a real `trimtab server`:")
    print(f"  in a question {fresh.query[0]:.2f}, {fresh.query[1]:.2f}", end="")
    print(f"; in a rollout's statistics {fresh.live[0]:.2f}, {fresh.live[1]:.2f}")


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder on a real disk that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="evidence-", dir=FOLDER))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _timed_build(folder: Path, events: int) -> Built:
    began = time.perf_counter()
    now_ms = time.time_ns() // 1_000_000
    built = build(folder, events, now_ms=now_ms)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall, cpu = time.perf_counter() - began, spent.ru_utime + spent.ru_stime
    print(f"made in {wall:.0f} s ({cpu:.0f} s of CPU)")
    return built


def _tell_size(folder: Path, built: Built) -> None:
    count, size = (sum(of(kind) for kind in ("generations", "scores", "feedback")) for of in (built.count, built.size))
    calls = built.count("generations")
    newest = max(
        (file for file in built.files if file.summary), key=lambda file: (file.kind == "generations", file.hour_ms)
    )
    raw, packed = _text(folder / newest.key)
    print(f"{count:,} events over {HOURS // 24} days in {len(built.files):,} files: ", end="")
    print(f"{calls:,} generations, {built.count('scores'):,} scores, ", end="")
    print(f"{built.count('feedback'):,} feedback")
    print(f"{built.size('generations') / calls:.0f} bytes a generation, {size / count:.0f} an event; ", end="")
    print(f"of a generation {raw:.0f} are text, packed to {packed:.0f} (zstd {raw / packed:.1f} to 1)\n")


def _text(path: Path) -> tuple[float, float]:
    """Return characters of text a row, and bytes that they take."""
    with pq.ParquetFile(path) as file:
        rows = file.metadata.num_rows
        table = file.read(columns=list(_TEXT))
        raw = sum(pc.sum(pc.binary_length(table.column(name))).as_py() for name in _TEXT)
        groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
        columns = (group.column(number) for group in groups for number in range(group.num_columns))
        packed = sum(one.total_compressed_size for one in columns if one.path_in_schema in _TEXT)
    return raw / rows, packed / rows


def _ask_all(folder: Path, built: Built) -> None:
    evidence = folder / ".trimtab" / "evidence"
    with _first_in_line():  # before DuckDB starts threads: they inherit it
        reader = EvidenceReader(LocalObjects(evidence))
        _ask_each(folder, built, reader)


def _ask_each(folder: Path, built: Built, reader: EvidenceReader) -> None:
    try:
        three_days_ago = built.now_ms - 72 * HOUR_MS
        span = (three_days_ago, three_days_ago + HOUR_MS)
        found = reader.query("SELECT id FROM generations ORDER BY md5(id) LIMIT 1", hours=span)
        age = (time.time_ns() // 1_000_000 - built.now_ms) // 1000 + 30
        asked = questions(built.now_ms, found.column("id")[0].as_py(), since_now_seconds=age)
        ways = "".join(f"{way:>9}{'CPU':>7}" for way in ("warm", "cold", "DuckDB"))
        print(f"{'milliseconds':<50}{'promise':>8}{ways}   rows")
        for one in asked:
            _ask(one, reader, folder)
    finally:
        reader.close()


def _ask(one: Asked, reader: EvidenceReader, folder: Path) -> None:
    rows = one.ask(reader)
    warm = _measured(lambda: one.ask(reader), _WARM_ROUNDS if one.promise_ms else 1, resource.RUSAGE_SELF)
    line = f"{one.name:<50}{one.promise_ms or '':>8}{warm[0]:>9.0f}{warm[1]:>7.0f}"
    if one.command:
        command = [sys.executable, "-m", "trimtab", *one.command]
        with _first_in_line(first=False):
            cold = _measured(lambda: _run(command, folder), _COLD_ROUNDS, resource.RUSAGE_CHILDREN)
        plain = one.plain.replace("{folder}", str(folder / ".trimtab" / "evidence"))
        floor = _measured(lambda: _plain(plain), _COLD_ROUNDS, resource.RUSAGE_SELF)
        line += f"{cold[0]:>9.0f}{cold[1]:>7.0f}{floor[0]:>9.0f}{floor[1]:>7.0f}"
    else:
        line += " " * 32
    print(f"{line}   {rows:,}", flush=True)


def _plain(sql: str) -> None:
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.sql(sql).to_arrow_table()


@contextlib.contextmanager
def _first_in_line(*, first: bool = True) -> Iterator[None]:
    """Real-time priority for this thread and those it starts, where that is allowed: a busy machine then costs less."""
    policy = os.SCHED_FIFO if first else os.SCHED_OTHER
    before, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, policy, os.sched_param(10 if first else 0))
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, before, priority)


def _run(command: list[str], folder: Path) -> None:
    environ = os.environ | {"NO_COLOR": "1"}
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, env=environ)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.decode()}")


def _measured(work: Callable[[], object], rounds: int, who: int) -> tuple[float, float]:
    """Return milliseconds by the clock and of CPU, the medians."""
    walls, cpus = [], []
    for _ in range(rounds):
        before, began = resource.getrusage(who), time.perf_counter()
        work()
        walls.append((time.perf_counter() - began) * 1000)
        after = resource.getrusage(who)
        cpus.append((after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000)
    return statistics.median(walls), statistics.median(cpus)
