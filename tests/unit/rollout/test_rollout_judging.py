"""A metric with a judge through the controller, in plans and in rehearsal. `world` is in conftest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from trimtab.analysis.model import JudgeSpec, MetricSpec
from trimtab.core.errors import InputError
from trimtab.events import Score
from trimtab.rollout.plan_check import plan_problems, plan_warnings
from trimtab.rollout.plan_file import parse_plan
from trimtab.rollout.rehearsal import Crowd, Scene, default_baseline, parse_fault, rehearse
from trimtab.rollout.spec import (
    AnalysisStep,
    ExperimentStep,
    PauseStep,
    RolloutPlan,
    Step,
    decode_plan,
    encode_plan,
)

if TYPE_CHECKING:
    from tests.unit.rollout.conftest import World

HELPFUL = MetricSpec(
    name="helpful", margin=0.05, judge=JudgeSpec(score="judge-helpful", label="human-helpful", within="60s")
)
PLAN = RolloutPlan(
    window="2s",
    alpha=0.2,
    min_units=3,
    deadline="1h",
    metrics=[MetricSpec(name="error", margin=0.02), HELPFUL],
    steps=[Step(set_weight=50.0), Step(pause=PauseStep(duration="50m"))],
)


def say(world: World, name: str, number: int, value: float) -> None:
    world.queue.append(
        Score(
            id=f"{name}_{number}",
            at_ms=world.clock.now_ms(),
            feature="f",
            environment="e",
            generation=world.sent[number].id,
            name=name,
            value=value,
            source="judge:m" if name.startswith("judge") else "human:ann",
        )
    )


def scene(world: type[World], *, people: bool, crash: bool = False) -> World:
    """The judge hates every answer of the candidate; `people`, where they are asked, think the same."""
    made = world(plan=PLAN)
    made.tick()
    for unit in range(240):
        made.send(unit, bad=False)
    for index, generation in enumerate(made.sent):
        good = float(generation.arm != "candidate")
        say(made, "judge-helpful", index, good)
        if people and index % 2:
            say(made, "human-helpful", index, good)
    for seconds in (1, 190, 1, 1):
        made.clock.advance(seconds)
        if crash:
            made.repeat(seconds)
            made.tick_through_crashes([2, 9, 4, 1])
        else:
            made.tick()
    return made


def test_a_judge_alone_never_rolls_back_and_people_who_agree_do(world: type[World]) -> None:
    alone = scene(world, people=False)
    assert alone.rollout().state == "progressing"
    verdict = alone.rollout().verdict
    assert verdict is not None
    assert "not yet judged" in next(one["words"] for one in verdict["metrics"] if one["name"] == "helpful")
    joined = scene(world, people=True)
    assert joined.rollout().state == "rolled_back"
    assert "`helpful` fell from 100.0 % to 0.0 %" in joined.rollout().reason


def test_crashes_and_repetitions_leave_the_same_wealth(world: type[World]) -> None:
    pictures = []
    for crash in (False, True):
        made = scene(world, people=True, crash=crash)
        evidence = made.evidence()
        assert evidence is not None
        pictures.append((made.rollout().state, evidence.phases, evidence.following, evidence.scored, evidence.judged))
    assert pictures[0] == pictures[1]
    assert pictures[0][4]["helpful"].units.candidate > 50


def test_it_reads_as_written_and_survives_storage_and_short_analyses_are_warned_of() -> None:
    plan = parse_plan(
        b"metrics:\n  - {name: error}\n"
        b"  - {name: helpful, role: goal, judge: {score: judge-helpful, label: human-helpful}}\n"
        b"steps: [{setWeight: 5}, {bake: {duration: 30m}}]\n"
    )
    stored = decode_plan(encode_plan(plan))
    assert stored.metrics[1].judge == JudgeSpec(score="judge-helpful", label="human-helpful")
    assert encode_plan(stored) == encode_plan(plan)
    assert b"judge" not in encode_plan(msgspec.structs.replace(plan, metrics=plan.metrics[:1]))
    assert [*plan_problems(plan), *plan_warnings(plan)] == []
    short = AnalysisStep(mode="nonInferior", min_units=3, max_duration="30s")
    hasty = msgspec.structs.replace(PLAN, steps=[Step(set_weight=5.0), Step(analysis=short)])
    assert any("before the first unit's feedback" in one.message for one in plan_warnings(hasty))


@pytest.mark.parametrize("goals", [[], ["helpful"]])
def test_an_experiment_takes_no_judge_for_a_goal(goals: list[str]) -> None:
    metrics = [MetricSpec(name="error"), msgspec.structs.replace(HELPFUL, role="goal")]
    other = MetricSpec(name="schema", role="goal")
    step = Step(experiment=ExperimentStep(goals=goals))
    alone = msgspec.structs.replace(PLAN, metrics=metrics, steps=[Step(set_weight=10.0), step])
    assert any("without a goal" in one.message for one in plan_problems(alone))
    both = msgspec.structs.replace(alone, metrics=[*metrics, other])
    assert bool(list(plan_problems(both))) is bool(goals)


def test_rehearsals_leave_it_out_and_say_so() -> None:
    crowd = Crowd(requests_per_second=5.0, users=500)
    report = rehearse(Scene(PLAN, crowd, default_baseline(PLAN.metrics)), [], runs=4, processes=1)
    assert [one.name for one in report.metrics] == ["error"]
    assert any("`helpful` is not rehearsed" in words for words in report.assumed)
    with pytest.raises(InputError, match="measures no `helpful`"):
        parse_fault("helpful:3%", PLAN.metrics)
