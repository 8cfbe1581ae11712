"""The data-plane core: what deciding, rendering and recording cost, beside the floor each cannot go below."""

from __future__ import annotations

import statistics
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import minijinja

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.ids import new_id
from trimtab.events import Generation, encode_event
from trimtab.releases.model import CompiledRelease
from trimtab.serving.journal import JournalWriter
from trimtab.serving.journal_reader import find
from trimtab.serving.routing import RoutingTable
from trimtab.serving.snapshot import RolloutRoute, Route, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATE = "You answer customers of {{ shop }}. Reply with one JSON object and nothing else."
SCHEMA = {"type": "object", "properties": {"shop": {"type": "string"}}, "required": ["shop"]}
CALLS, ROUNDS = 20_000, 7


def paired(cases: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """CPU µs per call: the median of rounds in which the cases take turns."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, call in cases.items():
            began = time.process_time()
            for _ in range(CALLS):
                call()
            found[name].append((time.process_time() - began) / CALLS * 1e6)
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
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        writer = JournalWriter(Path(folder) / "p")
        costs = paired(
            {
                "decide during a rollout": lambda: routes.decide("f", "user-42"),
                "  floor: one SHA-256": lambda: sha256(b"salt\x1fuser-42").digest(),
                "render and check variables": lambda: release.render({"shop": "Acme"}),
                "  floor: minijinja alone": lambda: floor.render_template("t", shop="Acme"),
                "encode an event of 2.3 KB": lambda: encode_event(event),
                "journal append, flusher included": lambda: writer.append(record, 1),
                "  floor: copy into a bytearray": lambda: bytearray(record),
            }
        )
        for name, cost in costs.items():
            print(f"{name:<36}{cost:8.2f} CPU µs")
        began = time.perf_counter()
        before = writer.counters.recorded
        while time.perf_counter() - began < 2:
            writer.append(record, 1)
        writer.flush(30)
        seconds = time.perf_counter() - began
        print(f"{'durable events':<36}{(writer.counters.durable - before) / seconds:8,.0f} per second")
        writer.close()
    with tempfile.TemporaryDirectory() as folder:
        writer = JournalWriter(Path(folder) / "p")
        start_ms, wanted = 1_760_000_000_000, ""
        for index in range(200_000):
            at_ms = start_ms + index * 5
            one = Generation(
                id=new_id("gen", at_ms), at_ms=at_ms, feature="f", environment="e", release="r", output="x" * 300
            )
            wanted = one.id if index == 100_000 else wanted
            while not writer.append(encode_event(one), at_ms):
                writer.flush(5)
            if index % 500 == 0:
                writer.flush(5)
        writer.close()
        began = time.process_time()
        assert len(find(Path(folder), wanted)) == 1
        print(f"{'find one of 200,000 by id':<36}{(time.process_time() - began) * 1e3:8.1f} CPU ms")


if __name__ == "__main__":
    main()
