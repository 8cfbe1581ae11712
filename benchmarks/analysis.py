"""What evidence costs: one bet, beside the same bet on numpy arrays; one generation folded; one decision; one simulated
rollout. Cases take turns in one run. `python -m benchmarks.analysis`.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from typing import TYPE_CHECKING, Any

from trimtab.analysis.evidence import EvidenceState, decode_evidence, encode_evidence
from trimtab.analysis.ledger import Ledger, margins_of
from trimtab.analysis.model import MetricSpec
from trimtab.analysis.scorers import ScorerLibrary
from trimtab.analysis.verdict import Limits, judge
from trimtab.events import Generation
from trimtab.rollout.simulation import Simulation, Trial, simulate
from trimtab.rollout.spec import default_plan
from trimtab.stats import PairedBetting, betting_grid
from trimtab.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7
SPECS = [MetricSpec(name="error"), MetricSpec(name="format"), MetricSpec(name="refusal"), MetricSpec(name="latency")]


def paired(cases: dict[str, Callable[[], Any]], *, calls: int) -> dict[str, float]:
    """Thread CPU in microseconds per call, median of rounds, the cases taking turns."""
    samples: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            began = time.thread_time_ns()
            for _ in range(calls):
                case()
            samples[name].append((time.thread_time_ns() - began) / calls / 1000)
    return {name: statistics.median(values) for name, values in samples.items()}


def bets() -> dict[str, Callable[[], Any]]:
    source = random.Random(1)
    draws = [(float(source.random() < 0.9), float(source.random() < 0.9)) for _ in range(1000)]
    turn = iter(range(10**9))
    ours = PairedBetting.start("harm", 0.02)

    def update() -> None:
        control, candidate = draws[next(turn) % 1000]
        ours.update(control=control, candidate=candidate)

    cases: dict[str, Callable[[], Any]] = {"one pair, one bet": update}
    try:
        import numpy as np
    except ModuleNotFoundError:
        return cases
    stakes, wealth = np.array(betting_grid(0.02)), np.zeros(len(betting_grid(0.02)))
    peak = 0.0

    def update_numpy() -> None:
        nonlocal wealth, peak
        control, candidate = draws[next(turn) % 1000]
        wealth = wealth + np.log1p(stakes * (control - candidate - 0.02))
        top = wealth.max()
        if top > peak:
            peak = max(peak, top + math.log(np.exp(wealth - top).mean()))

    return cases | {"peer: the same on numpy": update_numpy}


def generations(count: int) -> list[Generation]:
    source = random.Random(2)
    return [
        Generation(
            id=f"gen_{index}",
            at_ms=index,
            feature="f",
            environment="e",
            release="r",
            arm=source.choice(["candidate", "matched_control"]),
            unit=f"user-{index}",
            stage=1,
            latency_ms=source.lognormvariate(6, 0.5),
            output="Your order A-1007 left our warehouse this morning. " * 6,
            messages=[{"role": "user", "content": "?"}],
        )
        for index in range(count)
    ]


def ledger() -> Ledger:
    state = EvidenceState.start(margins_of(SPECS))
    meters = ScorerLibrary().meters(SPECS)
    return Ledger(state, meters=meters, window_ms=10, shadow_stages=frozenset(), counted=set())


def folding() -> dict[str, float]:
    """Microseconds per generation of a unit of its own, four metrics, windows closed and bets made."""
    events = generations(20_000)
    samples = []
    for _ in range(3):
        book = ledger()
        began = time.thread_time_ns()
        for start in range(0, len(events), 500):
            for event in events[start : start + 500]:
                book.add(event, None, now_ms=event.at_ms)
            book.close(start + 1000)
        samples.append((time.thread_time_ns() - began) / len(events) / 1000)
    limits = Limits.of(SPECS, alpha=0.05, phases=1)
    data = encode_evidence(book.state)
    decisions = paired(
        {
            "one verdict on four metrics": lambda: judge(book.state, SPECS, limits=limits, phase="live"),
            f"evidence stored and read, {len(data):,} bytes": lambda: decode_evidence(encode_evidence(book.state)),
        },
        calls=200,
    )
    return {"one generation folded": statistics.median(samples)} | decisions


def simulated() -> tuple[int, float]:
    """Requests and seconds of one rollout under the built-in plan."""
    trials = [Trial(event.unit, event, event) for event in generations(30_000)]
    began = time.perf_counter()
    result = simulate(MemoryStore(), trials, Simulation(plan=default_plan(), tick_seconds=30.0))
    return result.requests, time.perf_counter() - began


def main() -> None:
    for name, microseconds in (paired(bets(), calls=20_000) | folding()).items():
        print(f"{name:45} {microseconds:9.2f} µs")
    requests, elapsed = simulated()
    print(f"{'one simulated rollout':45} {requests:9,} requests in {elapsed:.2f} s")


if __name__ == "__main__":
    main()
