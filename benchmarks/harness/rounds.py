"""Interleaved rounds: every workload, every gateway in turn, again and again, so that a slow minute hits all alike."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from benchmarks.harness.contender import Contender, NotReadyError, Sample, run_contender
from benchmarks.harness.environments import UnavailableError
from benchmarks.harness.processes import LOAD_CORE, SERVER_CORE, spinning

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Sequence

    from benchmarks.harness.kit import Kit
    from benchmarks.harness.workloads import Workload
    from benchmarks.servers.model import Server, Workspace

__all__ = ["Entry", "Field", "Samples", "run_rounds"]

Entry = tuple["Callable[[Workspace], Server]", tuple["Workload", ...]]
"""How a gateway is prepared, and what it is asked."""


class Samples:
    """All samples of a run, by gateway and workload, in the order of rounds."""

    def __init__(self) -> None:
        self.by_key: dict[tuple[str, str], list[Sample]] = {}

    def add(self, sample: Sample) -> None:
        self.by_key.setdefault((sample.server, sample.workload), []).append(sample)

    def median(self, server: str, workload: str, read: Callable[[Sample], float]) -> float | None:
        """Median over the rounds; `None` where it was not measured, or a round did not count."""
        samples = self.by_key.get((server, workload))
        if not samples or any(sample.load.problem for sample in samples):
            return None
        return statistics.median(read(sample) for sample in samples)

    def ratio(self, over: str, under: str, workload: str, read: Callable[[Sample], float]) -> float | None:
        """Median over the rounds of one gateway's figure by another's of the same round."""
        above, below = self.by_key.get((over, workload)), self.by_key.get((under, workload))
        if not above or not below or any(sample.load.problem for sample in (*above, *below)):
            return None
        return statistics.median(read(a) / read(b) for a, b in zip(above, below, strict=True) if read(b))

    def problems(self) -> dict[str, str]:
        """What did not count, by gateway."""
        return {
            server: f"{workload}: {sample.load.problem}"
            for (server, workload), samples in self.by_key.items()
            for sample in samples
            if sample.load.problem
        }


class Field:
    """The gateways that run, and those that cannot, with the reason."""

    def __init__(self) -> None:
        self.contenders: list[tuple[Contender, tuple[Workload, ...]]] = []
        self.skipped: dict[str, str] = {}

    def enter(self, entries: Sequence[Entry], workspace: Workspace, kit: Kit, stack: contextlib.ExitStack) -> None:
        """Start every gateway in turn; each is frozen as soon as it has answered."""
        for prepare, workloads in entries:
            name = prepare.__module__.rpartition(".")[2]
            began = time.monotonic()
            try:
                server = prepare(workspace)
                contender = stack.enter_context(run_contender(server, kit, list(workloads)))
            except (UnavailableError, NotReadyError) as reason:
                self.skipped[name] = reason.brief if isinstance(reason, NotReadyError) else str(reason)
                print(f"  {name}: skipped, {reason}", flush=True)
                continue
            contender.freeze()
            for workload, problem in contender.unanswered.items():
                print(f"  {server.name}: {workload} is not measured, {problem}", flush=True)
            answered = tuple(workload for workload in workloads if workload.name not in contender.unanswered)
            self.contenders.append((contender, answered))
            print(f"  {server.name} {server.version}: answers after {time.monotonic() - began:.1f} s", flush=True)


def run_rounds(field: Field, kit: Kit, *, rounds: int, scale: float = 1.0) -> Samples:
    """Measure; with every round the order turns by one, so that nobody always follows the same neighbour."""
    samples = Samples()
    workloads = list(dict.fromkeys(workload for _, asked in field.contenders for workload in asked))
    # upstreams that never sleep keep their core awake themselves, and a loop would be given some of their time
    with spinning((SERVER_CORE,) if kit.busy_poll else (LOAD_CORE, SERVER_CORE)):
        for number in range(rounds):
            for workload in workloads:
                turn = [contender for contender, asked in field.contenders if workload in asked]
                first = number % len(turn)
                for contender in turn[first:] + turn[:first]:
                    with contender.awake():
                        samples.add(contender.measure(workload, scale=scale))
            print(f"  round {number + 1} of {rounds}", flush=True)
    return samples
