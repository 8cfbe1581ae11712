"""`just bench behaviour`: how often a diff of real answers flags something by chance, and what a diff costs.

The answers are LLMDrift's (`TRIMTAB_DATA`). `--write` puts the figures into docs/explanation/behavioural-diff.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.behaviour import llmdrift
from benchmarks.behaviour.null import flags_by_chance, replayed_by_chance
from trimtab.behaviour import Output, Pair, diff
from trimtab.behaviour.reading import parse_json
from trimtab.stats.beta import clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "behavioural-diff.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
LOGGED = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="just bench behaviour", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="random namings of each of the ten upgrades (20)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the namings (1)")
    parser.add_argument("--write", action="store_true", help="write the figures into the documentation")
    said = parser.parse_args()
    if llmdrift.folder() is None:
        print("TRIMTAB_DATA does not name the folder with the LLMDrift files: only the cost is measured")
        print("\n".join(costs()))
        return
    lines = [*upgrades(said.runs, said.seed), "", *costs()]
    print("\n".join(lines))
    if said.write:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        date = dt.datetime.now(tz=dt.UTC).date()
        figures = "\n".join([*lines, "", f"Measured {date} with `just bench behaviour --runs {said.runs} --write`."])
        PAGE.write_text(f"{before}{BEGIN}{figures}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def upgrades(runs: int, seed: int) -> Iterator[str]:
    """Return a table of the ten upgrades: flags, and how often there are any where chance names the new output."""
    yield "| upgrade | items | published | flags | negative flips | any flag by chance | alarm by chance |"
    yield "|---|---|---|---|---|---|---|"
    alarms = total = 0
    for (task, family), (before, after) in llmdrift.PUBLISHED.items():
        pairs = llmdrift.pairs(task, family)
        found = diff(pairs)
        drawn = list(flags_by_chance(pairs, runs=runs, seed=seed))
        flagged, alarm = sum(1 for flags, _ in drawn if flags), sum(1 for _, raised in drawn if raised)
        alarms += sum(1 for flags, raised in drawn if flags or raised)
        total += runs
        flips = 0.0 if found.flips is None else found.flips.negative_share
        yield (
            f"| {task}, {family} | {len(pairs):,} | {before} → {after} % | {len(found.flags)} | {flips:.1%} "
            f"| {flagged} of {runs:,} | {alarm} of {runs:,} |"
        )
        print(f"{task}, {family}", file=sys.stderr)
    high = clopper_pearson(alarms, total).high
    triples = replays()
    replayed = sum(replayed_by_chance(triples, runs=runs, seed=seed))
    yield ""
    yield (
        f"A flag or alarm by chance: {alarms:,} of {total:,} diffs ({alarms / total:.2%}; "
        f"97.5 % sure to be at most {high:.2%}). With the old one asked again, three models' answers to {len(triples)} "
        f"items dealt out at random: {replayed:,} of {runs:,}."
    )


def replays() -> list[tuple[Output, Output, Output]]:
    """Return three models' answers to the same items: which is old, new or asked again is left to chance."""
    found = []
    for task in ("code", "sensitive"):
        later = {pair.item: pair.new for pair in llmdrift.pairs(task, "gpt-3.5")}
        found += [(pair.old, pair.new, later[pair.item]) for pair in llmdrift.pairs(task, "gpt-4")]
    return found


def costs() -> Iterator[str]:
    """Return what a diff of logged calls costs."""
    source = random.Random(1)
    words = [f"word{number}" for number in range(500)]
    pairs = []
    for number in range(LOGGED):
        said = " ".join(source.choices(words, k=120))
        order = json.dumps({"order": f"A-{number}", "late": number % 3 == 0, "reply": said})
        new = f"Sure!\n```json\n{order}\n```" if number % 4 == 0 else order
        old_call, new_call = (
            Output(text=text, output_tokens=len(text) // 4, latency_ms=source.uniform(300, 900), cost_usd=0.01)
            for text in (order, new)
        )
        pairs.append(Pair(item=str(number), old=old_call, new=new_call, slices={"tier": "ab"[number % 2]}))
    started = time.process_time()
    found = diff(pairs)
    seconds = time.process_time() - started
    started = time.process_time()
    for pair in pairs:
        parse_json(pair.old.text)
        parse_json(pair.new.text)
    floor = time.process_time() - started
    yield (
        f"A diff of {LOGGED:,} pairs of JSON answers of about {len(pairs[1].new.text):,} characters, in two slices: "
        f"{seconds:.1f} s of CPU ({len(found.flags)} flags), {1e6 * seconds / (2 * LOGGED):.0f} µs an output; "
        f"only to parse each as JSON takes {1e6 * floor / (2 * LOGGED):.0f} µs."
    )
