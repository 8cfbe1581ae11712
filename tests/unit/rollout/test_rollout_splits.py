"""The arms' sizes: what is due to whom when weights grow, counted once, and told when it does not fit."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.analysis.model import MetricSpec
from trimtab.analysis.sample_ratio import count_unit, ripen
from trimtab.rollout.model import Rollout
from trimtab.rollout.routing import routing
from trimtab.rollout.spec import BakeStep, PauseStep, RolloutPlan, ShadowStep, SrmCheck, Step, default_plan, encode_plan
from trimtab.rollout.splits import splits_of
from trimtab.serving.assignment import assign, bucket
from trimtab.stats import SampleRatio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.rollout.conftest import World

    from trimtab.analysis.sample_ratio import LevelState


def weights(*percents: float, bake: float | None = None) -> RolloutPlan:
    steps = [Step(set_weight=percent) for percent in percents]
    last = (
        Step(pause=PauseStep(duration="1m"))
        if bake is None
        else Step(bake=BakeStep(duration="1m", control_weight=bake))
    )
    return RolloutPlan(steps=[*steps, last])


def shares(plan: RolloutPlan) -> list[tuple[float, float]]:
    return [(round(split.candidate, 9), split.fringe) for split in splits_of(plan).values()]


def test_up_to_one_half_both_arms_get_the_same_and_everybody_counts() -> None:
    assert shares(weights(5, 25, 50)) == [(0.5, 0.5)] * 4


def test_above_one_half_only_those_count_who_cannot_have_been_served_plain_stable() -> None:
    assert shares(weights(25, 75))[-1] == (0.5, 0.25)  # the arms of 25 %, unmoved
    assert shares(weights(10, 25, 95)) == [(0.5, 0.5), (0.5, 0.5), (0.75, 0.1), (0.75, 0.1)]
    assert shares(weights(50, 80))[-1] == (0.8, 0.5)
    assert shares(weights(75))[-1] == (0.75, 0.5)


def test_steps_of_one_weight_are_one_level_and_a_step_without_both_arms_has_none() -> None:
    plan = default_plan()
    assert {stage: split.level for stage, split in splits_of(plan).items()} == {
        0: 0,
        1: 0,
        2: 2,
        3: 2,
        4: 4,
        5: 4,
        6: 6,
    }
    shadow = RolloutPlan(steps=[Step(shadow=ShadowStep(traffic=5, duration="1m")), Step(set_weight=100.0)])
    assert splits_of(shadow) == {}
    assert splits_of(msgspec.structs.replace(plan, srm=SrmCheck(enabled=False))) == {}


def route(plan: RolloutPlan, stage: int, salt: str) -> Rollout:
    return Rollout(
        id="ro", feature="f", environment="e", stable="s", candidate="c", plan=encode_plan(plan), salt=salt,
        state="progressing", stage=stage, created_at_ms=0, created_by="ann", updated_at_ms=0,
    )  # fmt: skip


def counted(plan: RolloutPlan, visits: Sequence[tuple[int, int]], salt: str) -> dict[int, list[int]]:
    """Return the counts per level when units visit, each (stage, unit), by the routing of their step."""
    splits, levels, met = splits_of(plan), dict[int, "LevelState"](), set[str]()
    routes = [routing(route(plan, stage, salt), plan) for stage in range(len(plan.steps))]
    for stage, number in visits:
        unit, routed = f"user-{number}", routes[stage]
        assert routed is not None
        arm, _ = assign(routed, unit)
        if arm != "stable" and unit not in met:
            met.add(unit)
            is_candidate, position = arm == "candidate", bucket(salt, unit)
            count_unit(levels, splits[stage], is_candidate=is_candidate, position=position, at_ms=0)
    ripen(levels, 10**9)
    return {number: level.test.counts for number, level in levels.items()}


@pytest.mark.parametrize(
    "plan", [weights(5, 25, 50, bake=5), weights(25, 75), weights(10, 60, bake=5), weights(20, bake=10)]
)
def test_the_counts_are_what_is_due_when_old_and_new_users_mix(plan: RolloutPlan) -> None:
    """Users come back in later steps: who was plain stable at a smaller weight falls into an arm of a larger one."""
    source = random.Random(2)
    last = len(plan.steps) - 1
    visits = [(stage, source.randrange(4000 * (stage + 1))) for stage in range(last + 1) for _ in range(8000)]
    for level, (candidate, control) in counted(plan, visits, "salt").items():
        split = splits_of(plan)[level]
        total, due = candidate + control, (candidate + control) * split.candidate
        assert total > 100
        assert abs(candidate - due) <= 4 * (total * split.candidate * (1 - split.candidate)) ** 0.5


def test_growing_weights_with_users_who_come_back_raise_no_more_false_alarms_than_alpha() -> None:
    plan, alpha, runs, alarms = weights(20, bake=30), 0.1, 150, 0
    for run in range(runs):
        source = random.Random(run)
        visits = [(stage, source.randrange(500 * (stage + 1))) for stage in (0, 1) for _ in range(500)]
        for level, counts in counted(plan, visits, f"salt {run}").items():
            test = SampleRatio.start([splits_of(plan)[level].candidate, 1 - splits_of(plan)[level].candidate])
            test.add(counts)
            alarms += test.peak >= 2 / alpha
    assert alarms / runs <= alpha


@given(script=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30)), max_size=60), seed=st.integers(0, 99))
@settings(max_examples=50)
def test_no_unit_is_counted_twice(script: list[tuple[int, int]], seed: int) -> None:
    found = counted(weights(50), script, str(seed))
    assert sum(map(sum, found.values())) <= len({unit for _, unit in script})


def test_users_lost_on_the_way_to_one_arm_pause_the_rollout_in_words(world: type[World]) -> None:
    plan = RolloutPlan(
        window="2s",
        unit="account",
        deadline="1h",
        metrics=[MetricSpec(name="error", margin=0.02)],
        steps=[Step(set_weight=50.0), Step(pause=PauseStep(duration="30m"))],
    )
    made = world(plan=plan)
    made.tick()
    route = made.route()
    assert route is not None
    for unit in range(600):
        if assign(route, f"user-{unit}")[0] == "matched_control" or unit % 3:
            made.send(unit, bad=False)
    made.repeat(5)
    made.clock.advance(60)
    made.tick()
    assert made.rollout().state == "progressing"  # answers may still be on their way
    made.clock.advance(70)
    made.tick()
    assert (made.rollout().state, made.rollout().pause_reason) == ("paused", "srm")
    reason = made.rollout().reason
    assert "candidate accounts and" in reason
    assert "(50 : 50)" in reason
    assert "limit 1,000 : 1" in reason
    made.command("resume")
    made.tick()
    assert made.rollout().state == "progressing"
    ratio = made.rollout().verdict["ratios"][0]
    assert ratio["candidate_units"] + ratio["control_units"] == len(made.sent)


def test_a_slow_candidate_is_no_mismatch(world: type[World]) -> None:
    """Its users are heard of a minute later than control's; they are counted with those of the same moment."""
    plan = RolloutPlan(
        window="2s",
        deadline="1h",
        metrics=[MetricSpec(name="error", margin=0.02)],
        steps=[Step(set_weight=50.0), Step(pause=PauseStep(duration="30m"))],
    )
    made = world(plan=plan)
    made.tick()
    route = made.route()
    assert route is not None
    arms = {unit: assign(route, f"user-{unit}")[0] for unit in range(400)}
    for unit in range(400):
        if arms[unit] == "matched_control":
            made.send(unit, bad=False)
    for _ in range(12):
        made.clock.advance(5)
        made.tick()
    for unit in range(400):
        if arms[unit] == "candidate":
            made.send(unit, bad=False, late_ms=60_000)
    for _ in range(20):
        made.clock.advance(5)
        made.tick()
    assert made.rollout().state == "progressing"
    ratio = made.rollout().verdict["ratios"][0]
    assert ratio["candidate_units"] + ratio["control_units"] == 400
