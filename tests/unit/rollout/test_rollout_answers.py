"""A plan that asks whether answers differ, through the controller and in rehearsal. `world` is in conftest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from trimtab.analysis.model import MetricSpec
from trimtab.core.errors import InputError, SourceError
from trimtab.rollout.plan_check import plan_problems, plan_warnings
from trimtab.rollout.plan_file import parse_plan
from trimtab.rollout.rehearsal import Crowd, Scene, default_baseline, parse_fault, rehearsal_work, rehearse
from trimtab.rollout.spec import PauseStep, RolloutPlan, Step, decode_plan, encode_plan

if TYPE_CHECKING:
    from tests.unit.rollout.conftest import World

DIFFER = MetricSpec(name="answers-differ", of="text", role="signal")
PLAN = RolloutPlan(
    window="2s",
    min_units=3,
    deadline="1h",
    metrics=[MetricSpec(name="error", margin=0.02), DIFFER],
    steps=[Step(set_weight=50.0), Step(pause=PauseStep(duration="50m"))],
)


def converse(world: World, users: range, *, candidate: str, stable: str) -> None:
    for index in users:
        world.answer(
            f"user-{index}",
            output=lambda release: f"{candidate if release == world.candidate.digest else stable} {index}",  # noqa: B023 - called at once
        )


def test_answers_that_differ_pause_once_and_whoever_resumes_goes_on(world: type[World]) -> None:
    made = world(plan=PLAN)
    made.tick()
    converse(made, range(150), candidate="```json\n{}\n```", stable="your order is on its way")
    made.clock.advance(10)
    made.tick()
    made.tick()
    rollout = made.rollout()
    assert (rollout.state, rollout.pause_reason) == ("paused", "signal")
    assert "answers look different" in rollout.reason
    made.command("resume")
    made.tick()
    converse(made, range(150, 200), candidate="```json\n{}\n```", stable="your order is on its way")
    made.clock.advance(10)
    made.tick()
    assert made.rollout().state == "progressing"


def test_answers_that_are_alike_pause_nothing_nor_do_different_ones_in_dry_run(world: type[World]) -> None:
    trial = msgspec.structs.replace(PLAN, metrics=[PLAN.metrics[0], msgspec.structs.replace(DIFFER, dry_run=True)])
    for plan, candidate in ((PLAN, "your order is on its way"), (trial, "```json\n{}\n```")):
        made = world(plan=plan)
        made.tick()
        converse(made, range(150), candidate=candidate, stable="your order is on its way")
        made.clock.advance(10)
        made.tick()
        assert made.rollout().state == "progressing"
        assert made.evidence() is not None


def test_crashes_and_repetitions_leave_the_same_wealth(world: type[World]) -> None:
    calm, crashing = world(plan=PLAN), world(plan=PLAN)
    calm.tick()
    crashing.tick()
    for start in range(0, 60, 20):
        for each in (calm, crashing):
            converse(each, range(start, start + 20), candidate="{}", stable="on its way")
            each.clock.advance(1)
        calm.tick()
        crashing.repeat(start)
        crashing.tick_through_crashes([start // 10, 3, 7, 1])
    pictures = [each.evidence() for each in (calm, crashing)]
    assert pictures[0] is not None
    assert pictures[1] is not None
    assert pictures[0].answers["answers-differ"].betting.pairs > 10
    assert pictures[0].answers == pictures[1].answers


def test_it_reads_as_written_survives_storage_and_lints_clean() -> None:
    plan = parse_plan(
        b"metrics:\n  - {name: error}\n  - {name: answers-differ, role: signal, of: text}\n"
        b"steps: [{setWeight: 5}, {bake: {duration: 30m}}]\n"
    )
    assert plan.metrics[1] == DIFFER
    assert decode_plan(encode_plan(plan)).metrics[1] == DIFFER
    assert [*plan_problems(plan), *plan_warnings(plan)] == []
    with pytest.raises(SourceError, match="different, not whether they are worse") as caught:
        parse_plan(b"metrics:\n  - {name: error}\n  - {name: answers-differ, of: text}\nsteps: [{setWeight: 5}]\n")
    assert caught.value.line == 3


def test_rehearsals_leave_it_out_and_say_so() -> None:
    crowd, heard = Crowd(requests_per_second=5.0, users=500), list[int]()
    report = rehearse(
        Scene(PLAN, crowd, default_baseline(PLAN.metrics)), [], runs=4, processes=1, progress=heard.append
    )
    assert [one.name for one in report.metrics] == ["error"]
    assert sum(heard) == rehearsal_work(PLAN, [], 4)
    assert any("`answers-differ` is not rehearsed" in words for words in report.assumed)
    with pytest.raises(InputError, match="measures no `answers-differ`"):
        parse_fault("answers-differ:3%", PLAN.metrics)
