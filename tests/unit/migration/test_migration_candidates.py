"""Releases that a migration tries, and the rollouts it makes of a feature's own plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.unit.migration.driving import acknowledged, fork
from tests.unit.migration.world import NEW, OLD, World, fenced, source

from trimtab.artifacts.model import AdapterContent, ModelContent
from trimtab.artifacts.source import NamedContent
from trimtab.migration.candidates import Variant, asked_directly, calling, compiled_variant, parts_of, variant_source
from trimtab.migration.inventory import ModelName
from trimtab.migration.rollouts import migration_rollout
from trimtab.releases.push import push
from trimtab.rollout.plan_check import plan_problems
from trimtab.rollout.spec import BakeStep, PauseStep, RolloutPlan, ShadowStep, Step, default_plan

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.migration.candidates import Parts

OTHER = ModelName(provider="openai", model="gpt-4.1-2025-04-14")


def content(name: ModelName) -> ModelContent:
    return ModelContent(provider=name.provider, model=name.model, parameters={"temperature": 0.2})


def with_fallback(feature: str, first: ModelName, second: ModelName) -> list[NamedContent]:
    made = source(feature, model=first, temperature=0.2).artifacts
    return [*made, NamedContent(kind="model", name="fallback-1", content=content(second), path="model")]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, features=["support"])


def parts(world: World, artifacts: list[NamedContent] | None = None) -> Parts:
    release = world.releases["support"]
    if artifacts is not None:
        wanted = msgspec.structs.replace(source("support"), artifacts=artifacts)
        release = world.push(wanted)
    with world.store.read() as tx:
        return parts_of(tx, release)


def test_a_variant_changes_the_model_and_what_it_says_and_pushes_to_the_same_release(world: World) -> None:
    made = parts(world)
    variant = Variant(
        name="v",
        says="",
        model=ModelContent(provider=NEW.provider, model=NEW.model),
        replaces=content(OLD),
        steps=["strip_code_fence"],
        instruction="JSON alone.",
    )
    compiled = compiled_variant(made, variant)
    assert compiled.model.model == NEW.model
    assert compiled.adapter == AdapterContent(output=["strip_code_fence"])
    assert compiled.prompt.messages[0].content.endswith("\n\nJSON alone.")
    assert compiled.prompt.messages[1] == made.release.compiled.prompt.messages[1]
    with world.store.write() as tx:
        stored = push(tx, variant_source(made, variant), actor="ana", now_ms=1).release
    assert stored.digest == compiled.digest


def test_an_adapter_that_is_there_keeps_its_steps_and_gets_the_new_ones_once(world: World) -> None:
    adapter = NamedContent(kind="adapter", name="main", content=AdapterContent(output=["trim"]), path="a")
    made = parts(world, [*source("support", temperature=0.2).artifacts, adapter])
    variant = Variant(name="v", says="", model=content(NEW), replaces=content(OLD), steps=["trim", "extract_json"])
    assert compiled_variant(made, variant).adapter == AdapterContent(output=["trim", "extract_json"])


def test_a_fallback_is_asked_as_if_it_were_the_first_and_only_it_is_replaced(world: World) -> None:
    made = parts(world, with_fallback("support", OTHER, OLD))
    release = made.release.compiled
    asked = asked_directly(release, "fallback", OLD)
    assert (asked.model.model, asked.fallbacks) == (OLD.model, [])
    assert asked.digest != release.digest  # its answers are not the release's
    assert asked_directly(release, "model", OTHER).model.model == OTHER.model
    changed = compiled_variant(made, Variant(name="v", says="", model=content(NEW), replaces=content(OLD)))
    assert (changed.model.model, changed.fallbacks[0].model.model) == (OTHER.model, NEW.model)
    assert calling(changed, OLD) is None


def test_a_feature_that_has_the_model_as_its_fallback_is_migrated_too(world: World) -> None:
    world.models[OTHER.model] = fenced
    world.releases["support"] = world.push(
        msgspec.structs.replace(source("support"), artifacts=with_fallback("support", OTHER, OLD))
    )
    world.point("support", world.releases["support"])
    plan = world.engine.run(world.start().id)
    assert fork(plan).role == "fallback"
    plan = world.engine.run(acknowledged(world, plan).id)
    assert fork(plan).state == "shadow"
    assert {model for model, _, _ in world.asked} == {OLD.model, NEW.model}  # never the first of the chain


WITHOUT_SHADOW = [Step(set_weight=10.0), Step(pause=PauseStep(duration="1m")), Step(bake=BakeStep(duration="1m"))]


@pytest.mark.parametrize(
    "steps",
    [
        WITHOUT_SHADOW,
        [Step(shadow=ShadowStep(traffic=5.0, duration="1m"))],
        [Step(bake=BakeStep(duration="1m"))],
        [Step(set_weight=100.0)],
        [Step(pause=PauseStep(duration="1m"))],
        [
            Step(shadow=ShadowStep(traffic=5.0, duration="1m")),
            Step(set_weight=50.0),
            Step(pause=PauseStep(manual=True)),
        ],
        default_plan().steps,
    ],
)
def test_a_migration_shadows_before_it_serves_and_its_plan_has_no_contradiction(steps: list[Step]) -> None:
    plan = migration_rollout(RolloutPlan(steps=steps))
    assert list(plan_problems(plan)) == []
    shadow = next(index for index, step in enumerate(plan.steps) if step.shadow is not None)
    weight = next(index for index, step in enumerate(plan.steps) if step.set_weight is not None)
    assert shadow < weight
    assert (plan.steps[weight].set_weight or 0) <= 50
    assert plan.steps[-1].bake is not None or (plan.steps[-1].set_weight or 0) == 100
    assert [step for step in plan.steps if step in steps] == steps  # nothing of the feature's own is lost


def test_a_plan_with_all_of_it_is_left_alone() -> None:
    plan = RolloutPlan(steps=[Step(shadow=ShadowStep(traffic=5.0, duration="1m")), *WITHOUT_SHADOW])
    assert migration_rollout(plan) == plan
    assert any(step.shadow for step in migration_rollout(None).steps)
