"""A rehearsal against the slow truth: the real controller, ledger, scorers and assignment on a fake clock."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest

from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.events import Generation
from trimtab.rollout.rehearsal import Baseline, Crowd, Fault, Rate, Run, Scene, Spread
from trimtab.rollout.simulation import Simulation, Trial, simulate
from trimtab.rollout.spec import AnalysisStep, BakeStep, PauseStep, RolloutPlan, ShadowStep, Step
from trimtab.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REAL_RUNS, REHEARSALS = 40, 160
SIGMAS = 3.5
"""Seeds are fixed, so this bounds how wrong a rehearsal may be, not how often the test fails."""
CROWD = Crowd(requests_per_second=10.0, requests_per_visit=1.5, users=2000)
OK, LATENCY = MetricSpec(name="ok", margin=0.06, scorer=ScorerSpec(regex=r"^\{")), MetricSpec(name="latency")
BASELINE: Baseline = {"ok": Rate(0.9), "latency": Spread(0.6, learned_share=0.99)}
LIKENESS = 0.2


def plan(*, shadow: bool) -> RolloutPlan:
    first = [Step(shadow=ShadowStep(traffic=10, duration="40s", min_units=5))] if shadow else []
    return RolloutPlan(
        window="10s",
        min_units=20,
        metrics=[OK, LATENCY],
        steps=[
            *first,
            Step(set_weight=10.0),
            Step(pause=PauseStep(duration="30s", min_units=15)),
            Step(set_weight=50.0),
            Step(analysis=AnalysisStep(mode="nonInferior", min_units=100, max_duration="4m")),
            Step(bake=BakeStep(duration="20s")),
        ],
    )


class People:
    """Users who differ, each of them alike: what `Rate` and `Spread` say, request by request."""

    def __init__(self, seed: int, fault: Fault | None) -> None:
        self.draw = random.Random(seed)
        self.fault = fault
        self.habits: dict[tuple[int, str], tuple[float, float]] = {}

    def visits(self) -> Iterator[Trial]:
        while True:
            user = self.draw.randrange(CROWD.users)
            again = True
            while again:
                yield Trial(f"u{user}", self.answer(user, "control"), self.answer(user, "candidate"))
                again = self.draw.random() < 1 - 1 / CROWD.requests_per_visit

    def answer(self, user: int, side: str) -> Generation:
        fault = self.fault if side == "candidate" else None
        if (user, side) not in self.habits:
            good = 0.9 if fault is None or fault.metric != "ok" else fault.good_after(0.9)
            weight = 1 / LIKENESS - 1
            habit = self.draw.betavariate(good * weight, (1 - good) * weight)
            self.habits[user, side] = habit, self.draw.gauss(0.0, 0.6 * math.sqrt(0.5))
        good, typical = self.habits[user, side]
        slower = fault.times if fault is not None and fault.metric == "latency" else 1.0
        return Generation(
            id="",
            at_ms=0,
            feature="",
            environment="",
            release="",
            output="{}" if self.draw.random() < good else "sorry",
            messages=[{"role": "user", "content": "?"}],
            latency_ms=400 * slower * math.exp(typical + self.draw.gauss(0.0, 0.6 * math.sqrt(0.5))),
        )


def really(chosen: RolloutPlan, fault: Fault | None, seed: int) -> tuple[str, float, int]:
    requests = (trial for _, trial in zip(range(3500), People(seed, fault).visits(), strict=False))
    simulation = Simulation(plan=chosen, seed=seed, requests_per_second=CROWD.requests_per_second, tick_seconds=1.0)
    result = simulate(MemoryStore(), requests, simulation)
    entered = next(t.at_ms for t in result.transitions)
    ended = result.transitions[-1].at_ms
    return result.state, (ended - entered) / 1000, result.rollout.verdict["candidate_units"]


def rehearsed(chosen: RolloutPlan, fault: Fault | None, seed: int) -> tuple[str, float, int]:
    faults = {} if fault is None else {fault.metric: fault}
    result = Run(Scene(chosen, CROWD, BASELINE), faults, seed=seed).play()
    return result.state, result.seconds, result.units


def sigmas_apart(first: Sequence[float], second: Sequence[float]) -> float:
    """Mann and Whitney's U, in standard deviations: whether one of two samples tends to be larger."""
    m, n = len(first), len(second)
    wins = sum((a > b) + 0.5 * (a == b) for a in first for b in second)
    return abs(wins - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "shadow", "usual"),
    [
        (None, False, "promoted"),
        (Fault("ok", spoiled=0.2), False, "rolled_back"),
        (Fault("ok", spoiled=0.25), True, "rolled_back"),
        (Fault("latency", times=1.6), False, "rolled_back"),
        (Fault("ok", spoiled=0.12), True, "paused"),
    ],
    ids=["unchanged", "answers", "answers-in-shadow", "latency", "hardly-worse"],
)
def test_a_rehearsal_ends_as_often_as_soon_and_after_as_many_units_as_the_real_controller(
    fault: Fault | None,
    shadow: bool,  # noqa: FBT001 - pytest passes by name
    usual: str,
) -> None:
    chosen = plan(shadow=shadow)
    real = [really(chosen, fault, seed) for seed in range(REAL_RUNS)]
    played = [rehearsed(chosen, fault, seed) for seed in range(REHEARSALS)]
    for state in {state for state, _, _ in real + played}:
        share, of = (sum(one[0] == state for one in some) / len(some) for some in (real, played))
        pooled = (share * REAL_RUNS + of * REHEARSALS) / (REAL_RUNS + REHEARSALS)
        error = math.sqrt(pooled * (1 - pooled) * (1 / REAL_RUNS + 1 / REHEARSALS))
        assert abs(share - of) <= SIGMAS * error, (state, share, of)
    ours, theirs = ([one for one in some if one[0] == usual] for some in (played, real))
    assert len(theirs) > REAL_RUNS / 4
    assert sigmas_apart([one[1] for one in ours], [one[1] for one in theirs]) <= SIGMAS
    if not shadow and usual != "paused":  # units where no phase but one has any, and where no more came after the end
        assert sigmas_apart([one[2] for one in ours], [one[2] for one in theirs]) <= SIGMAS
