"""The data-plane core: what deciding, rendering and recording cost, beside the floor each cannot go below."""

from __future__ import annotations

import statistics
import tempfile
import time
import zlib
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import minijinja
import msgspec

from benchmarks.harness.bench import FOLDER
from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.ids import new_id
from trimtab.events import Generation, encode_event
from trimtab.releases.model import CompiledRelease
from trimtab.serving.directory import DataDirectory
from trimtab.serving.frames import encode_frame
from trimtab.serving.hot_buffer import RECORD_PREFIX
from trimtab.serving.journal import JournalWriter
from trimtab.serving.journal_folder import segment_path
from trimtab.serving.journal_reader import find
from trimtab.serving.routing import RoutingTable
from trimtab.serving.runtime import DataPlane
from trimtab.serving.snapshot import RolloutRoute, Route, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATE = "You answer customers of {{ shop }}. Reply with one JSON object and nothing else."
SCHEMA = {"type": "object", "properties": {"shop": {"type": "string"}}, "required": ["shop"]}
CALLS, ROUNDS = 10_000, 7


def paired(cases: dict[str, Callable[[], Any]], *, after: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """CPU µs per call in the calling thread: the median of rounds in which the cases take turns.

    `after` empties what a case fills, every thousand calls and untimed: a refused event costs less than a taken one.
    """
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, call in cases.items():
            spent = 0.0
            for _ in range(CALLS // 1000):
                began = time.thread_time()
                for _ in range(1000):
                    call()
                spent += time.thread_time() - began
                after.get(name, lambda: None)()
            found[name].append(spent / CALLS * 1e6)
    return {name: statistics.median(values) for name, values in found.items()}


def table() -> RoutingTable:
    releases = {
        f"sha256:{number}": CompiledRelease(
            digest=f"sha256:{number}",
            feature="f",
            number=number,
            prompt=PromptContent(messages=[PromptMessage(role="system", content=TEMPLATE)], variables=SCHEMA),
            model=ModelContent(provider="openai", model="m"),
        )
        for number in (1, 2)
    }
    rollout = RolloutRoute(
        id="ro", candidate="sha256:2", salt="salt", stage=0, state="progressing", weight=0.1, control_weight=0.1
    )
    route = Route(feature="f", stable="sha256:1", rollout=rollout)
    return RoutingTable(
        Snapshot(revision=1, environment="production", published_at_ms=0, routes=[route], releases=releases)
    )


def main() -> None:
    routes = table()
    release = routes.decide("f", "u").release
    floor = minijinja.Environment(templates={"t": TEMPLATE})
    event = Generation(
        id=new_id("gen", 1), at_ms=1, feature="f", environment="production", release="sha256:1", output="x" * 2300
    )
    record = encode_event(event)
    # a disk-backed folder: tmpfs would flatter the flusher
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        writer = JournalWriter(Path(folder) / "p")
        plane = DataPlane.open(DataDirectory(Path(folder) / "data"), environment="production", kind="benchmark")
        costs = paired(
            {
                "decide during a rollout": lambda: routes.decide("f", "user-42"),
                "  floor: one SHA-256": lambda: sha256(b"salt\x1fuser-42").digest(),
                "render and check variables": lambda: release.render({"shop": "Acme"}),
                "  floor: minijinja alone": lambda: floor.render_template("t", shop="Acme"),
                "record an event of 2.3 KB": lambda: plane.record(event),
                "  floor: encode it alone": lambda: encode_event(event),
                "journal append of its bytes": lambda: writer.append(record, 1),
                "  floor: copy and checksum them": lambda: zlib.crc32(bytearray(record)),
            },
            after={"record an event of 2.3 KB": plane.flush, "journal append of its bytes": lambda: writer.flush(30)},
        )
        for name, cost in costs.items():
            print(f"{name:<36}{cost:8.2f} CPU µs")
        print(f"{'dropped meanwhile':<36}{writer.counters.dropped + plane.health()['dropped']:8,}")
        sustained(writer, record)
        plane.close()
        writer.close()
    for per_frame in (500, 1):
        finding(per_frame)


def sustained(writer: JournalWriter, record: bytes) -> None:
    """Print how many events a second become durable, of a producer that never pauses."""
    began = time.perf_counter()
    before, dropped = writer.counters.durable, writer.counters.dropped
    while time.perf_counter() - began < 2:
        writer.append(record, 1)
    writer.flush(30)
    seconds = time.perf_counter() - began
    print(f"{'durable events':<36}{(writer.counters.durable - before) / seconds:8,.0f} per second", end="")
    print(f", {(writer.counters.dropped - dropped) / seconds:,.0f} per second dropped beyond that")


def finding(per_frame: int) -> None:
    """Print what finding one of 200,000 events costs; one event a frame is what a quiet process writes."""
    with tempfile.TemporaryDirectory() as folder:
        process = Path(folder) / "p"
        process.mkdir()
        template = Generation(id="", at_ms=0, feature="f", environment="e", release="r", output="x" * 300)
        start_ms, wanted, number = 1_760_000_000_000, "", 0
        with segment_path(process, 0).open("wb") as file:
            while number < 200_000:
                records, first, first_ms = b"", number, start_ms + number * 50
                for _ in range(per_frame):
                    at_ms = start_ms + number * 50
                    one = msgspec.structs.replace(template, id=new_id("gen", at_ms), at_ms=at_ms)
                    wanted = one.id if number == 100_000 else wanted
                    data = encode_event(one)
                    records += RECORD_PREFIX.pack(len(data), zlib.crc32(data, number)) + data
                    number += 1
                span_ms = (first_ms, start_ms + (number - 1) * 50)
                file.write(encode_frame(records, events=per_frame, first_sequence=first, span_ms=span_ms))
        began, cpu = time.perf_counter(), time.process_time()
        assert len(find(Path(folder), wanted)) == 1
        wall_ms, cpu_ms = (time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3
        print(f"find one of 200,000, {per_frame:>3} a frame{'':<6}{wall_ms:8.1f} ms, {cpu_ms:.1f} CPU ms")


if __name__ == "__main__":
    main()
