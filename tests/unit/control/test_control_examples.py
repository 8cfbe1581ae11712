"""Examples beside a verdict: which generations the journals give, for how long, and what is said where they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.analysis.model import FeedbackSpec, MetricEvidence, MetricSpec
from trimtab.analysis.verdict import Verdict
from trimtab.control.examples import example_question, read_examples
from trimtab.core.errors import NotFoundError
from trimtab.core.ids import new_id
from trimtab.events import Generation, Score, Withdrawal, encode_event
from trimtab.serving.journal import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trimtab.control.plane import ControlPlane
    from trimtab.core.clock import FakeClock
    from trimtab.events import Event
    from trimtab.rollout.model import Rollout
    from trimtab.serving.directory import DataDirectory
    from trimtab.storage.memory import MemoryStore

GOOD = '{"answer": "On its way.", "order_id": "A-1", "next_step": "wait"}'


class Traffic:
    """Writes generations of both arms as a process would."""

    def __init__(self, directory: DataDirectory, clock: FakeClock, rollout: Rollout) -> None:
        self._directory, self._clock, self._rollout = directory, clock, rollout
        self._count = 0

    def write(self, *events: Event, process: str = "gateway-1") -> None:
        self._count += 1
        writer = JournalWriter(self._directory.journals / f"{process}-{self._count}")
        for event in events:
            assert writer.append(encode_event(event), event.at_ms)
        writer.close()

    def call(self, arm: str, unit: str, output: str = GOOD, **more: Any) -> Generation:
        at_ms = self._clock.now_ms()
        candidate = arm in {"candidate", "shadow"}
        facts: dict[str, Any] = {
            "id": new_id("gen", at_ms),
            "at_ms": at_ms,
            "feature": "support-reply",
            "environment": "production",
            "release": self._rollout.candidate if candidate else self._rollout.stable,
            "release_number": 2 if candidate else 1,
            "arm": arm,
            "unit": unit,
            "rollout": self._rollout.id,
            "stage": 2,
            "latency_ms": 100.0,
            "messages": [{"role": "user", "content": f"Where is order {unit[-1]}?"}],
            "output": output,
        }
        return Generation(**(facts | more))


@pytest.fixture
def traffic(directory: DataDirectory, clock: FakeClock, trial: Rollout) -> Traffic:
    return Traffic(directory, clock, trial)


def live(traffic: Traffic, clock: FakeClock, tick: Callable[[], None], rollout: Rollout, plane: ControlPlane) -> None:
    """From the start into the live step."""
    tick()
    pairs = []
    for index in range(6):
        primary = traffic.call("matched_control", f"s{index}", stage=0)
        pairs += [primary, traffic.call("shadow", f"s{index}", stage=0, mirrors=primary.id)]
    traffic.write(*pairs)
    clock.advance(6)
    tick()
    tick()
    assert plane.rollout_report(rollout.id).rollout.state == "progressing"


def test_a_rolled_back_rollout_is_explained_with_the_worst_answers_beside_controls_after_restarts_and_new_attempts(
    serving: ControlPlane,
    plane_of: Callable[[str], ControlPlane],
    trial: Rollout,
    traffic: Traffic,
    clock: FakeClock,
    tick: Callable[[], None],
) -> None:
    live(traffic, clock, tick, trial, serving)
    for index in range(60):
        traffic_calls = [
            traffic.call("candidate", f"c{index}", "Well, dear customer ..."),
            traffic.call("matched_control", f"m{index}"),
        ]
        traffic.write(*traffic_calls)
    clock.advance(3)
    tick()
    tick()
    first = serving.explain(trial.id)
    assert (first.rollout.state, first.cause, first.blamed) == ("rolled_back", "harm", "schema")
    assert first.examples is not None
    assert (first.examples.metric, first.examples.phase, first.examples.complete) == ("schema", "live", True)
    assert len(first.examples.pairs) == 10
    for pair in first.examples.pairs:
        assert pair.candidate is not None
        assert pair.control is not None
        assert (pair.candidate.measured, pair.candidate.output) == ("bad", "Well, dear customer ...")
        assert (pair.control.measured, pair.control.output, pair.control.match) == ("good", GOOD, "same input")
        assert pair.candidate.input == pair.control.input
    schema = next(one for one in first.metrics if one.name == "schema")
    assert schema.difference is not None
    assert schema.difference.high < -0.02

    clock.advance(60)
    second = serving.start_rollout("support-reply", "#2", reason="once more")
    again = plane_of("production")  # another process: it knows what is stored, and nothing else
    assert again.explain("support-reply").rollout.id == second.id
    later = again.explain("support-reply", attempt=1)
    assert later.rollout.id == trial.id
    assert (later.attempt, later.attempts) == (1, 2)
    assert (later.paragraph, later.examples) == (first.paragraph, first.examples)
    assert again.explain(trial.id).paragraph == first.paragraph


@pytest.mark.parametrize("attempt", [0, 2, 99])
def test_an_attempt_that_never_was_is_refused_with_how_many_there_are(
    serving: ControlPlane, trial: Rollout, attempt: int
) -> None:
    with pytest.raises(NotFoundError, match="has 1 attempts"):
        serving.explain("support-reply", attempt=attempt)


def test_in_shadow_the_request_that_was_mirrored_stands_beside(
    serving: ControlPlane, trial: Rollout, traffic: Traffic, clock: FakeClock, tick: Callable[[], None]
) -> None:
    tick()
    for index in range(40):
        primary = traffic.call("matched_control", f"s{index}", stage=0)
        traffic.write(primary, traffic.call("shadow", f"s{index}", "Well ...", stage=0, mirrors=primary.id))
    clock.advance(3)
    tick()
    tick()
    report = serving.explain("support-reply")
    assert (report.rollout.state, report.cause) == ("rolled_back", "harm")
    assert report.examples is not None
    assert report.examples.phase == "shadow"
    assert {(pair.candidate is not None, pair.control and pair.control.match) for pair in report.examples.pairs} == {
        (True, "same request")
    }


def test_a_withdrawal_is_explained_with_the_errors_that_led_to_it(
    serving: ControlPlane, trial: Rollout, traffic: Traffic, clock: FakeClock, tick: Callable[[], None]
) -> None:
    live(traffic, clock, tick, trial, serving)
    errors = [
        traffic.call("candidate", f"c{i}", "", status="error", error_code="model_gone", messages=[]) for i in range(5)
    ]
    gone = Withdrawal(
        id=new_id("wd", clock.now_ms()),
        at_ms=clock.now_ms(),
        feature="support-reply",
        environment="production",
        rollout=trial.id,
        process="gateway-1",
        reason="5 units in a row met errors of the candidate (last: model_gone) while 0% of stable's calls failed",
    )
    traffic.write(*errors, gone)
    tick()
    tick()
    report = serving.explain("support-reply")
    assert (report.rollout.state, report.cause, report.blamed) == ("rolled_back", "withdrawn", "error")
    assert "gateway-1 took the candidate out of service: 5 units in a row" in report.paragraph
    assert report.examples is not None
    shown = [pair.candidate for pair in report.examples.pairs if pair.candidate]
    assert {(one.error_code, one.measured) for one in shown} == {("model_gone", "bad")}


def test_where_content_is_not_captured_the_examples_say_so(
    serving: ControlPlane,
    folder: Path,
    trial: Rollout,
    traffic: Traffic,
    clock: FakeClock,
    tick: Callable[[], None],
) -> None:
    feature = folder / "feature.yaml"
    feature.write_text(feature.read_text() + "captureContent: false\n")
    serving.push(folder)
    live(traffic, clock, tick, trial, serving)
    traffic.write(
        traffic.call("candidate", "c1", "", messages=[]), traffic.call("matched_control", "m1", "", messages=[])
    )
    clock.advance(2)
    tick()
    serving.command_rollout("support-reply", "abort", reason="enough")
    report = serving.explain("support-reply")
    assert report.examples is not None
    (pair,) = report.examples.pairs
    assert pair.candidate is not None
    assert (pair.candidate.captured, pair.candidate.input, pair.candidate.output) == (False, "", "")
    assert "the feature does not capture content" in report.examples.note


def test_nothing_recorded_is_said_too(serving: ControlPlane, trial: Rollout) -> None:
    report = serving.explain("support-reply")
    assert report.examples is not None
    assert report.examples.pairs == []
    assert "No generation of either arm is recorded" in report.examples.note


def test_what_a_python_scorer_said_is_read_from_its_scores_and_nothing_is_run(
    serving: ControlPlane, store: MemoryStore, folder: Path, clock: FakeClock, directory: DataDirectory, trial: Rollout
) -> None:
    plan = folder / "rollout.yaml"
    plan.write_text(
        plan.read_text().replace("- {name: schema, margin: 0.02}", "- {name: tone, scorer: {python: 'house:tone'}}")
    )
    serving.push(folder)
    rollout = serving.start_rollout(trial.feature, "#2", supersede=True)
    traffic = Traffic(directory, clock, rollout)
    calls = [traffic.call("candidate", f"c{index}") for index in range(3)]
    scores = [
        Score(
            id=f"score_tone_{call.id}",
            at_ms=call.at_ms,
            feature=call.feature,
            environment=call.environment,
            generation=call.id,
            name="tone",
            value=value,
        )
        for call, value in zip(calls, (0.9, 0.2, 0.5), strict=True)
    ]
    traffic.write(*calls)
    traffic.write(*scores, process="controller-1")
    weakest = MetricEvidence(
        name="tone",
        role="guardrail",
        phase="live",
        margin=0.02,
        candidate_mean=0.5,
        control_mean=0.9,
        candidate_units=3,
        control_units=3,
        pairs=3,
        harm=9.0,
        harm_peak=9.0,
        limit=80.0,
        non_inferior=0.1,
        promotion_limit=20.0,
        failed=False,
        passed=False,
    )
    seen = Verdict(status="inconclusive", phase="live", reason="early", metrics=[weakest])
    told = msgspec.structs.replace(rollout, stage=2, verdict=msgspec.to_builtins(seen))
    with store.read() as tx:  # the question alone: the controller here cannot load the scorer
        question = example_question(tx, told, now_ms=clock.now_ms())
    found = read_examples(directory.journals, question)
    assert [(pair.candidate and pair.candidate.value) for pair in found.pairs] == [0.2, 0.5, 0.9]


@pytest.mark.parametrize(
    "spec",
    [
        MetricSpec(name="answers-differ", of="text", role="signal"),
        MetricSpec(name="thumbs", feedback=FeedbackSpec(name="thumbs")),
    ],
)
def test_examples_of_what_no_single_answer_measures_are_shown_without_a_measurement(
    store: MemoryStore, clock: FakeClock, directory: DataDirectory, trial: Rollout, traffic: Traffic, spec: MetricSpec
) -> None:
    traffic.write(traffic.call("candidate", "c1"), traffic.call("matched_control", "m1"))
    with store.read() as tx:
        question = example_question(tx, msgspec.structs.replace(trial, stage=2), now_ms=clock.now_ms())
    found = read_examples(directory.journals, msgspec.structs.replace(question, spec=spec))
    assert [(pair.candidate and pair.candidate.value) for pair in found.pairs] == [None]


def test_mirrors_that_fail_or_are_not_sent_are_told_of_with_their_reasons(
    serving: ControlPlane, trial: Rollout, traffic: Traffic, clock: FakeClock, tick: Callable[[], None]
) -> None:
    tick()
    for index in range(10):
        primary = traffic.call("matched_control", f"s{index}", stage=0)
        lost: dict[str, Any] = {}
        if index < 5:
            lost = {"status": "aborted", "error_code": "mirror_overloaded", "output": ""}
        traffic.write(primary, traffic.call("shadow", f"s{index}", stage=0, mirrors=primary.id, cost_usd=0.5, **lost))
    clock.advance(2)
    tick()
    report = serving.explain("support-reply")
    assert report.mirrors is not None
    assert (report.mirrors.answered, report.mirrors.missed, report.mirrors.cost_usd) == (
        5,
        {"mirror_overloaded": 5},
        5.0,
    )
    said = "Of 10 requests to be mirrored, 5 were answered: 5 were not sent (mirror_overloaded 5)."
    assert said in report.paragraph
    assert report.mirrors.words == said
    assert report.metrics[0].candidate_units == 5  # units of which one side never answered are not compared
