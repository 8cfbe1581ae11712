"""Memory of one gateway worker over millions of requests, content captured: flat, or it leaks.

`python -m benchmarks soak --requests 2000000` (two to four minutes). Exits 1 where memory grew or events were dropped.
Requests come in slices; every tenth slice is streams. The first fifth fills pools and caches; what counts is the growth
after it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

from benchmarks.harness.bench import open_bench
from benchmarks.harness.contender import run_contender
from benchmarks.harness.gateways import events_of
from benchmarks.harness.machine import describe_machine
from benchmarks.harness.page import soak_table
from benchmarks.harness.results import Soak, save_results
from benchmarks.harness.workloads import CHAT_LONG, STREAM
from benchmarks.servers import trimtab

SLICES = 100
STREAM_EVERY = 10
STREAM_SHARE = 5
"""A slice of streams has a fifth of the requests: they take as long."""
SETTLED = 0.2
MAX_RSS_MB = 80.0
MAX_GROWTH_MB = 2.0


def soak(requests: int) -> Soak:
    """Drive one gateway and read its memory after every slice."""
    machine, began = describe_machine(), time.monotonic()
    readings: list[tuple[int, float]] = []
    streams = 0
    with open_bench() as (kit, workspace):
        server = trimtab.prepare_capturing(workspace)
        with contextlib.ExitStack() as stack:
            contender = stack.enter_context(run_contender(server, kit, [CHAT_LONG, STREAM]))
            number = 0
            while contender.requests < requests:
                number += 1
                size = max(1, min(requests // SLICES, requests - contender.requests))
                if number % STREAM_EVERY == 0:
                    size = max(1, size // STREAM_SHARE)
                    streams += size
                load = contender.drive_requests(STREAM if number % STREAM_EVERY == 0 else CHAT_LONG, size)
                if load.problem:
                    sys.exit(f"after {contender.requests:,} requests: {load.problem}")
                readings.append((contender.requests, round(contender.rss_bytes() / 1e6, 1)))
                if number % STREAM_EVERY == 0:
                    print(f"  {readings[-1][0]:>10,} requests  {readings[-1][1]:.1f} MB", flush=True)
        durable, dropped = events_of(server.data)
    settled = next(memory for count, memory in readings if count >= SETTLED * requests)
    highest = max(memory for _, memory in readings)
    growth = readings[-1][1] - settled
    return Soak(
        machine=machine,
        command=f"python -m benchmarks soak --requests {requests}",
        requests=contender.requests,
        streams=streams,
        seconds=round(time.monotonic() - began, 0),
        rss_mb=[reading for number, reading in enumerate(readings, 1) if number % STREAM_EVERY == 0],
        durable_events=durable or 0,
        dropped_events=dropped or 0,
        highest_rss_mb=highest,
        growth_mb=round(growth, 1),
        flat=growth <= MAX_GROWTH_MB and highest <= MAX_RSS_MB,
    )


def main(arguments: list[str] | None = None) -> None:
    """Soak, print, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=2_000_000)
    parser.add_argument("--no-write", action="store_true", help="print only")
    asked = parser.parse_args(arguments)
    found = soak(asked.requests)
    print(soak_table(found))
    if not asked.no_write:
        print(f"written: {save_results(soak=found)}")
    if not found.flat or found.dropped_events or found.durable_events < found.requests:
        sys.exit(1)


if __name__ == "__main__":
    main()
