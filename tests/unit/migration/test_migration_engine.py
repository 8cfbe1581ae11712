"""Migrations from inventory to retirement over the in-memory store, with models that are functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.unit.migration.driving import (
    acknowledged,
    approved,
    finished,
    fork,
    states_of,
    to_shadow,
)
from tests.unit.migration.world import (
    FEATURES,
    NEW,
    OLD,
    Killed,
    World,
    chatty,
    fenced,
    plain,
    refused,
    source,
)

from trimtab.analysis.model import MetricSpec
from trimtab.core.errors import ConflictError, FencedError
from trimtab.migration.events import Approved, RolledBack
from trimtab.migration.traffic import JudgedAnswer
from trimtab.releases.audit import chain_fault
from trimtab.rollout.ports import PlanVersion
from trimtab.rollout.spec import default_plan, encode_plan

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.evals.answers import Answer
    from trimtab.migration.model import Migration


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_two_features_go_all_the_way_to_the_proof_that_nobody_calls_the_old_model(world: World) -> None:
    plan = finished(world, to_shadow(world))
    assert plan.status == "complete"
    with world.store.read() as tx:
        written = tx.migration_artifacts(plan.id)
        entries = tx.audit(limit=10_000)
        pointers = {one.feature: one.release for one in tx.pointers("production")}
    assert {(one.fork, one.state) for one in written} == {("", "inventory")} | {
        (name, state) for name in FEATURES for state in fork(plan, name).passed
    }
    assert chain_fault(entries) == ""
    for name in FEATURES:
        assert pointers[name] == fork(plan, name).candidate
        proof = next(one for one in written if (one.fork, one.state) == (name, "retire")).content
        assert proof["callers"] == []
        assert proof["others"] == 200
        with world.store.read() as tx:
            golden = tx.latest_artifact(name, "dataset", "golden")
        assert golden is not None


def test_starting_twice_is_one_plan_and_running_twice_asks_nobody_again(world: World) -> None:
    first, second = world.start(), world.start()
    assert first.id == second.id
    plan = world.engine.run(first.id)
    asked = len(world.asked)
    assert world.engine.run(plan.id).forks == plan.forks
    assert len(world.asked) == asked


def test_status_waits_for_a_person_where_parameters_change(world: World) -> None:
    plan = world.engine.run(world.start().id)
    assert {(one.state, one.standing) for one in plan.forks} == {("lint", "blocked")}
    assert fork(plan).open_findings == ["unknown_model"]


def test_a_new_model_that_fences_its_json_gets_an_adapter_and_the_prompt_stays(world: World) -> None:
    world.models[NEW.model] = fenced
    plan = to_shadow(world)
    with world.store.read() as tx:
        release = tx.release(fork(plan).candidate)
        diffed = tx.migration_artifact(plan.id, fork(plan).passed["diff"].artifact)
        adapted = tx.migration_artifact(plan.id, fork(plan).passed["adapt"].artifact)
    assert release is not None
    assert diffed is not None
    assert adapted is not None
    assert release.compiled.adapter is not None
    assert release.compiled.adapter.output == ["strip_code_fence"]
    assert release.compiled.model.model == NEW.model
    assert release.compiled.prompt == world.releases["support"].compiled.prompt
    assert any("the code fence explains" in one for one in diffed.content["words"])
    assert adapted.content["chosen"] == "adapter:strip_code_fence"
    assert next(one["name"] for one in adapted.content["train"]) == "model"


def test_a_held_out_split_in_which_nothing_could_be_told_is_no_proof(world: World) -> None:
    plan = world.engine.run(world.start(golden_items=14).id)
    plan = world.engine.run(acknowledged(world, plan).id)
    assert fork(plan).state == "adapt"
    [reason] = fork(plan).reasons
    assert "held-out items show nothing: it takes" in reason


def test_a_margin_asks_the_held_out_items_to_show_equivalence_and_without_one_it_is_told(world: World) -> None:
    plan = world.engine.run(world.start(golden_items=60, margin=0.05).id)
    plan = world.engine.run(acknowledged(world, plan).id)
    assert (fork(plan).state, fork(plan).standing) == ("adapt", "blocked")
    [reason] = fork(plan).reasons
    assert (
        "held-out items do not show equivalence within 5 % (`margin`): what programs read is worse in at most" in reason
    )
    assert reason.endswith("more golden items show more")


def test_how_much_worse_it_may_be_is_told(world: World) -> None:
    plan = to_shadow(world, golden_items=60, margin=0.2)
    [told] = [
        one.reason for one in plan.history if one.fork == "support" and "held-out items nothing is worse" in one.reason
    ]
    assert "what programs read is worse in at most 8." in told


def test_choosing_looks_at_the_train_split_only(world: World) -> None:
    from trimtab.evals.datasets import in_split

    def prompted(question: str, sample: int) -> Answer:
        return fenced(question, sample)

    world.models[NEW.model] = prompted
    plan = to_shadow(world)
    with world.store.read() as tx:
        golden = tx.migration_artifact(plan.id, fork(plan).passed["golden"].artifact)
    assert golden is not None
    items = {one.key: one for one in world.items.get(golden.content["items"])}
    asked_twice = [key for model, key, _ in world.asked if model == NEW.model and key in items]
    clearer = {key for key in asked_twice if asked_twice.count(key) > 1}  # by the plain model, and by a clearer prompt
    assert clearer
    assert all(in_split(items[key], "train") for key in clearer)


def test_a_model_that_cannot_be_mended_blocks_until_somebody_pushes_a_prompt_that_works(world: World) -> None:
    world.models[NEW.model] = chatty
    plan = world.engine.run(world.start().id)
    plan = world.engine.run(acknowledged(world, plan).id)
    assert (fork(plan).state, fork(plan).standing) == ("adapt", "blocked")
    assert any("held-out" in one for one in fork(plan).reasons)
    world.models["gpt-9-tuned"] = plain
    for name in FEATURES:
        world.push(source(name, model=NEW, text="JSON, nothing else.", temperature=1), by="ben")
    world.models[NEW.model] = plain  # its answers to the new prompt; those to the old one are kept
    plan = world.engine.run(plan.id)
    assert (fork(plan).state, fork(plan).standing) == ("shadow", "held")
    with world.store.read() as tx:
        release = tx.release(fork(plan).candidate)
    assert release is not None
    assert release.created_by == "ben"


def test_a_model_that_refuses_every_call_does_not_pass_the_diff_unless_a_person_says_so(world: World) -> None:
    world.models[NEW.model] = refused
    plan = world.engine.run(world.start().id)
    plan = world.engine.run(acknowledged(world, plan).id)
    assert (fork(plan).state, fork(plan).standing) == ("diff", "blocked")
    assert "unsupported_parameter: temperature" in fork(plan).reasons[0]
    plan = world.engine.apply(plan.id, Approved(fork="support", actor="ana", reason="the sandbox is down"))
    override = fork(plan).passed["diff"].override
    assert override is not None
    assert override.reason == "the sandbox is down"


def test_an_old_model_that_contradicts_itself_is_too_noisy_to_compare_with(world: World) -> None:
    world.models[OLD.model] = lambda question, sample: (plain if sample == 0 else chatty)(question, sample)
    plan = world.engine.run(world.start().id)
    assert (fork(plan).state, fork(plan).standing) == ("golden", "blocked")
    assert "differs from itself" in fork(plan).reasons[0]


def test_too_few_recorded_calls_are_no_golden_set(world: World) -> None:
    plan = world.engine.run(world.start(min_items=500).id)
    assert "500 are needed" in fork(plan).reasons[0]


def test_a_judge_that_agrees_less_with_people_on_the_new_model_may_not_gate(world: World) -> None:
    def answers(agree: int, judge: str = "judge:j") -> list[JudgedAnswer]:
        return [
            JudgedAnswer(
                generation=str(i), judge=judge, score=float(i >= 10), label=float(i >= 10) if i < agree else 0.0
            )
            for i in range(100)
        ]

    metric = msgspec.convert({"name": "helpful", "judge": {"score": "j", "label": "p"}}, MetricSpec)
    rollout = default_plan()
    rollout = msgspec.structs.replace(rollout, metrics=[*rollout.metrics, metric])
    with world.store.write() as tx:
        for name in FEATURES:
            tx.add_plan(
                PlanVersion(
                    digest="sha256:p",
                    feature=name,
                    number=1,
                    source=encode_plan(rollout),
                    created_at_ms=1,
                    created_by="ana",
                )
            )
    plan = world.engine.run(world.start().id)
    plan = world.engine.run(acknowledged(world, plan).id)
    assert (fork(plan).state, fork(plan).standing) == ("judges", "blocked")
    few = "judge `helpful` may not gate: people labelled 0 answers of the old model that it judged, and it takes 30"
    assert few in fork(plan).reasons[0]
    world.judged_answers = {OLD.model: answers(90), NEW.model: answers(84)}
    plan = world.engine.run(plan.id)
    said = fork(plan).reasons[0]
    assert "on 84.0 % [75.3, 90.6] of 100 answers of the new model and on 90.0 % [82.4, 95.1] of 100" in said
    assert "-6.0 points [-15.5, +3.5], more than 5 points less, which so few labels may show by chance" in said
    world.judged_answers[NEW.model] = answers(25)[:29]
    plan = world.engine.run(plan.id)
    assert "29 answers of the new model that it judged, and it takes 30: 1 more" in fork(plan).reasons[0]
    world.judged_answers[NEW.model] = answers(90, judge=f"judge:{OLD.model}")
    plan = world.engine.run(plan.id)
    assert "runs on the model that goes" in fork(plan).reasons[0]
    constant = [msgspec.structs.replace(one, score=1.0, label=float(int(one.generation) < 86)) for one in answers(86)]
    world.judged_answers = {OLD.model: constant, NEW.model: constant}
    plan = world.engine.run(plan.id)
    assert "no more than chance would" in fork(plan).reasons[0]
    world.judged_answers = {OLD.model: answers(90), NEW.model: answers(86)}
    plan = world.engine.run(plan.id)
    assert (fork(plan).state, fork(plan).standing) == ("shadow", "held")


def test_two_runs_at_once_never_undo_each_other(world: World) -> None:
    plan = world.engine.run(world.start().id)
    engine = world.engine

    def meanwhile(question: str, sample: int) -> Answer:
        if not interrupted:
            interrupted.append(question)
            engine.apply(plan.id, RolledBack(fork="billing", actor="ben", reason="wait", to="golden"))
        return plain(question, sample)

    interrupted: list[str] = []
    world.models[NEW.model] = meanwhile
    acknowledged(world, plan)
    with pytest.raises(FencedError):
        world.engine.run(plan.id)
    plan = world.engine.run(plan.id)
    assert (fork(plan, "billing").state, fork(plan, "billing").standing) == ("golden", "held")
    assert fork(plan).state == "shadow"


def test_nothing_migrates_to_where_it_is(world: World) -> None:
    from trimtab.migration.model import MigrationOptions

    with pytest.raises(ConflictError):
        world.engine.start(OLD, OLD, MigrationOptions())


def _whole_way(world: World) -> Migration:
    """Everything up to the rollouts, done by whoever is left: a killed run is run again."""
    plan = world.start(golden_items=40)
    plan = world.engine.run(plan.id)
    plan = world.engine.run(acknowledged(world, plan).id)
    return world.engine.run(approved(world, plan).id)


@pytest.mark.parametrize("where", ["writes", "asks"])
def test_killed_anywhere_it_goes_on_and_ends_where_it_would_have_without(tmp_path: Path, where: str) -> None:
    straight = World(tmp_path / "straight", features=["support"])
    straight.models[NEW.model] = fenced
    wanted = _whole_way(straight)
    kills = range(9) if where == "writes" else range(0, 60, 14)
    for after in kills:
        world = World(tmp_path / f"killed-{after}", features=["support"])
        world.models[NEW.model] = fenced
        setattr(world, f"{where}_left", after)
        with pytest.raises(Killed):
            _whole_way(world)
        world.new_engine()
        plan = _whole_way(world)
        assert states_of(plan) == states_of(wanted)
        assert {state: one.artifact for state, one in fork(plan).passed.items()} == {
            state: one.artifact for state, one in fork(wanted).passed.items()
        }
        assert len(world.asked) == len(set(world.asked)) + len(straight.asked) - len(set(straight.asked))
        with world.store.read() as tx:
            assert len(tx.active_rollouts("production")) == 1
            assert chain_fault(tx.audit(limit=10_000)) == ""
