"""What holds a rollout without ending it: no data, proven harm left to people, broken assignment, gates."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trimtab.analysis.model import MetricEvidence
from trimtab.analysis.segments import SegmentEvidence, SegmentSpec
from trimtab.analysis.verdict import Verdict
from trimtab.rollout.effects import AppendTransition, Command, Notify, Observation
from trimtab.rollout.machine import step
from trimtab.rollout.model import GateAnswer, Rollout
from trimtab.rollout.spec import BakeStep, GateStep, PauseStep, RollbackPolicy, RolloutPlan, Step, encode_plan

PLAN = RolloutPlan(
    min_units=1,
    deadline="1h",
    steps=[
        Step(gate=GateStep(url="http://gate/", timeout="60s")),
        Step(set_weight=10.0),
        Step(pause=PauseStep(duration="10s")),
        Step(gate=GateStep(url_env="GATE", timeout="60s", on_failure="rollback")),
        Step(bake=BakeStep(duration="10s")),
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
RESUME = Command(kind="resume", actor="ann")


def failing(name: str) -> Verdict:
    metric = MetricEvidence(
        name=name,
        role="guardrail",
        phase="live",
        margin=0.02,
        candidate_mean=0.5,
        control_mean=1.0,
        candidate_units=9,
        control_units=9,
        pairs=9,
        harm=99.0,
        harm_peak=99.0,
        limit=20.0,
        non_inferior=0.1,
        promotion_limit=20.0,
        failed=True,
        passed=False,
    )
    return Verdict(status="failed", phase="live", reason=f"{name} fell", metrics=[metric])


def harming(*values: str, harmed: bool = True) -> Verdict:
    """A verdict that flags segments by language."""
    metric = msgspec.structs.replace(failing("error").metrics[0], failed=harmed)
    segments = [
        SegmentEvidence(segment="language", value=value, harmed=harmed, metric=metric, words=f"{value} fell")
        for value in values
    ]
    return Verdict(status="inconclusive", phase="live", reason="open", metrics=[], segments=segments)


def seen(*, traffic: bool = True, **fields: Any) -> Observation:
    count = 9 if traffic else 0
    given: dict[str, Any] = {"stable": "old", "candidate_units": 9, "control_units": 9} | fields
    return Observation(candidate_generations=count, control_generations=count, **given)


def at(stage: int, state: Any, **fields: Any) -> Rollout:
    return msgspec.structs.replace(START, stage=stage, state=state, **fields)


def after(rollout: Rollout, event: Any, seconds: float, plan: RolloutPlan = PLAN) -> Rollout:
    return step(rollout, plan, event, now_ms=round(seconds * 1000))[0]


def where(rollout: Rollout) -> tuple[str, int, str]:
    return rollout.state, rollout.stage, rollout.pause_reason


def answer(status: Any, stage: int = 0, entered_ms: int = 0, reason: str = "") -> GateAnswer:
    return GateAnswer(
        rollout="ro_1", stage=stage, entered_ms=entered_ms, status=status, reason=reason, asked_at_ms=entered_ms
    )


def test_a_plan_may_only_warn_of_missing_traffic_once_a_step_and_still_never_advances() -> None:
    plan = msgspec.structs.replace(PLAN, on_no_data="warn")
    warned, effects = step(at(2, "progressing"), plan, seen(traffic=False), now_ms=10_000)
    assert where(warned) == ("progressing", 2, "")
    assert [effect.event for effect in effects if isinstance(effect, Notify)] == ["no_data"]
    assert any(isinstance(effect, AppendTransition) for effect in effects)
    assert step(warned, plan, seen(traffic=False), now_ms=3_000_000) == (warned, [])
    assert where(after(warned, seen(), 3000, plan)) == ("progressing", 3, "")


def test_a_plan_may_leave_proven_harm_to_people_who_are_asked_once_for_each_guardrail() -> None:
    plan = msgspec.structs.replace(PLAN, rollback=RollbackPolicy(mode="pause"))
    halted, effects = step(at(2, "progressing"), plan, seen(verdict=failing("error")), now_ms=1000)
    assert where(halted) == ("paused", 2, "harm")
    assert halted.reason == "error fell"
    assert [effect.event for effect in effects if isinstance(effect, Notify)] == ["paused"]
    assert where(after(halted, seen(verdict=failing("error")), 2, plan)) == ("paused", 2, "harm")
    resumed = after(halted, RESUME, 3, plan)
    assert where(after(resumed, seen(verdict=failing("error")), 4, plan)) == ("progressing", 2, "")
    assert where(after(resumed, seen(verdict=failing("latency")), 4, plan)) == ("paused", 2, "harm")
    assert after(halted, Command(kind="abort", actor="ann"), 3, plan).state == "rolling_back"


def test_harm_left_to_people_outranks_every_other_pause_and_gives_it_back_afterwards() -> None:
    plan = msgspec.structs.replace(
        PLAN, rollback=RollbackPolicy(mode="pause"), steps=[Step(set_weight=5.0), Step(pause=PauseStep())]
    )
    halted = after(at(1, "paused", pause_reason="manual"), seen(verdict=failing("error")), 1, plan)
    assert where(halted) == ("paused", 1, "harm")
    assert where(after(halted, RESUME, 2, plan)) == ("paused", 1, "manual")


def test_harm_left_to_people_does_not_outlive_a_moved_pointer_or_the_deadline() -> None:
    plan = msgspec.structs.replace(PLAN, rollback=RollbackPolicy(mode="pause"))
    harmed = seen(verdict=failing("error"), stable="third")
    assert after(at(2, "progressing"), harmed, 1, plan).state == "superseded"
    assert after(at(2, "progressing"), seen(verdict=failing("error")), 3600, plan).state == "expired"


def test_a_broken_assignment_pauses_once_and_whoever_resumes_has_seen_it() -> None:
    broken = seen(srm="612 users on the candidate, 388 in control: 1 : 1 was meant")
    paused = after(at(2, "progressing"), broken, 1)
    assert where(paused) == ("paused", 2, "srm")
    assert "612" in paused.reason
    assert where(after(paused, seen(), 2)) == ("paused", 2, "srm")
    resumed = after(paused, RESUME, 3)
    assert where(after(resumed, broken, 4)) == ("progressing", 2, "")


def test_harm_outranks_a_broken_assignment() -> None:
    assert after(at(2, "progressing"), seen(srm="broken", verdict=failing("error")), 1).state == "rolling_back"


def test_a_harmed_segment_pauses_as_a_signal_once_each_and_never_rolls_back() -> None:
    plan = msgspec.structs.replace(PLAN, segments=[SegmentSpec(name="language", by="attribute.language")])
    assert where(after(at(2, "progressing"), seen(verdict=harming("de", harmed=False)), 1, plan)) == (
        "progressing",
        2,
        "",
    )
    paused = after(at(2, "progressing"), seen(verdict=harming("de")), 1, plan)
    assert where(paused) == ("paused", 2, "signal")
    assert paused.reason == "de fell"
    resumed = after(paused, RESUME, 2, plan)
    assert resumed.acknowledged == ["language=de/error"]
    assert where(after(resumed, seen(verdict=harming("de")), 3, plan)) == ("progressing", 2, "")
    again = after(resumed, seen(verdict=harming("de", "fr")), 3, plan)
    assert (where(again), again.reason) == (("paused", 2, "signal"), "fr fell")


def test_a_harmed_segment_may_only_be_told_of() -> None:
    plan = msgspec.structs.replace(PLAN, segment_action="warn")
    told, effects = step(at(2, "progressing"), plan, seen(verdict=harming("de")), now_ms=1000)
    assert where(told) == ("progressing", 2, "")
    assert [effect.event for effect in effects if isinstance(effect, Notify)] == ["segment"]
    assert step(told, plan, seen(verdict=harming("de")), now_ms=2000)[1] == []
    assert where(after(told, seen(verdict=harming("de")), 10, plan)) == ("progressing", 3, "")


def test_a_gate_before_any_weight_needs_approval_and_no_traffic() -> None:
    waiting = after(START, seen(traffic=False), 0)
    assert where(waiting) == ("progressing", 0, "")
    assert where(after(waiting, seen(traffic=False), 59)) == ("progressing", 0, "")
    asked = seen(traffic=False, gate=answer("pending", reason="not yet"))
    assert where(after(waiting, asked, 59)) == ("progressing", 0, "")
    assert where(after(waiting, seen(traffic=False, gate=answer("approved")), 1)) == ("progressing", 2, "")


@pytest.mark.parametrize(
    ("gate", "seconds", "words"),
    [
        (answer("refused", reason="tests are red"), 1, "tests are red"),
        (answer("pending", reason="answered 503"), 60, "answered 503"),
        (None, 60, "no approval within `gate gate, at most 60s`"),
    ],
)
def test_a_gate_that_refuses_or_never_approves_pauses(gate: GateAnswer | None, seconds: int, words: str) -> None:
    paused = after(at(0, "progressing"), seen(traffic=False, gate=gate), seconds)
    assert where(paused) == ("paused", 0, "inconclusive")
    assert words in paused.reason


def test_a_gate_may_roll_back() -> None:
    assert after(at(3, "progressing"), seen(gate=answer("refused", 3)), 1).state == "rolling_back"


def test_an_approval_of_before_the_step_was_entered_again_does_not_count() -> None:
    resumed = after(after(at(0, "progressing"), seen(traffic=False), 60), RESUME, 100)
    assert where(after(resumed, seen(traffic=False, gate=answer("approved")), 101)) == ("progressing", 0, "")
    again = seen(traffic=False, gate=answer("approved", entered_ms=100_000))
    assert where(after(resumed, again, 101)) == ("progressing", 2, "")
    assert where(after(at(3, "progressing"), seen(gate=answer("approved", 0)), 1)) == ("progressing", 3, "")


def test_an_approved_gate_among_users_still_waits_for_traffic() -> None:
    approved = answer("approved", 3)
    assert where(after(at(3, "progressing"), seen(traffic=False, gate=approved), 1)) == ("progressing", 3, "")
    assert where(after(at(3, "progressing"), seen(traffic=False, gate=approved), 60)) == ("paused", 3, "no_data")
    assert where(after(at(3, "progressing"), seen(gate=approved), 1)) == ("baking", 4, "")


def test_harm_outranks_an_open_gate() -> None:
    harmed = seen(verdict=failing("error"), gate=answer("approved", 3))
    assert after(at(3, "progressing"), harmed, 1).state == "rolling_back"
