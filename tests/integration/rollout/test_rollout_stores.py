"""One rollout, three stores: the same users lead to the same end, also when the database is restarted under it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal

import pytest
from tests.postgres import PostgresServer, find_binaries

from trimtab.analysis.model import MetricSpec
from trimtab.core.errors import StorageError
from trimtab.events import Generation
from trimtab.rollout.simulation import Simulation, Trial, _Run, simulate
from trimtab.rollout.spec import BakeStep, PauseStep, RolloutPlan, Step
from trimtab.storage.memory import MemoryStore
from trimtab.storage.postgres import PostgresStore, open_postgres
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trimtab.rollout.simulation import SimulationResult

PLAN = RolloutPlan(
    window="10s",
    metrics=[MetricSpec(name="error", margin=0.02)],
    steps=[
        Step(set_weight=20.0),
        Step(pause=PauseStep(duration="20s", min_units=30)),
        Step(set_weight=50.0),
        Step(bake=BakeStep(duration="20s")),
    ],
)
SIMULATION = Simulation(plan=PLAN, seed=7, requests_per_second=10.0, tick_seconds=2.0)


def trials(*, candidate_errors: float) -> Iterator[Trial]:
    draw = random.Random(3)
    for number in range(2_000):
        good, bad = answer("ok"), answer("error")
        yield Trial(f"user-{number}", good, bad if draw.random() < candidate_errors else good)


def answer(status: Literal["ok", "error"]) -> Generation:
    return Generation(
        id="", at_ms=0, feature="", environment="", release="", status=status, output="fine", latency_ms=5.0
    )


def end_of(result: SimulationResult) -> object:
    rollout = result.rollout
    steps = [(one.from_state, one.to_state, one.stage, one.reason) for one in result.transitions]
    return rollout.state, rollout.reason, steps, result.requests


@pytest.mark.parametrize("candidate_errors", [0.0, 0.3], ids=["healthy", "harmful"])
def test_the_same_users_lead_to_the_same_end_on_every_store(
    tmp_path: Path, postgres: PostgresServer, candidate_errors: float
) -> None:
    ends = []
    for store in (MemoryStore(), open_sqlite(tmp_path / "control.db"), PostgresStore(postgres.new_store_url())):
        ends.append(end_of(simulate(store, trials(candidate_errors=candidate_errors), SIMULATION)))
        store.close()
    assert ends[0] == ends[1] == ends[2]
    assert ends[0][0] == ("rolled_back" if candidate_errors else "promoted")  # type: ignore[index] # a tuple


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_postgres_restarted_in_the_middle_changes_nothing(how: str) -> None:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("Postgres is not installed")
    expected = end_of(simulate(MemoryStore(), trials(candidate_errors=0.3), SIMULATION))
    server = PostgresServer(binaries)
    server.start()
    store = open_postgres(server.new_store_url())
    try:
        assert end_of(_with_restarts(store, server, how)) == expected
    finally:
        store.close()
        server.remove()


def _with_restarts(store: PostgresStore, server: PostgresServer, how: str) -> SimulationResult:
    """As `simulate` does, with the server stopped before every fourth tick, and started after one that failed."""
    run = _Run(store, SIMULATION, None, None)
    run.tick()
    until_tick, restarts = SIMULATION.tick_seconds, 0
    for trial in trials(candidate_errors=0.3):
        run.clock.advance(1 / SIMULATION.requests_per_second)
        run.send(trial)
        until_tick -= 1 / SIMULATION.requests_per_second
        if until_tick > 0:
            continue
        until_tick += SIMULATION.tick_seconds
        if run.ticks % 4 == 3:
            restarts += 1
            server.stop(how=how)
            with pytest.raises(StorageError):
                run.tick()
            run.ticks -= 1
            server.start()
        if run.tick():
            break
    assert restarts >= 2
    return run.result()
