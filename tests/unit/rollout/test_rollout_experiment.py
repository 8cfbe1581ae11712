"""Experiments: who wins, who is dropped, and what the plan makes of it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.analysis.experiment_evidence import CANDIDATE
from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.analysis.verdict import Verdict
from trimtab.core.errors import ConflictError, NotFoundError, SourceError
from trimtab.rollout.plan_file import parse_plan, read_plan
from trimtab.rollout.simulation import synthetic_release
from trimtab.rollout.spec import (
    BakeStep,
    ExperimentArm,
    ExperimentStep,
    PauseStep,
    RolloutPlan,
    Step,
    decode_plan,
    encode_plan,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.unit.rollout.conftest import World

STABLE, CANDIDATE_RELEASE, THIRD, FOURTH = (synthetic_release("f", number).digest for number in (1, 2, 3, 4))
GOAL = MetricSpec(name="solved", role="goal", scorer=ScorerSpec(regex="solved"))


def plan(weight: float = 25.0, **experiment: Any) -> RolloutPlan:
    given: dict[str, Any] = {"min_units": 20, "max_duration": "2h"} | experiment
    step = ExperimentStep(**given)
    return RolloutPlan(
        window="1s",
        min_units=3,
        metrics=[MetricSpec(name="error", margin=0.1), GOAL],
        steps=[
            Step(set_weight=weight),
            Step(experiment=step),
            Step(bake=BakeStep(duration="10s", control_weight=10)),
        ],
    )


def run(
    made: World,
    solved: Mapping[str, float],
    *,
    ticks: int = 200,
    fails: Mapping[str, float] | None = None,
    seed: int = 1,
) -> None:
    """Send 20 new users a second; each is served well with its release's chances, until the step is over."""
    chance = random.Random(seed)
    made.tick()

    def drawn(chances: Mapping[str, float], yes: str, no: str) -> Callable[[str], str]:
        return lambda release: yes if chance.random() < chances.get(release, 0.0) else no

    for second in range(ticks):
        if made.rollout().state not in {"progressing", "paused"} or made.rollout().stage > 1:
            return
        for number in range(20):
            made.answer(
                f"user-{seed}-{second}-{number}",
                output=drawn(solved, "solved", "lost"),
                status=drawn(fails or {}, "error", "ok"),
            )
        made.clock.advance(1)
        made.tick()


def verdict(made: World) -> Verdict:
    return msgspec.convert(made.rollout().verdict, Verdict)


def test_a_better_candidate_is_proven_so_and_goes_on_to_the_next_step(world: type[World]) -> None:
    made = world(plan=plan())
    run(made, {STABLE: 0.5, CANDIDATE_RELEASE: 0.75})
    assert (made.rollout().state, made.rollout().stage) == ("baking", 2)
    assert "the candidate is better than control: `solved`" in made.rollout().reason
    assert "that it is better, limit 20 : 1" in made.rollout().reason


def test_an_equal_candidate_is_not_called_better_and_the_plan_says_what_follows(world: type[World]) -> None:
    ends = {"pause": ("paused", 1), "rollback": ("rolling_back", 1), "promote": ("baking", 2)}
    for wish, end in ends.items():
        made = world(plan=plan(on_inconclusive=wish, max_duration="60s"))
        run(made, {STABLE: 0.5, CANDIDATE_RELEASE: 0.5}, ticks=80)
        state = "rolled_back" if end[0] == "rolling_back" else end[0]
        assert (made.rollout().state, made.rollout().stage) == (state, end[1])
        assert "did not decide in 60s" in made.rollout().reason


def test_a_paused_experiment_may_be_resumed_and_goes_on_with_what_it_knows(world: type[World]) -> None:
    made = world(plan=plan(max_duration="40s"))
    run(made, {STABLE: 0.5, CANDIDATE_RELEASE: 0.5}, ticks=60)
    assert made.rollout().pause_reason == "inconclusive"
    made.command("resume")
    before = verdict(made).experiment
    run(made, {STABLE: 0.5, CANDIDATE_RELEASE: 0.9}, seed=2)
    assert made.rollout().stage == 2
    assert before is not None
    assert before.control_units > 150


