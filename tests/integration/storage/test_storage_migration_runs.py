"""A whole migration over every store: what the in-memory suite says holds where it is kept on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.migration.driving import acknowledged, finished, to_shadow
from tests.unit.migration.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.migration.ports import PlanStore


def test_a_migration_goes_all_the_way(store: PlanStore, tmp_path: Path) -> None:
    world = World(tmp_path / "items", store=store, features=["support"])
    plan = finished(world, to_shadow(world, golden_items=20))
    assert plan.status == "complete"
    with store.read() as tx:
        stored = tx.migration(plan.id)
        states = {one.state for one in tx.migration_artifacts(plan.id)}
    assert stored == plan
    assert len(states) == 10


def test_a_new_process_goes_on_where_the_last_one_was(store: PlanStore, tmp_path: Path) -> None:
    world = World(tmp_path / "items", store=store, features=["support"])
    plan = world.engine.run(world.start(golden_items=20).id)
    asked = len(world.asked)
    world.new_engine()
    plan = world.engine.run(acknowledged(world, plan).id)
    assert plan.forks[0].state == "shadow"
    assert len({one for one in world.asked if one[0] == "gpt-4-0613"}) == asked
