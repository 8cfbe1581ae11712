"""The engine's promises, on the engine itself: the real controller under a fake clock."""

from __future__ import annotations

import csv
import math
import os
import random
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.demo.primes import correct
from trimtab.events import Generation
from trimtab.rollout.simulation import Simulation, SimulationResult, Trial, simulate
from trimtab.rollout.spec import AnalysisStep, BakeStep, PauseStep, RolloutPlan, ShadowStep, Step
from trimtab.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

ALPHA = 0.05
RUNS = 300
DATA = os.environ.get("TRIMTAB_DATA", "")
needs_data = pytest.mark.skipif(not DATA, reason="TRIMTAB_DATA does not name the recorded generations")


def plan(*metrics: MetricSpec, shadow: bool = True) -> RolloutPlan:
    first = [Step(shadow=ShadowStep(traffic=5, duration="30s", min_units=5))] if shadow else []
    return RolloutPlan(
        window="10s",
        alpha=ALPHA,
        min_units=20,
        metrics=list(metrics),
        steps=[
            *first,
            Step(set_weight=10.0),
            Step(pause=PauseStep(duration="30s", min_units=15)),
            Step(set_weight=50.0),
            Step(pause=PauseStep(duration="20s", min_units=60)),
            Step(analysis=AnalysisStep(mode="nonInferior", min_units=100, max_duration="10m")),
            Step(bake=BakeStep(duration="30s")),
        ],
    )


OK = MetricSpec(name="ok", margin=0.02, scorer=ScorerSpec(regex=r"^\{"))
QUALITY = plan(OK, MetricSpec(name="error", margin=0.05))


def answer(source: random.Random, good: float, latency_ms: float = 400.0) -> Generation:
    return Generation(
        id="",
        at_ms=0,
        feature="",
        environment="",
        release="",
        output='{"answer": 1}' if source.random() < good else "```json",
        messages=[{"role": "user", "content": "?"}],
        latency_ms=source.lognormvariate(math.log(latency_ms), 0.5),
    )


def users(
    seed: int, count: int, *, control: float, candidate: float, slower: float = 1.0, requests: int = 1
) -> Iterator[Trial]:
    """Users who differ: each has an own chance of a good answer around the arm's mean."""
    source = random.Random(seed)
    for index in range(count):
        lift = source.uniform(-0.1, 0.1) if max(control, candidate) < 0.95 else 0.0
        for _ in range(requests):
            yield Trial(
                f"user-{seed}-{index}",
                answer(source, control + lift),
                answer(source, candidate + lift, 400.0 * slower),
            )


def run(seed: int, trials: Iterator[Trial], chosen: RolloutPlan = QUALITY) -> SimulationResult:
    return simulate(MemoryStore(), trials, Simulation(plan=chosen, seed=seed))


@pytest.mark.slow
def test_an_unchanged_candidate_is_rolled_back_in_at_most_alpha_of_300_runs() -> None:
    chosen = plan(OK, MetricSpec(name="error", margin=0.05), MetricSpec(name="latency", margin=0.1))
    rolled_back = sum(
        run(seed, users(seed, 900, control=0.85, candidate=0.85), chosen).state == "rolled_back" for seed in range(RUNS)
    )
    assert rolled_back / RUNS <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)


@pytest.mark.slow
def test_a_candidate_worse_by_exactly_the_margin_is_rolled_back_in_at_most_alpha_of_300_runs() -> None:
    """The edge of the null hypothesis, where the bound bites: a sloppier test fails here long before A/A shows it."""
    chosen = plan(MetricSpec(name="ok", margin=0.2, scorer=OK.scorer), shadow=False)
    rolled_back = sum(
        run(seed, users(seed, 900, control=0.7, candidate=0.5), chosen).state == "rolled_back" for seed in range(RUNS)
    )
    assert 0 < rolled_back / RUNS <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)