def test_challengers_are_served_beside_the_candidate_to_units_of_their_own(world: type[World]) -> None:
    arms = [ExperimentArm(release="#3"), ExperimentArm(release="f#4", weight=10)]
    made = world(plan=plan(weight=20.0, arms=arms), challengers=2)
    made.tick()
    met = [made.answer(f"user-{number}") for number in range(3000)]
    shares = {release: met.count(release) / 3000 for release in (STABLE, CANDIDATE_RELEASE, THIRD, FOURTH)}
    assert shares == pytest.approx({STABLE: 0.5, CANDIDATE_RELEASE: 0.2, THIRD: 0.2, FOURTH: 0.1}, abs=0.04)
    while made.tick().more:
        pass
    made.clock.advance(2)
    made.tick()
    found = verdict(made).experiment
    assert found is not None
    assert {arm.arm: arm.units for arm in found.arms} == {
        CANDIDATE: met.count(CANDIDATE_RELEASE),
        THIRD: met.count(THIRD),
        FOURTH: met.count(FOURTH),
    }
    assert found.control_units == pytest.approx(600, abs=120)
    assert [arm.label for arm in found.arms] == ["the candidate", "f#3", "f#4"]


def test_users_whom_the_canary_counted_make_no_arm_unlike_the_others(world: type[World]) -> None:
    """All of yesterday's users are well served, all of today's are not, whoever serves them."""
    canary = plan(weight=25.0, arms=[ExperimentArm(release="#3")], max_duration="1h")
    steps = [Step(set_weight=20.0), Step(pause=PauseStep(duration="10s", min_units=50)), *canary.steps]
    made = world(plan=msgspec.structs.replace(canary, steps=steps), challengers=1)
    made.tick()
    for number in range(2000):
        made.answer(f"old-{number}", output=lambda _release: "solved")
    made.clock.advance(11)
    while made.tick().more or made.rollout().stage < 3:
        made.clock.advance(1)
    for number in range(2000):
        made.answer(f"old-{number}", output=lambda _release: "solved")
        made.answer(f"new-{number}", output=lambda _release: "lost")
    made.clock.advance(2)
    while made.tick().more:
        pass
    made.clock.advance(2)
    made.tick()
    found = verdict(made).experiment
    assert found is not None
    means = [goal.arm_mean for arm in found.arms for goal in arm.goals]
    control = found.arms[0].goals[0].control_mean
    assert [*means, control] == pytest.approx([0.5] * 3, abs=0.1)
    evidence = made.evidence()
    assert evidence is not None
    assert evidence.challengers[THIRD].units.control == found.control_units


def test_what_is_known_of_users_from_before_takes_noise_out_also_after_a_restart(world: type[World]) -> None:
    experiment = plan(weight=40.0, cuped=True)
    steps = [Step(set_weight=2.0), Step(pause=PauseStep(duration="60s", min_units=0)), *experiment.steps]
    made = world(plan=msgspec.structs.replace(experiment, steps=steps))
    chance = random.Random(5)
    made.tick()

    def solves(number: int) -> Callable[[str], str]:
        skill = 0.15 + 0.7 * (number % 2)
        return lambda _release: "solved" if chance.random() < skill else "lost"

    second = 0
    while made.rollout().stage < 3:
        for number in range(second % 10, 3000, 10):
            made.answer(f"user-{number}", output=solves(number))
        made.clock.advance(1)
        made.tick()
        second += 1
    made.kill("a")
    made.clock.advance(60)
    for number in range(3000):
        made.answer(f"user-{number}", output=solves(number))
        if number % 20 == 0:
            made.clock.advance(0.1)
            made.tick()
    found = verdict(made).experiment
    assert found is not None
    (goal,) = found.arms[0].goals
    assert goal.variance_left is not None
    assert 0.4 < goal.variance_left < 0.75  # of 0.25, 0.1225 is between users, of which six answers tell most
    assert "CUPED takes" in goal.words


