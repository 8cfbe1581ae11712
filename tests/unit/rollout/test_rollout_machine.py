from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.analysis.verdict import Verdict
from trimtab.core.errors import ConflictError
from trimtab.rollout.effects import AppendTransition, Command, Effect, MovePointer, Notify, Observation, Withdrawn
from trimtab.rollout.machine import step
from trimtab.rollout.model import TERMINAL_STATES, Rollout
from trimtab.rollout.routing import routing
from trimtab.rollout.spec import (
    AnalysisStep,
    BakeStep,
    PauseStep,
    RolloutPlan,
    ShadowStep,
    Step,
    decode_plan,
    encode_plan,
)

PLAN = RolloutPlan(
    min_units=10,
    deadline="1h",
    steps=[
        Step(shadow=ShadowStep(traffic=20, duration="10s")),
        Step(set_weight=5.0),
        Step(set_weight=10.0),
        Step(pause=PauseStep(duration="10s", min_units=30)),
        Step(pause=PauseStep()),
        Step(set_weight=50.0),
        Step(analysis=AnalysisStep(min_units=50, max_duration="60s")),
        Step(bake=BakeStep(duration="10s", control_weight=5)),
    ],
)
START = Rollout(
    id="ro_1",
    feature="f",
    environment="e",
    stable="old",
    candidate="new",
    plan=encode_plan(PLAN),
    salt="s",
    state="validating",
    created_at_ms=0,
    created_by="ann",
    updated_at_ms=0,
)


def verdict(status: Any = "inconclusive", **fields: Any) -> Verdict:
    return Verdict(status=status, phase="live", reason=f"it is {status}", metrics=[], **fields)


def seen(status: Any = "inconclusive", *, traffic: bool = True, units: int = 1000, **fields: Any) -> Observation:
    generations = 5 if traffic else 0
    given: dict[str, Any] = {"stable": "old", "verdict": verdict(status)} | fields
    return Observation(
        control_units=units,
        candidate_units=units,
        control_generations=generations,
        candidate_generations=generations,
        **given,
    )


def at(stage: int, state: Any, **fields: Any) -> Rollout:
    return msgspec.structs.replace(START, stage=stage, state=state, **fields)


def after(rollout: Rollout, event: Any, seconds: float, plan: RolloutPlan = PLAN) -> Rollout:
    return step(rollout, plan, event, now_ms=round(seconds * 1000))[0]


def where(rollout: Rollout) -> tuple[str, int, str]:
    return rollout.state, rollout.stage, rollout.pause_reason


