"""Delayed feedback through the controller: crashes, repetitions and order leave no trace. `world` is in conftest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.analysis.model import FeedbackSpec, MetricSpec
from trimtab.events import Feedback
from trimtab.rollout.plan_check import plan_warnings
from trimtab.rollout.spec import AnalysisStep, PauseStep, RolloutPlan, Step, decode_plan, encode_plan
from trimtab.serving.assignment import assign

if TYPE_CHECKING:
    from tests.unit.rollout.conftest import World

THUMBS = MetricSpec(name="thumbs", margin=0.05, feedback=FeedbackSpec(name="thumbs", within="60s", absent=0))
PLAN = RolloutPlan(
    window="2s",
    alpha=0.5,
    min_units=3,
    deadline="1h",
    metrics=[MetricSpec(name="error", margin=0.02), THUMBS],
    steps=[Step(set_weight=50.0), Step(pause=PauseStep(duration="50m"))],
)


def rate(world: World, number: int, value: float, *, feature: str = "f", environment: str = "e") -> None:
    """Somebody judges an answer that was, or was not, given to a user."""
    generation = world.sent[number % len(world.sent)].id if world.sent else "gen_0"
    at_ms = world.clock.now_ms()
    world.queue.append(
        Feedback(
            id=f"fbk_{number}_{value}",
            at_ms=at_ms,
            feature=feature,
            environment=environment,
            generation=generation,
            name="thumbs",
            value=value,
        )
    )


def picture(world: World) -> Any:
    evidence = world.evidence()
    history = [(t.at_ms, t.from_state, t.to_state, t.stage, t.reason) for t in world.transitions()]
    return history, None if evidence is None else (evidence.phases, evidence.following, evidence.scored)


actions = st.one_of(
    st.tuples(st.just("burst"), st.integers(0, 40), st.just(0.0)),
    st.tuples(st.just("rate"), st.integers(0, 200), st.sampled_from([0.0, 1.0, 1.0, 0.5, 7.0])),
    st.tuples(st.just("rate"), st.integers(0, 200), st.sampled_from([0.0, 1.0])),
    st.tuples(st.just("repeat"), st.integers(0, 200), st.just(0.0)),
    st.tuples(st.just("advance"), st.sampled_from([1, 5, 70, 130, -5]), st.just(0.0)),
)


def act(world: World, action: tuple[str, int, float]) -> None:
    kind, number, value = action
    if kind == "burst":
        for unit in range(number, number + 15):
            world.send(unit, bad=False)
    elif kind == "rate":
        rate(world, number, value)
    elif kind == "repeat":
        world.repeat(number)
        rate(world, number, value)
        rate(world, number, value)
    else:
        world.clock.advance(number)


@given(script=st.lists(actions, max_size=25), crashes=st.lists(st.lists(st.integers(0, 40), max_size=3), max_size=25))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_crash_at_any_port_call_leaves_the_same_cohorts_and_wealth(
    world: type[World], script: list[tuple[str, int, float]], crashes: list[list[int]]
) -> None:
    calm, crashing = world(plan=PLAN), world(plan=PLAN)
    for index, action in enumerate([("advance", 1, 0.0), *script, ("advance", 200, 0.0), ("advance", 1, 0.0)]):
        for each in (calm, crashing):
            act(each, action)
        calm.tick()
        crashing.tick_through_crashes(list(crashes[index]) if index < len(crashes) else [])
        assert picture(crashing) == picture(calm)


def scene(world: type[World], *, content: str, **where: str) -> World:
    """Users of one arm say that they are content, all others say nothing; then their time is over."""
    made = world(plan=PLAN)
    made.tick()
    route = made.route()
    assert route is not None
    for unit in range(120):
        made.send(unit, bad=False)
    for index in range(120):
        if assign(route, f"user-{index}")[0] == content:
            rate(made, index, 1.0, **where)
    made.clock.advance(100)
    made.tick()
    assert made.rollout().state == "progressing"  # its time is not over: pending is not zero
    made.clock.advance(90)
    made.tick()
    made.tick()
    return made


def test_a_candidate_that_nobody_likes_is_rolled_back_when_its_cohort_is_old_enough(world: type[World]) -> None:
    made = scene(world, content="matched_control")
    assert made.rollout().state == "rolled_back"
    assert "`thumbs` fell from 100.0 % to 0.0 %" in made.rollout().reason


def test_what_is_said_of_other_features_or_environments_is_not_heard(world: type[World]) -> None:
    for where in ({"feature": "g"}, {"environment": "staging"}):
        made = scene(world, content="matched_control", **where)
        assert made.rollout().state == "progressing"
    assert scene(world, content="matched_control", feature="").rollout().state == "rolled_back"


def test_a_plan_with_feedback_survives_storage_and_an_analysis_too_short_for_it_is_warned_of() -> None:
    assert decode_plan(encode_plan(PLAN)).metrics[1] == THUMBS
    steps = [Step(set_weight=50.0), Step(analysis=AnalysisStep(max_duration="61s"))]
    short = RolloutPlan(window="2s", metrics=[MetricSpec(name="error"), THUMBS], steps=steps)
    assert any("before the first unit's feedback" in warning.message for warning in plan_warnings(short))