def test_the_winner_takes_the_candidates_place_where_the_plan_says_so(world: type[World]) -> None:
    made = world(plan=plan(arms=[ExperimentArm(release="#3")], promote="winner"), challengers=1)
    run(made, {STABLE: 0.5, CANDIDATE_RELEASE: 0.5, THIRD: 0.8})
    rollout = made.rollout()
    assert (rollout.state, rollout.candidate) == ("baking", THIRD)
    assert "f#3 is better than control" in rollout.reason
    assert "it takes the candidate's place" in rollout.reason
    route = made.route()
    assert route is not None
    assert (route.candidate, route.challengers) == (THIRD, [])
    evidence = made.evidence()
    assert evidence is not None
    assert evidence.phases["live"].metrics["solved"].candidate.mean > 0.65
    assert evidence.challengers[CANDIDATE_RELEASE].metrics["solved"].candidate.mean < 0.65
    made.candidate = synthetic_release("f", 3)
    for number in range(300):
        made.answer(f"late-{number}")
    made.clock.advance(11)
    made.tick()
    assert made.rollout().state == "promoted"
    assert made.pointer() == THIRD


def test_a_challenger_that_wins_is_told_and_not_promoted_unless_the_plan_says_so(world: type[World]) -> None:
    made = world(plan=plan(arms=[ExperimentArm(release="#3")], max_duration="100s"), challengers=1)
    run(made, {STABLE: 0.5, CANDIDATE_RELEASE: 0.5, THIRD: 0.8})
    assert (made.rollout().state, made.rollout().candidate) == ("paused", CANDIDATE_RELEASE)
    assert "f#3 is better" in made.rollout().reason
    assert "the candidate is not proven better" in made.rollout().reason
    found = verdict(made).experiment
    assert found is not None
    assert found.best == THIRD


def test_a_harmful_challenger_is_dropped_and_the_rest_goes_on(world: type[World]) -> None:
    arms = [ExperimentArm(release="#3"), ExperimentArm(release="#4")]
    made = world(plan=plan(weight=20.0, arms=arms, max_duration="1h", promote="winner"), challengers=2)
    run(made, {STABLE: 0.5, CANDIDATE_RELEASE: 0.5, THIRD: 0.5, FOURTH: 0.5}, fails={THIRD: 0.8}, ticks=60)
    rollout = made.rollout()
    assert (rollout.state, rollout.dropped) == ("progressing", [THIRD])
    assert any("f#3 was dropped: `error`" in one.reason for one in made.transitions())
    route = made.route()
    assert route is not None
    assert [one.release for one in route.challengers] == [FOURTH]
    met = {made.answer(f"late-{number}") for number in range(500)}
    assert met == {STABLE, CANDIDATE_RELEASE, FOURTH}
    found = verdict(made).experiment
    assert found is not None
    assert {arm.arm: bool(arm.harmed) for arm in found.arms} == {CANDIDATE: False, THIRD: True, FOURTH: False}


def test_a_harmful_candidate_rolls_the_whole_experiment_back(world: type[World]) -> None:
    made = world(plan=plan(arms=[ExperimentArm(release="#3")]), challengers=1)
    run(made, {STABLE: 0.5, CANDIDATE_RELEASE: 0.9, THIRD: 0.9}, fails={CANDIDATE_RELEASE: 0.9})
    assert made.rollout().state == "rolled_back"
    assert made.route() is None


def test_the_time_to_a_decision_is_told_while_the_evidence_grows(world: type[World]) -> None:
    made = world(plan=plan())
    run(made, {STABLE: 0.5, CANDIDATE_RELEASE: 0.65}, ticks=30)
    better = verdict(made).forecast
    equal_world = world(plan=plan())
    run(equal_world, {STABLE: 0.6, CANDIDATE_RELEASE: 0.5}, ticks=30)
    worse = verdict(equal_world).forecast
    assert better is not None
    assert worse is not None
    assert better.seconds is not None
    assert better.words.startswith("about ")
    assert (worse.seconds, worse.words.partition(":")[0]) == (None, "not foreseeable")


