"""The journal end to end: what an event of 2.3 KB of text costs until it is fsynced, beside the same bytes by hand.

CPU of the whole process, all threads: encode, copy and checksum into the hot buffer, zstd, write, fdatasync. The floor
is zstd, write and fdatasync of the same records in frames as large, without being killable at any moment.
"""

from __future__ import annotations

import itertools
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from benchmarks.harness.bench import FOLDER
from trimtab.core.ids import new_id
from trimtab.events import Generation, encode_event
from trimtab.serving.directory import DataDirectory
from trimtab.serving.disk_budget import JournalLimits
from trimtab.serving.journal_folder import segments
from trimtab.serving.journal_reader import JournalPosition, read_journal
from trimtab.serving.runtime import DataPlane

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS, ROUNDS = 40_000, 7
_AHEAD = 1_000
"""Events that may wait to be fsynced before the producer does: 2.3 MB, half of what the buffer takes."""
_SYSTEM = (
    "You answer customers of Acme in their own language. Be brief and warm. Say only what the order's record below "
    "says; where it says nothing, tell them who will look into it and by when. Reply with plain sentences."
)
_LIMITS = JournalLimits(max_bytes=1 << 50, min_free_bytes=0)


def main() -> None:
    """Print the costs."""
    events = make_events(EVENTS)
    records = [encode_event(event) for event in events]
    size = statistics.mean(map(len, records))
    FOLDER.mkdir(exist_ok=True)
    journal, floor, atrest = [], [], 0.0
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            cost, atrest = end_to_end(Path(folder), events)
            journal.append(cost)
            floor.append(by_hand(Path(folder), records))
    text = statistics.mean(len(event.output) + sum(len(one["content"]) for one in event.messages) for event in events)
    print(f"{EVENTS:,} events with {text:,.0f} characters of text each, {size:,.0f} bytes encoded, {ROUNDS} rounds")
    print(f"{'in the journal':<36}{atrest:8,.0f} bytes an event, {size / atrest:.2f} times smaller")
    tell("record until it is fsynced", journal)
    tell("  floor: zstd, write, fdatasync", floor)
    ratio = statistics.median(one / other for one, other in zip(journal, floor, strict=True))
    print(f"{'  ratio':<36}{ratio:8.2f}")


def tell(name: str, costs: list[float]) -> None:
    """Print the median of rounds."""
    cost = statistics.median(costs)
    print(f"{name:<36}{cost:8.2f} CPU µs an event, {1e6 / cost:,.0f} events a second and core")


def end_to_end(folder: Path, events: list[Generation]) -> tuple[float, float]:
    """Return CPU µs and bytes at rest per event; every one is read back."""
    plane = DataPlane.open(DataDirectory(folder), environment="production", kind="benchmark", journal=_LIMITS)
    journal = folder / "journal" / plane.process_id
    try:
        plane.record(events[0])
        plane.flush()  # what is loaded late is loaded
        began = time.process_time()
        for number, event in enumerate(events):
            plane.record(event)
            if not number & 127:
                while (told := plane.health())["recorded"] - told["durable"] > _AHEAD:
                    time.sleep(0.001)
        plane.flush(30)
        cost = (time.process_time() - began) / len(events) * 1e6
    finally:
        plane.close()
    size = sum(path.stat().st_size for path in segments(journal))
    found, position = 0, JournalPosition()
    while batch := (result := read_journal(journal, position)).events:
        found, position = found + len(batch), result.position
    if found != len(events) + 1:
        raise SystemExit(f"{found} of {len(events) + 1} events are there")
    return cost, size / len(events)


def by_hand(folder: Path, records: list[bytes]) -> float:
    """Return CPU µs per event of the same bytes, compressed, written and fsynced `_AHEAD` at a time."""
    descriptor = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        began = time.process_time()
        for start in range(0, len(records), _AHEAD):
            data = b"".join(records[start : start + _AHEAD])
            os.write(descriptor, zstandard.ZstdCompressor(level=1).compress(data))
            os.fdatasync(descriptor)
        return (time.process_time() - began) / len(records) * 1e6
    finally:
        os.close(descriptor)


def make_events(count: int) -> list[Generation]:
    """Return generations as a support feature makes them: one system prompt, questions and answers all different.

    Words are drawn by Zipf's law, so that zstd finds in them about what it finds in English.
    """
    seeded = random.Random(11)
    say = _speaker(seeded)
    start_ms = 1_760_000_000_000
    return [
        Generation(
            id=new_id("gen", start_ms + number),
            at_ms=start_ms + number,
            feature="support-reply",
            environment="production",
            release="sha256:" + "5e" * 32,
            process="gateway-4711-0a1b2c3d",
            release_number=17,
            unit=f"user-{seeded.randrange(50_000)}",
            provider="openai",
            requested_model="gpt-4.1-mini",
            served_model="gpt-4.1-mini-2025-04-14",
            latency_ms=seeded.lognormvariate(6.5, 0.5),
            first_token_ms=seeded.lognormvariate(5.5, 0.5),
            input_tokens=seeded.randrange(100, 400),
            output_tokens=seeded.randrange(100, 600),
            cost_usd=seeded.random() / 1000,
            finish_reason="stop",
            messages=[{"role": "system", "content": _SYSTEM}, {"role": "user", "content": say(640)}],
            output=say(1450),
        )
        for number in range(count)
    ]


def _speaker(seeded: random.Random) -> Callable[[int], str]:
    """Return what makes up texts of about a number of characters."""
    syllables = [
        first + second for first in (*"bcdfghlmnprstvw", "th", "st", "ch") for second in (*"aeiou", "ea", "ou")
    ]
    words = ["".join(seeded.choices(syllables, k=seeded.choice((1, 1, 2, 2, 3, 4)))) for _ in range(8_000)]
    cumulated = list(itertools.accumulate(1 / (rank + 25) for rank in range(len(words))))

    def say(length: int) -> str:
        drawn = seeded.choices(words, cum_weights=cumulated, k=length // 3)
        return " ".join(drawn)[:length] + "."

    return say


if __name__ == "__main__":
    main()
