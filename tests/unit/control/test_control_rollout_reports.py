"""A rollout, told: steps, evidence and changes, at every point of its life."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from trimtab.analysis.model import MetricEvidence
from trimtab.analysis.verdict import Verdict
from trimtab.control.evals import stated
from trimtab.control.rollout_reports import MessageReport, RolloutReport, rollout_report, rollout_summary
from trimtab.rollout.model import GateAnswer
from trimtab.rollout.outbox import Message
from trimtab.rollout.spec import OfflineEvalStep, RolloutPlan, Step, encode_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trimtab.control.plane import ControlPlane
    from trimtab.rollout.model import Rollout
    from trimtab.storage.memory import MemoryStore

LIMIT = 100.0


def evidence(**changes: object) -> MetricEvidence:
    base = MetricEvidence(
        name="schema",
        role="guardrail",
        phase="live",
        margin=0.02,
        candidate_mean=0.9,
        control_mean=0.99,
        candidate_units=40,
        control_units=41,
        pairs=40,
        harm=3.0,
        harm_peak=10.0,
        limit=LIMIT,
        non_inferior=0.5,
        promotion_limit=20.0,
        failed=False,
        passed=False,
    )
    return msgspec.structs.replace(base, **changes)


def told(store: MemoryStore, rollout: Rollout, **changes: object) -> RolloutReport:
    with store.read() as tx:
        return rollout_report(tx, msgspec.structs.replace(rollout, **changes))


@pytest.fixture
def rollout(serving: ControlPlane) -> Rollout:
    return serving.start_rollout("support-reply", "#2", reason="Chattier")


def test_a_rollout_just_started_is_told_by_names_with_all_steps_ahead(store: MemoryStore, rollout: Rollout) -> None:
    report = told(store, rollout)
    assert (report.stable, report.candidate) == ("support-reply#1", "support-reply#2")
    assert {step.status for step in report.steps} == {"next"}
    assert [step.text for step in report.steps][:2] == ["shadow 5 % for 8s, at least 20 units", "weight 10 %"]
    assert (report.metrics, report.words) == ([], [])
    assert [change.path for change in report.changes] == ["prompt.messages[0].content"]
    assert [(one.to_state, one.actor) for one in report.transitions] == [("validating", "ada")]


@pytest.mark.parametrize(
    ("state", "mark"),
    [
        ("progressing", "now"),
        ("paused", "now"),
        ("baking", "now"),
        ("rolled_back", "failed"),
        ("rolling_back", "failed"),
        ("expired", "failed"),
        ("superseded", "failed"),
    ],
)
def test_steps_before_the_one_in_force_are_done_and_those_after_it_ahead(
    store: MemoryStore, rollout: Rollout, state: str, mark: str
) -> None:
    steps = [step.status for step in told(store, rollout, state=state, stage=2).steps]
    assert steps == ["done", "done", mark, *["next"] * (len(steps) - 3)]


def test_a_promoted_rollout_has_done_all_its_steps(store: MemoryStore, rollout: Rollout) -> None:
    last = len(told(store, rollout, state="progressing", stage=0).steps) - 1
    assert {step.status for step in told(store, rollout, state="promoted", stage=last).steps} == {"done"}


def test_steps_that_a_person_skipped_are_not_told_as_done(store: MemoryStore, rollout: Rollout) -> None:
    steps = told(store, rollout, state="promoted", stage=1, reason="skipped to full: it is fine").steps
    assert [step.status for step in steps] == ["done", *["skipped"] * (len(steps) - 1)]


@pytest.mark.parametrize(("peak", "progress"), [(0.0, 0.0), (1.0, 0.0), (10.0, 0.5), (100.0, 1.0), (1e9, 1.0)])
def test_progress_towards_rollback_is_logarithmic_and_stays_between_0_and_1(
    store: MemoryStore, rollout: Rollout, peak: float, progress: float
) -> None:
    verdict = Verdict(status="inconclusive", phase="live", reason="early", metrics=[evidence(harm_peak=peak)])
    (metric,) = told(store, rollout, verdict=msgspec.to_builtins(verdict)).metrics
    assert metric.harm_progress == pytest.approx(progress)
    assert metric.harm == peak


def test_evidence_is_told_with_users_and_phase(store: MemoryStore, rollout: Rollout) -> None:
    metrics = [evidence(failed=True), evidence(name="latency", phase="shadow", candidate_mean=None)]
    verdict = Verdict(status="failed", phase="live", reason="schema is worse", metrics=metrics)
    report = told(store, rollout, verdict=msgspec.to_builtins(verdict), reason="rolled back")
    first, second = report.metrics
    assert (first.name, first.status, first.candidate_units, first.control_units) == ("schema", "failed", 40, 41)
    assert (second.name, second.status, second.candidate) == ("latency (shadow)", "ok", None)
    assert report.words == ["schema is worse"]


def test_a_reason_already_given_is_not_repeated(store: MemoryStore, rollout: Rollout) -> None:
    verdict = Verdict(status="failed", phase="live", reason="schema is worse", metrics=[])
    report = told(store, rollout, verdict=msgspec.to_builtins(verdict), reason="rolled back: schema is worse")
    assert report.words == []


def test_the_wealth_that_rolls_back_follows_from_the_frozen_plan(store: MemoryStore, rollout: Rollout) -> None:
    assert told(store, rollout).rollback_at == pytest.approx(
        5 * 2 / 0.05
    )  # five guardrails in shadow and live share alpha


def test_a_release_that_is_gone_is_named_by_its_digest(store: MemoryStore, rollout: Rollout) -> None:
    gone = msgspec.structs.replace(rollout, stable="sha256:" + "ab" * 32)
    assert told(store, gone).stable == "ab" * 6
    assert told(store, gone).changes == []
    with store.read() as tx:
        summary = rollout_summary(tx, gone)
    assert (summary.stable, summary.candidate) == ("ab" * 6, "support-reply#2")


def test_a_plan_pushed_later_does_not_change_what_is_told(
    store: MemoryStore, serving: ControlPlane, rollout: Rollout, folder: Path, edit: Callable[[str], None]
) -> None:
    before = told(store, rollout).steps
    edit("Again.")
    plan = folder / "rollout.yaml"
    plan.write_text("steps: [{setWeight: 50}]\n")
    serving.push(folder)
    assert told(store, rollout).steps == before


def test_suites_that_the_plan_waits_for_are_told_with_what_they_said_last(
    store: MemoryStore, serving: ControlPlane
) -> None:
    plan = RolloutPlan(
        steps=[Step(offline_eval=OfflineEvalStep(suite=suite)) for suite in ("smoke", "red-team")]
        + [Step(set_weight=5.0)]
    )
    rollout = serving.start_rollout("support-reply", "#2")
    serving.record_eval("support-reply", "#2", "red-team", stated(passed=True, reason="nothing found"))
    report = told(store, rollout, plan=encode_plan(plan), state="evaluating", stage=0)
    assert [step.text for step in report.steps[:2]] == [
        "offline eval smoke, at most 1h",
        "offline eval red-team, at most 1h",
    ]
    smoke, red_team = report.evals
    assert (smoke.suite, smoke.result) == ("smoke", None)
    assert red_team.result is not None
    assert red_team.result.text == "`red-team` passed: nothing found"


def test_who_could_not_be_told_and_what_the_gate_at_hand_said_are_part_of_the_story(
    store: MemoryStore, rollout: Rollout
) -> None:
    message = Message(
        id="msg_1",
        rollout=rollout.id,
        event="paused",
        url_env="HOOK",
        body=b"{}",
        created_at_ms=1,
        due_at_ms=5,
        attempts=2,
        error="answered 500",
    )
    answer = GateAnswer(rollout=rollout.id, stage=0, entered_ms=7, status="pending", reason="Bob", asked_at_ms=9)
    with store.write() as tx:
        tx.add_message(message)
        tx.save_gate_answer(answer)
    report = told(store, rollout, stage=0, stage_entered_ms=7)
    assert report.gate == answer
    assert report.messages == [
        MessageReport(
            event="paused",
            target="HOOK",
            status="waiting",
            attempts=2,
            error="answered 500",
            created_at_ms=1,
            due_at_ms=5,
        )
    ]
    assert told(store, rollout, stage=0, stage_entered_ms=8).gate is None