def test_a_fall_from_90_to_70_per_cent_is_rolled_back_and_said_in_words() -> None:
    results = [run(seed, users(seed, 1500, control=0.9, candidate=0.7)) for seed in range(20)]
    assert sum(result.state == "rolled_back" for result in results) >= 18
    worst = next(result for result in results if result.state == "rolled_back")
    assert "`ok` fell from" in worst.rollout.reason
    assert "concurrent control users" in worst.rollout.reason or "in shadow" in worst.rollout.reason
    assert worst.transitions[-1].to_state == "rolled_back"


def test_a_better_candidate_is_promoted() -> None:
    results = [run(seed, users(seed, 2500, control=0.8, candidate=0.9)) for seed in range(10)]
    assert [result.state for result in results].count("promoted") >= 9


def test_slow_answers_are_rolled_back_by_latency_alone() -> None:
    chosen = plan(MetricSpec(name="error", margin=0.05), MetricSpec(name="latency", margin=0.1))
    results = [run(seed, users(seed, 1500, control=1.0, candidate=1.0, slower=2.5), chosen) for seed in range(5)]
    assert [result.state for result in results].count("rolled_back") >= 4
    assert all("`latency` rose" in result.rollout.reason for result in results if result.state == "rolled_back")


def test_many_requests_of_one_user_do_not_make_proof() -> None:
    """Ten requests each of few users: counted per request, the luck of a few users would decide."""
    results = [run(seed, users(seed, 90, control=0.8, candidate=0.8, requests=10)) for seed in range(20)]
    assert [result.state for result in results].count("rolled_back") <= 1
    for result in results:
        assert result.rollout.verdict.get("candidate_units", 0) <= 90


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = (run(3, users(3, 800, control=0.9, candidate=0.7)) for _ in range(2))
    assert [(t.at_ms, t.to_state, t.reason) for t in first.transitions] == [
        (t.at_ms, t.to_state, t.reason) for t in second.transitions
    ]


def test_without_users_nothing_is_promoted() -> None:
    result = run(0, iter(()))
    assert result.state == "paused"
    assert result.rollout.pause_reason == "no_data"


@lru_cache
def recordings() -> dict[str, dict[str, str]]:
    """Question -> model -> its recorded answer."""
    answers: dict[str, dict[str, str]] = {}
    with Path(DATA, "llmdrift", "PRIME_FULL_EVAL.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            answers.setdefault(row["query"], {})[row["model"].removeprefix("openaichat/")] = row["answer"]
    return answers


def recorded(old: str, new: str, seed: int) -> Iterator[Trial]:
    """Every question is a user of its own; both models' recorded answers to it are the two arms."""
    answers = recordings()
    both = sorted(query for query, by_model in answers.items() if {old, new} <= by_model.keys())
    random.Random(seed).shuffle(both)

    def said(query: str, model: str) -> Generation:
        return Generation(
            id="",
            at_ms=0,
            feature="",
            environment="",
            release="",
            messages=[{"role": "user", "content": query}],
            output=answers[query][model],
        )

    for query in both:
        yield Trial(query[:200], said(query, old), said(query, new))


CORRECT = plan(
    MetricSpec(name="correct", margin=0.02, scorer=ScorerSpec(python=f"{correct.__module__}:correct")), shadow=False
)


@needs_data
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("gpt-4-0314", "gpt-4-0613", "rolled_back"),
        ("gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613", "promoted"),
    ],
)
def test_the_model_upgrades_of_2023_end_as_they_should_have(old: str, new: str, expected: str) -> None:
    states = [run(seed, recorded(old, new, seed), CORRECT).state for seed in range(10)]
    assert states.count(expected) >= 9


@needs_data
@pytest.mark.slow
def test_a_model_replayed_against_itself_is_rolled_back_in_at_most_alpha_of_300_runs() -> None:
    rolled_back = sum(
        run(seed, recorded("gpt-4-0314", "gpt-4-0314", seed), CORRECT).state == "rolled_back" for seed in range(RUNS)
    )
    assert rolled_back / RUNS <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)
