"""Functions measured in turns: CPU time per call, in the calling thread and in the whole process."""

from __future__ import annotations

import dataclasses
import statistics
import time
from typing import TYPE_CHECKING, Any

from benchmarks.harness.results import CallCost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Case", "take_turns"]


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing to call, alone or in batches (`batch` is told how many)."""

    name: str
    call: Callable[[], Any] = lambda: None
    batch: Callable[[int], Any] | None = None
    after: Callable[[], Any] | None = None
    """Run after a batch, in the process's time but not in the thread's: work that others do behind the call."""

    def run(self, calls: int) -> None:
        """Call so often."""
        if self.batch is not None:
            self.batch(calls)
            return
        call = self.call
        for _ in range(calls):
            call()


def take_turns(cases: Sequence[Case], *, calls: int, rounds: int) -> list[CallCost]:
    """Return medians of rounds, each of one batch of every case; a first batch warms up and is not counted."""
    samples: dict[str, list[tuple[float, float]]] = {case.name: [] for case in cases}
    for case in cases:
        case.run(max(1, calls // 10))
        if case.after:
            case.after()
    for _ in range(rounds):
        for case in cases:
            thread, process = time.thread_time_ns(), time.process_time_ns()
            case.run(calls)
            thread = time.thread_time_ns() - thread
            if case.after:
                case.after()
            process = time.process_time_ns() - process
            samples[case.name].append((thread / calls / 1e3, process / calls / 1e3))
    return [
        CallCost(
            name=name,
            thread_us=statistics.median(thread for thread, _ in values),
            process_us=statistics.median(process for _, process in values),
        )
        for name, values in samples.items()
    ]