def test_the_candidates_evidence_survives_a_crash_at_any_moment_of_the_crowning(world: type[World]) -> None:
    def crowned(crashes: list[int]) -> tuple[Any, ...]:
        made = world(plan=plan(arms=[ExperimentArm(release="#3")], promote="winner"), challengers=1)
        made.tick()
        for number in range(1500):
            made.answer(f"u{number}", output=lambda release: "solved" if release == THIRD else "lost")
        made.clock.advance(2)
        made.tick_through_crashes(crashes)
        evidence = made.evidence()
        assert evidence is not None
        rollout = made.rollout()
        return rollout.candidate, rollout.stage, evidence.phases["live"].units, sorted(evidence.challengers)

    calm = crowned([])
    assert calm[:2] == (THIRD, 2)
    for countdown in range(0, 40, 3):
        assert crowned([countdown, countdown + 1]) == calm


def test_arms_that_cannot_be_are_refused_at_the_start(world: type[World]) -> None:
    with pytest.raises(NotFoundError, match="no release"):
        world(plan=plan(arms=[ExperimentArm(release="#9")]))
    for reference, name in (("#1", "stable"), ("#2", "the candidate")):
        with pytest.raises(ConflictError, match=f"is {name} already"):
            world(plan=plan(arms=[ExperimentArm(release=reference)]))
    with pytest.raises(ConflictError, match="is the arm f#3 already"):
        twice = [ExperimentArm(release="#3", weight=5), ExperimentArm(release="f#3", weight=5)]
        world(plan=plan(arms=twice), challengers=1)


HEAD = "metrics: [{name: error}, {name: mine, role: goal, scorer: {regex: x}}]\nsteps:\n"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("  - experiment: {}\n", "before any `setWeight`"),
        ("  - setWeight: 50\n  - experiment: {goals: [error]}\n", "`error` is no goal"),
        ("  - setWeight: 30\n  - experiment: {arms: [{release: '#3'}, {release: '#4'}]}\n", "take 120 per cent"),
        ("  - setWeight: 60\n  - experiment: {}\n", "take 120 per cent"),
        (
            "  - setWeight: 20\n  - pause: {duration: 1h}\n  - experiment: {arms: [{release: '#3'}]}\n",
            "challengers join at a weight of 20",
        ),
        (
            "  - setWeight: 10\n  - experiment: {arms: [{release: '#3'}, {release: '#3'}]}\n",
            "the arm `#3` is named twice",
        ),
    ],
)
def test_experiments_that_contradict_their_plan_say_why(steps: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parse_plan((HEAD + steps).encode())


def test_an_experiment_needs_a_goal() -> None:
    with pytest.raises(SourceError, match="without a goal"):
        parse_plan(b"steps:\n  - setWeight: 50\n  - experiment: {}\n")


def test_what_can_hardly_be_meant_is_warned_of() -> None:
    text = f"{HEAD}  - setWeight: 50\n  - experiment: {{maxDuration: 8d, promote: winner, cuped: true}}\n"
    warned = [str(warning) for warning in read_plan(text.encode()).warnings]
    assert any("expires after 7d" in warning for warning in warned)
    assert any("only arm that could win" in warning for warning in warned)
    assert any("`cuped` has nothing to go by" in warning for warning in warned)


def test_a_plan_with_an_experiment_is_stored_as_it_was_written() -> None:
    made = plan(arms=[ExperimentArm(release="#3")], promote="winner", on_inconclusive="rollback")
    assert decode_plan(encode_plan(made)).steps == made.steps
    assert made.steps[1].text == "experiment of the candidate, #3, at most 2h, at least 20 units"
