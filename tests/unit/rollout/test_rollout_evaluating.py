"""A step that waits for a test suite: whichever comes first, the rollout or the result. `world` is in conftest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.control.evals import EvalOutcome, record_eval, stated
from trimtab.rollout.spec import (
    BakeStep,
    NotifyTarget,
    OfflineEvalStep,
    RolloutPlan,
    ShadowStep,
    Step,
    decode_plan,
    encode_plan,
)

if TYPE_CHECKING:
    from tests.unit.rollout.conftest import World

SMOKE = OfflineEvalStep(suite="smoke", max_age="2d", timeout="60s")


def plan(*steps: OfflineEvalStep) -> RolloutPlan:
    return RolloutPlan(
        window="2s",
        deadline="30d",
        steps=[
            *[Step(offline_eval=step) for step in steps or (SMOKE,)],
            Step(shadow=ShadowStep(traffic=60, duration="2s")),
            Step(set_weight=50.0),
            Step(bake=BakeStep(duration="2s")),
        ],
    )


def record(world: World, *, passed: bool, suite: str = "smoke", stable: bool = False) -> None:
    with world.store.write() as tx:
        release = world.stable if stable else world.candidate
        outcome = stated(passed=passed, reason="12 of 12 cases passed" if passed else "11 of 12 cases passed")
        record_eval(tx, release, suite, outcome, actor="ci", now_ms=world.clock.now_ms())


def where(world: World) -> tuple[str, int, str]:
    rollout = world.rollout()
    return rollout.state, rollout.stage, rollout.pause_reason


def pass_time(world: World, seconds: float) -> None:
    world.clock.advance(seconds)
    world.tick()


def test_it_waits_with_nobody_meeting_the_candidate_and_goes_on_once_the_suite_passed(world: type[World]) -> None:
    made = world(plan=plan())
    made.tick()
    assert where(made) == ("evaluating", 0, "")
    assert made.route() is None
    pass_time(made, 30)
    assert where(made) == ("evaluating", 0, "")
    record(made, passed=True)
    made.tick()
    assert where(made) == ("shadowing", 1, "")
    assert made.rollout().reason.startswith("`smoke` passed: 12 of 12 cases passed; next: shadow")


def test_a_result_from_before_the_start_counts_at_once(world: type[World]) -> None:
    made = world(plan=plan())
    record(made, passed=True)
    made.tick()
    made.tick()
    assert where(made) == ("shadowing", 1, "")


def test_a_result_of_another_release_or_another_suite_does_not_count(world: type[World]) -> None:
    made = world(plan=plan())
    record(made, passed=True, stable=True)
    record(made, passed=True, suite="smoke2")
    made.tick()
    made.tick()
    assert where(made) == ("evaluating", 0, "")


@pytest.mark.parametrize("pin", ["orders@v3", "sha256:" + "d" * 64])
@pytest.mark.parametrize(
    ("dataset", "digest", "split", "state"),
    [
        ("orders@v3", "d", "", "shadowing"),
        ("orders@v3", "d", "heldout", "shadowing"),
        ("orders@v3", "d", "train", "evaluating"),
        ("orders@v2", "c", "", "evaluating"),
        ("", "", "", "evaluating"),
    ],
)
def test_a_plan_that_pins_a_dataset_goes_on_by_results_over_it_alone(
    world: type[World], pin: str, dataset: str, digest: str, split: str, state: str
) -> None:
    made = world(plan=plan(msgspec.structs.replace(SMOKE, dataset=pin)))
    whole = f"sha256:{digest * 64}" if digest else ""
    outcome = EvalOutcome(passed=True, source="eval", dataset=dataset, dataset_digest=whole, split=split)
    with made.store.write() as tx:
        record_eval(tx, made.candidate, "smoke", outcome, actor="ci", now_ms=made.clock.now_ms())
    if state == "shadowing":  # one over another dataset that came later takes nothing back
        record(made, passed=False)
    made.tick()
    made.tick()
    assert made.rollout().state == state
    if state == "evaluating":
        pass_time(made, 61)
        missing = "no result of it over this dataset is on record for this release"
        assert made.rollout().reason == f"`smoke` was not passed on {pin} within 60s: {missing}"


def test_a_plan_without_a_pin_keeps_its_digest() -> None:
    assert b"dataset" not in encode_plan(plan())
    pinned = plan(OfflineEvalStep(suite="smoke", dataset="orders@v3"))
    assert decode_plan(encode_plan(pinned)).steps[0].offline_eval == pinned.steps[0].offline_eval
    assert pinned.steps[0].text == "offline eval smoke on orders@v3, at most 1h"


@pytest.mark.parametrize(("age_seconds", "state"), [(2 * 86_400 - 1, "shadowing"), (2 * 86_400 + 1, "evaluating")])
def test_a_result_counts_only_while_it_is_young(world: type[World], age_seconds: int, state: str) -> None:
    made = world(plan=plan())
    record(made, passed=True)
    made.clock.advance(age_seconds)
    made.tick()
    made.tick()
    assert made.rollout().state == state


def test_nobody_saying_anything_in_time_is_a_failure_that_says_so(world: type[World]) -> None:
    made = world(plan=plan())
    made.tick()
    pass_time(made, 60)
    assert where(made) == ("paused", 0, "eval")
    assert made.rollout().reason == "`smoke` was not passed within 60s: no result of it is on record for this release"
    record(made, passed=True)
    pass_time(made, 1)
    assert where(made) == ("paused", 0, "eval")  # a pause waits for a person
    made.command("resume")
    made.tick()
    assert where(made) == ("shadowing", 1, "")


def test_a_stale_result_is_named_as_the_reason(world: type[World]) -> None:
    made = world(plan=plan())
    record(made, passed=True)
    made.clock.advance(3 * 86_400)
    made.tick()
    pass_time(made, 60)
    assert made.rollout().reason == "`smoke` was not passed within 60s: its last result is older than 2d"


def test_a_failed_suite_stops_once_and_whoever_resumes_waits_for_another_run(world: type[World]) -> None:
    made = world(plan=plan())
    record(made, passed=False)
    made.tick()
    made.tick()
    assert where(made) == ("paused", 0, "eval")
    assert made.rollout().reason == "`smoke` failed: 11 of 12 cases passed"
    made.command("resume")
    made.tick()
    assert where(made) == ("evaluating", 0, "")
    record(made, passed=False)
    made.tick()
    assert where(made) == ("paused", 0, "eval")
    made.command("resume")
    record(made, passed=True)
    made.tick()
    assert where(made) == ("shadowing", 1, "")


def test_a_resumed_step_that_hears_nothing_new_fails_again_in_time(world: type[World]) -> None:
    made = world(plan=plan())
    record(made, passed=False)
    made.tick()
    made.tick()
    made.command("resume")
    made.tick()
    pass_time(made, 60)
    assert where(made) == ("paused", 0, "eval")
    assert made.rollout().reason.endswith("its last result is still: `smoke` failed: 11 of 12 cases passed")


@pytest.mark.parametrize("result", [False, None], ids=["failed", "late"])
def test_a_plan_may_roll_back_instead(world: type[World], result: Any) -> None:
    made = world(plan=plan(msgspec.structs.replace(SMOKE, on_failure="rollback")))
    made.tick()
    if result is not None:
        record(made, passed=result)
    pass_time(made, 60)
    made.tick()
    assert made.rollout().state == "rolled_back"
    assert made.rollout().verdict.get("status") != "failed"  # so the candidate does not cool down


def test_the_latest_run_counts_over_an_earlier_one(world: type[World]) -> None:
    made = world(plan=plan())
    record(made, passed=True)
    record(made, passed=False)
    made.tick()
    made.tick()
    assert where(made) == ("paused", 0, "eval")


def test_suites_are_waited_for_one_after_the_other(world: type[World]) -> None:
    made = world(plan=plan(SMOKE, OfflineEvalStep(suite="red-team", timeout="1d")))
    record(made, passed=True, suite="red-team")
    made.tick()
    made.tick()
    assert where(made) == ("evaluating", 0, "")
    record(made, passed=True)
    made.tick()
    made.tick()
    assert where(made) == ("shadowing", 2, "")


def test_a_person_may_hold_skip_or_end_it(world: type[World]) -> None:
    held = world(plan=plan())
    held.tick()
    held.command("pause")
    assert where(held) == ("paused", 0, "manual")
    record(held, passed=True)
    held.tick()
    assert where(held) == ("paused", 0, "manual")
    held.command("resume")
    held.tick()
    assert where(held) == ("shadowing", 1, "")
    skipped, ended = world(plan=plan()), world(plan=plan())
    for made in (skipped, ended):
        made.tick()
    skipped.command("promote")
    assert skipped.pointer() == skipped.candidate.digest
    ended.command("abort")
    ended.tick()
    assert ended.rollout().state == "rolled_back"


def test_people_are_told_why_it_stopped_and_how_it_goes_on(world: type[World]) -> None:
    made = world(plan=msgspec.structs.replace(plan(), notify=[NotifyTarget(url_env="HOOK", format="slack")]))
    record(made, passed=False)
    made.tick()
    made.tick()
    with made.store.read() as tx:
        (message,) = tx.messages(made.id)
    assert msgspec.json.decode(message.body)["text"].splitlines()[:2] == [
        "f#2 is paused in e, before any user met it (eval).",
        "Why: `smoke` failed: 11 of 12 cases passed",
    ]