def kinds(effects: list[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def test_the_whole_way_to_promotion() -> None:
    rollout = after(START, seen(), 1)
    assert where(rollout) == ("shadowing", 0, "")
    rollout = after(rollout, seen(), 11)
    assert where(rollout) == ("progressing", 3, "")
    rollout = after(rollout, seen(), 21)
    assert where(rollout) == ("paused", 4, "manual")
    rollout = after(rollout, Command(kind="resume", actor="ann"), 22)
    assert where(rollout) == ("progressing", 6, "")
    assert where(after(rollout, seen(), 23)) == ("progressing", 6, "")
    rollout = after(rollout, seen("successful"), 24)
    assert where(rollout) == ("baking", 7, "")
    rollout, effects = step(rollout, PLAN, seen("successful"), now_ms=34_000)
    assert rollout.state == "promoted"
    assert rollout.ended_at_ms == 34_000
    assert kinds(effects) == ["MovePointer", "AppendTransition", "Publish", "Notify"]
    assert isinstance(effects[0], MovePointer)
    assert effects[0].to_release == "new"


def test_consecutive_weights_are_each_in_the_history() -> None:
    _, effects = step(at(0, "shadowing"), PLAN, seen(), now_ms=11_000)
    stages = [effect.transition.stage for effect in effects if isinstance(effect, AppendTransition)]
    assert stages == [1, 2, 3]


@pytest.mark.parametrize("state", ["shadowing", "progressing", "paused", "baking"])
def test_proven_harm_rolls_back_from_every_live_state(state: str) -> None:
    rollout = at(7, state, pause_reason="manual" if state == "paused" else "")
    leaving = after(rollout, seen("failed", stable="moved"), 10**6)
    assert leaving.state == "rolling_back"
    assert leaving.reason == "it is failed"
    done, effects = step(leaving, PLAN, Withdrawn(), now_ms=5)
    assert done.state == "rolled_back"
    assert "Notify" in kinds(effects)


def test_rolling_back_cannot_be_turned_around() -> None:
    leaving = at(3, "rolling_back")
    assert step(leaving, PLAN, seen("successful"), now_ms=10**9) == (leaving, [])
    for kind in ("resume", "promote", "pause", "abort"):
        with pytest.raises(ConflictError):
            step(leaving, PLAN, Command(kind=kind, actor="ann"), now_ms=1)


def test_time_alone_advances_nothing() -> None:
    for rollout in (at(0, "shadowing"), at(3, "progressing"), at(6, "progressing"), at(7, "baking")):
        assert after(rollout, seen("successful", traffic=False), 59).stage == rollout.stage
        assert after(rollout, seen("successful", units=0), 59).stage == rollout.stage


def test_a_step_without_traffic_is_held_until_traffic_is_back() -> None:
    held = after(at(3, "progressing"), seen(traffic=False), 10)
    assert where(held) == ("paused", 3, "no_data")
    assert where(after(held, seen(traffic=False), 500)) == ("paused", 3, "no_data")
    assert where(after(held, seen(), 500)) == ("progressing", 3, "")


def test_a_plan_may_roll_back_for_want_of_traffic() -> None:
    plan = msgspec.structs.replace(PLAN, on_no_data="rollback")
    assert after(at(3, "progressing"), seen(traffic=False), 10, plan).state == "rolling_back"


def test_traffic_of_one_arm_is_not_enough() -> None:
    one_sided = msgspec.structs.replace(seen(), control_generations=0)
    assert after(at(3, "progressing"), one_sided, 10).pause_reason == "no_data"


def test_an_analysis_that_does_not_decide_waits_for_a_person_who_may_give_it_more_time() -> None:
    rollout = after(at(6, "progressing"), seen(), 60)
    assert where(rollout) == ("paused", 6, "inconclusive")
    assert where(after(rollout, seen("successful"), 61)) == ("paused", 6, "inconclusive")
    again = after(rollout, Command(kind="resume", actor="ann"), 100)
    assert where(again) == ("progressing", 6, "")
    assert where(after(again, seen(), 159)) == ("progressing", 6, "")
    assert where(after(again, seen("successful"), 159)) == ("baking", 7, "")


def test_a_signal_pauses_once_and_whoever_resumes_has_seen_it() -> None:
    alarming = seen(verdict=verdict(alarms=["tokens"]))
    rollout = after(at(3, "progressing"), alarming, 1)
    assert where(rollout) == ("paused", 3, "signal")
    resumed = after(rollout, Command(kind="resume", actor="ann"), 2)
    assert resumed.acknowledged == ["tokens"]
    assert where(after(resumed, alarming, 3)) == ("progressing", 3, "")


def test_a_scorer_that_cannot_be_believed_pauses() -> None:
    assert where(after(at(3, "progressing"), seen("error"), 1)) == ("paused", 3, "inconclusive")
    assert where(after(at(3, "progressing"), seen(problem="no module"), 1)) == ("paused", 3, "inconclusive")


def test_a_plan_that_cannot_be_measured_never_starts() -> None:
    rollout = after(START, seen(problem="scorer not found"), 1)
    assert (rollout.state, rollout.reason) == ("rolling_back", "scorer not found")


def test_a_pointer_moved_by_hand_supersedes_and_the_deadline_expires() -> None:
    assert after(at(3, "progressing"), seen(stable="third"), 1).state == "superseded"
    assert after(at(3, "progressing"), seen(), 3600).state == "expired"
    assert after(at(4, "paused", pause_reason="manual"), seen(), 3600).state == "expired"


def test_a_pause_by_hand_keeps_the_step_and_starts_its_clock_again() -> None:
    paused = after(at(3, "progressing"), Command(kind="pause", actor="ann", reason="holiday"), 5)
    assert where(paused) == ("paused", 3, "manual")
    assert paused.reason == "holiday"
    assert where(after(paused, seen("successful"), 500)) == ("paused", 3, "manual")
    resumed = after(paused, Command(kind="resume", actor="ann"), 500)
    assert where(after(resumed, seen(), 509)) == ("progressing", 3, "")
    assert where(after(resumed, seen(), 510)) == ("paused", 4, "manual")


def test_promotion_by_hand_is_recorded_as_that() -> None:
    rollout, effects = step(at(3, "progressing"), PLAN, Command(kind="promote", actor="ann"), now_ms=1)
    assert rollout.state == "promoted"
    transition = next(effect.transition for effect in effects if isinstance(effect, AppendTransition))
    assert transition.actor == "ann"
    assert "skipped to full" in transition.reason


def test_a_clock_set_back_advances_nothing() -> None:
    rollout = at(3, "progressing", stage_entered_ms=10**9, created_at_ms=10**9)
    assert after(rollout, seen(), 1).stage == 3


def test_routing_follows_state_and_step() -> None:
    def route(stage: int, state: str) -> tuple[float, float, float] | None:
        found = routing(at(stage, state), PLAN)
        return None if found is None else (found.weight, round(found.control_weight, 9), found.shadow)

    assert route(0, "shadowing") == (0.0, 0.0, 0.2)
    assert route(3, "progressing") == (0.1, 0.1, 0.0)
    assert route(4, "paused") == (0.1, 0.1, 0.0)
    assert route(6, "progressing") == (0.5, 0.5, 0.0)
    assert route(7, "baking") == (0.95, 0.05, 0.0)
    for state in ("validating", "rolling_back", *TERMINAL_STATES):
        assert route(7, state) is None


events = st.one_of(
    st.builds(
        seen,
        st.sampled_from(["inconclusive", "inconclusive", "successful", "failed", "error"]),
        traffic=st.booleans(),
        units=st.sampled_from([0, 40, 1000]),
        stable=st.sampled_from(["old", "old", "old", "third"]),
    ),
    st.builds(Command, kind=st.sampled_from(["pause", "resume", "promote", "abort"]), actor=st.just("ann")),
    st.just(Withdrawn()),
)


@given(script=st.lists(st.tuples(events, st.integers(-20, 60)), max_size=40))
def test_no_script_leads_out_of_a_terminal_state_or_promotes_what_was_rolled_back(
    script: list[tuple[Any, int]],
) -> None:
    rollout, now = START, 0
    states = [rollout.state]
    for event, seconds in script:
        now += seconds * 1000
        before = rollout
        try:
            rollout, effects = step(rollout, PLAN, event, now_ms=now)
        except ConflictError:
            continue
        states.append(rollout.state)
        assert (rollout.state != before.state) <= any(isinstance(effect, AppendTransition) for effect in effects)
        assert (rollout.state == "promoted" != before.state) == any(isinstance(e, MovePointer) for e in effects)
        assert rollout.stage >= before.stage
        if before.state in TERMINAL_STATES:
            assert rollout == before
        if isinstance(event, Observation) and (rollout.stage > before.stage >= 0):
            assert event.candidate_generations
            assert event.control_generations
        if rollout.state in TERMINAL_STATES and before.state not in TERMINAL_STATES:
            assert any(isinstance(effect, Notify) for effect in effects)
    assert not {"promoted", "rolled_back"} <= set(states)


LOST = "Of 40 requests to be mirrored, 30 were answered: 10 were not sent (mirror_budget_spent 10)."


def test_a_shadow_step_whose_money_is_spent_before_its_units_are_there_asks_a_person() -> None:
    spent = seen(units=3, mirrors=LOST, mirrors_stopped=True)
    waiting = after(at(0, "shadowing"), spent, 9)
    assert where(waiting) == ("shadowing", 0, "")  # it has its time yet
    paused = after(at(0, "shadowing"), spent, 11)
    assert where(paused) == ("paused", 0, "inconclusive")
    assert "the money for mirrored requests is spent: 3 units were answered by both" in paused.reason
    assert LOST in paused.reason
    assert where(after(paused, spent, 12)) == ("paused", 0, "inconclusive")
    resumed = after(paused, Command(kind="resume", actor="ann"), 13)
    assert where(resumed) == ("shadowing", 0, "")
    assert where(after(resumed, spent, 24)) == ("paused", 0, "inconclusive")


def test_a_shadow_step_with_units_enough_ends_and_says_what_was_not_mirrored() -> None:
    changed, effects = step(at(0, "shadowing"), PLAN, seen(mirrors=LOST, mirrors_stopped=True), now_ms=11_000)
    assert changed.state == "progressing"
    first = next(effect.transition for effect in effects if isinstance(effect, AppendTransition))
    assert LOST.removesuffix(".") in first.reason


def test_a_shadow_step_in_which_nothing_was_mirrored_says_why() -> None:
    nothing = seen(traffic=False, units=0, mirrors=LOST)
    paused = after(at(0, "shadowing"), nothing, 11)
    assert where(paused) == ("paused", 0, "no_data")
    assert LOST in paused.reason


def test_a_plan_from_before_mirrors_had_budgets_keeps_its_bytes() -> None:
    assert encode_plan(PLAN).count(b"budgetUsd") == encode_plan(PLAN).count(b"hostedTools") == 0
    first = msgspec.structs.replace(
        PLAN.steps[0], shadow=ShadowStep(traffic=20, duration="10s", budget_usd=5.0, hosted_tools=["web_search"])
    )
    said = msgspec.structs.replace(PLAN, steps=[first, *PLAN.steps[1:]])
    assert decode_plan(encode_plan(said)) == said
    route = routing(at(0, "shadowing"), said)
    assert route is not None
    assert (route.shadow_budget_usd, route.shadow_hosted_tools) == (5.0, ["web_search"])
