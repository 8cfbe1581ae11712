"""Rehearsals keep the engine's promises, end whatever the plan and the crowd, and are summed up as they were."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.analysis.model import FeedbackSpec, MetricSpec, ScorerSpec
from trimtab.core.errors import InputError
from trimtab.rollout.rehearsal import Crowd, Fault, Rate, Run, Scene, default_baseline, rehearsal_work, rehearse
from trimtab.rollout.rehearsal.picture import draw_svg, duration_words
from trimtab.rollout.spec import (
    AnalysisStep,
    BakeStep,
    ExperimentArm,
    ExperimentStep,
    GateStep,
    LayerClaim,
    OfflineEvalStep,
    PauseStep,
    RollbackPolicy,
    RolloutPlan,
    ShadowStep,
    Step,
)

if TYPE_CHECKING:
    from trimtab.rollout.rehearsal import RehearsalReport

ERROR, LATENCY = MetricSpec(name="error", margin=0.05), MetricSpec(name="latency", margin=0.1)
TOKENS = MetricSpec(name="tokens", role="signal")
QUICK = [
    Step(set_weight=20.0),
    Step(pause=PauseStep(duration="1m", min_units=20)),
    Step(set_weight=50.0),
    Step(analysis=AnalysisStep(mode="noHarm", min_units=150, max_duration="20m")),
    Step(bake=BakeStep(duration="1m")),
]


def scene(*metrics: MetricSpec, users: int = 3000, a_second: float = 10.0, **plan: object) -> Scene:
    given_: dict[str, object] = {
        "window": "20s",
        "metrics": list(metrics or (ERROR,)),
        "steps": QUICK,
        "deadline": "2h",
    }
    chosen = RolloutPlan(**{**given_, **plan})  # type: ignore[arg-type]
    return Scene(chosen, Crowd(requests_per_second=a_second, users=users), default_baseline(chosen.metrics))


def broken(amount: float, name: str = "error") -> dict[str, Fault]:
    return {name: Fault(name, spoiled=amount)}


# --- the engine's promises --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_unchanged_candidates_and_those_on_the_margin_are_rolled_back_in_at_most_alpha() -> None:
    alpha, runs = 0.1, 250
    bound = alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)
    chosen = scene(MetricSpec(name="error", margin=0.1), LATENCY, alpha=alpha)
    chosen.baseline["error"] = Rate(0.8)
    on_the_margin = broken(0.1 / 0.8)
    for faults, most in (({}, alpha / 2), (on_the_margin, bound)):
        ended = [Run(chosen, faults, seed=seed).play().state for seed in range(runs)]
        assert ended.count("rolled_back") / runs <= most


def test_the_larger_the_fault_the_sooner_it_is_rolled_back_and_the_fewer_meet_it() -> None:
    mild, gross = (
        rehearse(scene(), [Fault("error", spoiled=amount)], runs=40, processes=1).faulty for amount in (0.15, 0.8)
    )
    assert mild is not None
    assert gross is not None
    assert gross.rolled_back.share == 1.0
    assert mild.seconds_to_rollback is not None
    assert gross.seconds_to_rollback is not None
    assert mild.users_touched_at_rollback is not None
    assert gross.users_touched_at_rollback is not None
    assert gross.seconds_to_rollback.median < mild.seconds_to_rollback.median
    assert gross.users_touched_at_rollback.median < mild.users_touched_at_rollback.median


# --- steps of every kind ----------------------------------------------------------------------------------------------


def test_people_and_gates_are_taken_to_agree_and_the_report_says_so() -> None:
    chosen = scene(
        steps=[
            Step(offline_eval=OfflineEvalStep(suite="smoke")),
            Step(gate=GateStep(url="http://127.0.0.1:9/ask")),
            Step(shadow=ShadowStep(traffic=20, duration="1m")),
            Step(set_weight=50.0),
            Step(pause=PauseStep()),
            Step(analysis=AnalysisStep(mode="noHarm", min_units=50)),
        ]
    )
    report = rehearse(chosen, [], runs=10, processes=1)
    assert report.healthy.promoted.share == 1.0
    assert any("step 2 asks 127.0.0.1:9" in text for text in report.assumed)
    assert any("step 5 waits for a person" in text for text in report.assumed)
    assert any("step 1 waits for the suite `smoke`" in text for text in report.assumed)
    assert report.faulty is None


def test_no_arm_of_an_experiment_is_rehearsed_to_be_better_and_the_report_says_so() -> None:
    goal = MetricSpec(name="solved", role="goal", scorer=ScorerSpec(regex="x"))
    step = ExperimentStep(max_duration="10m", on_inconclusive="promote", arms=[ExperimentArm(release="#3")])
    chosen = scene(MetricSpec(name="error"), goal, steps=[Step(set_weight=20.0), Step(experiment=step)])
    report = rehearse(chosen, [], runs=10, processes=1)
    assert report.healthy.promoted.share == 1.0
    assert any("step 2 is an experiment" in text and "(`promote`)" in text for text in report.assumed)
    assert any("challengers of step 2 are not rehearsed" in text for text in report.assumed)


def test_proven_harm_that_the_plan_leaves_to_people_is_taken_to_be_rolled_back() -> None:
    chosen = scene(rollback=RollbackPolicy(mode="pause"))
    report = rehearse(chosen, [Fault("error", spoiled=0.8)], runs=10, processes=1)
    assert report.faulty is not None
    assert report.faulty.rolled_back.share == 1.0
    assert report.faulty.blamed == {"error": 10}
    assert any("rollback.mode" in text for text in report.assumed)


def test_a_signal_that_alarms_waits_for_a_person() -> None:
    report = rehearse(scene(ERROR, TOKENS), [Fault("tokens", times=4.0)], runs=10, processes=1)
    assert report.faulty is not None
    assert report.faulty.paused.share == 1.0
    assert "`tokens` rose" in report.faulty.waits_for
    assert report.faulty.blamed == {}


def test_harm_in_shadow_touches_nobody() -> None:
    steps = [Step(shadow=ShadowStep(traffic=50, duration="10m", min_units=100)), *QUICK]
    report = rehearse(scene(steps=steps), [Fault("error", spoiled=0.9)], runs=10, processes=1)
    assert report.faulty is not None
    assert report.faulty.rolled_back.share == 1.0
    assert report.faulty.users_touched.high == 0


def test_who_is_held_out_or_outside_the_layer_is_never_met() -> None:
    chosen = scene(steps=[Step(set_weight=100.0), Step(pause=PauseStep(duration="1h", min_units=5))], users=400,
                   holdout=50, layer=LayerClaim(name="prompts", share=50))  # fmt: skip
    report = rehearse(chosen, [], runs=10, processes=1)
    assert report.healthy.promoted.share == 1.0
    assert report.healthy.users_touched.high == 100
    assert any("100 of 400 users take part" in text for text in report.assumed)


def test_a_step_that_asks_for_more_users_than_there_are_is_told_of_and_never_ends() -> None:
    report = rehearse(scene(users=40), [], runs=10, processes=1)
    assert report.healthy.promoted.share == 0.0
    assert any("never ends by itself" in text for text in report.assumed)


percents = st.sampled_from([1.0, 5.0, 25.0, 50.0, 80.0, 100.0])
step = st.one_of(
    st.builds(Step, pause=st.builds(PauseStep, duration=st.sampled_from(["1s", "1m"]), min_units=st.integers(0, 60))),
    st.builds(Step, pause=st.just(PauseStep())),
    st.builds(Step, gate=st.just(GateStep(url_env="ASK"))),
    st.builds(
        Step,
        analysis=st.builds(
            AnalysisStep, mode=st.sampled_from(["noHarm", "nonInferior"]), min_units=st.integers(0, 90),
            max_duration=st.sampled_from(["1s", "5m"]),
        ),
    ),
)  # fmt: skip


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[Step], str]:
    """Steps of every kind in an order that is allowed, and what a step without traffic leads to."""
    steps = [Step(shadow=ShadowStep(traffic=draw(percents), duration="30s")) for _ in range(draw(st.integers(0, 2)))]
    weights = sorted(draw(st.lists(percents, min_size=1, max_size=3)))
    for weight in weights:
        steps += [Step(set_weight=weight), draw(step)]
    if draw(st.booleans()) and weights[-1] <= 95:
        steps.append(Step(bake=BakeStep(duration="30s")))
    return steps, draw(st.sampled_from(["hold", "rollback", "warn"]))


@given(
    plan=plans(),
    users=st.integers(2, 300),
    a_second=st.sampled_from([1e-5, 0.01, 1.0, 40.0]),
    spoiled=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_every_rehearsal_ends_and_says_how(
    plan: tuple[list[Step], str], users: int, a_second: float, spoiled: float, seed: int
) -> None:
    chosen = scene(ERROR, LATENCY, users=users, a_second=a_second, steps=plan[0], on_no_data=plan[1])
    faults = broken(spoiled) if spoiled else {}
    result = Run(chosen, faults, seed=seed).play()
    assert result.state in {"promoted", "rolled_back", "expired", "paused"}
    assert result.reason
    assert 0 <= result.users_touched <= users
    assert 0 <= result.units <= users
    assert result.seconds <= 2 * 3600 + 1
    assert [met for _, met in result.touched] == sorted(met for _, met in result.touched)
    assert Run(chosen, faults, seed=seed).play() == result


# --- summing up -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report() -> RehearsalReport:
    return rehearse(
        scene(ERROR, LATENCY, TOKENS, MetricSpec(name="format", dry_run=True)),
        [Fault("error", spoiled=0.3), Fault("latency", times=1.02)],
        runs=30,
        processes=1,
    )


def test_the_same_seed_gives_the_same_report_on_any_number_of_processes() -> None:
    chosen, faults = scene(ERROR, LATENCY), [Fault("error", spoiled=0.3)]
    one, two, other = (
        rehearse(chosen, faults, runs=20, seed=seed, processes=processes)
        for processes, seed in ((1, 3), (2, 3), (1, 4))
    )
    assert one == two
    assert one.healthy.promotion_seconds != other.healthy.promotion_seconds


def test_the_report_adds_up(report: RehearsalReport) -> None:
    for scenario in (report.healthy, report.faulty):
        assert scenario is not None
        ends = (scenario.promoted, scenario.rolled_back, scenario.paused, scenario.expired, scenario.undecided)
        assert sum(end.share for end in ends) == pytest.approx(1.0)
        assert all(0.0 <= end.low <= end.share <= end.high <= 1.0 for end in ends)
        assert len(scenario.rollback_seconds) == round(scenario.rolled_back.share * scenario.runs)
        assert len(scenario.promotion_seconds) == round(scenario.promoted.share * scenario.runs)
        assert [at.median for at in scenario.touched] == sorted(at.median for at in scenario.touched)
        assert scenario.touched[-1].median == scenario.users_touched.median
    assert report.faulty is not None
    assert set(report.faulty.blamed) == {"error"}
    assert "99 % good to 69.3 %" in report.faults[0]
    assert "grows by 2 %" in report.faults[1]


def test_progress_adds_up_to_the_work_said_before() -> None:
    chosen, faults = scene(), [Fault("error", spoiled=0.5)]
    heard: list[int] = []
    rehearse(chosen, faults, runs=12, processes=1, progress=heard.append)
    assert sum(heard) == rehearsal_work(chosen.plan, faults, 12)


def test_of_large_rehearsals_fewer_are_played_and_progress_still_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.rollout.rehearsal.report._MOST_SCORED", 1000)
    heard: list[int] = []
    report = rehearse(scene(), [], runs=90, processes=1, progress=heard.append)
    assert report.healthy.runs == 20
    assert sum(heard) == rehearsal_work(scene().plan, [], 90)


def test_more_traffic_than_can_be_rehearsed_is_scaled_and_said() -> None:
    chosen = scene(users=10**12, a_second=1e7)
    report = rehearse(chosen, [Fault("error", spoiled=0.9)], runs=10, processes=1)
    assert report.requests_per_second == 1e7
    assert report.users == pytest.approx(10**12, rel=1e-3)
    assert any("10,000,000 requests a day" in text for text in report.assumed)
    assert report.faulty is not None
    assert report.faulty.users_touched_at_rollback is not None
    assert report.faulty.users_touched_at_rollback.median > 10**6


def test_two_faults_of_one_metric_are_refused() -> None:
    with pytest.raises(InputError, match="2 faults of `error`"):
        rehearse(scene(), [Fault("error", spoiled=0.1), Fault("error", times=2)], runs=10, processes=1)


# --- strength ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_a_metric_is_said_to_notice_is_noticed_in_whole_rehearsals_and_half_of_it_is_not() -> None:
    chosen = scene(ERROR, LATENCY)
    for metric in rehearse(chosen, [], runs=20, processes=1).metrics:
        assert metric.detectable is not None

        def rolled_back(share: float, name: str = metric.name, least: float = metric.detectable) -> float:
            amount = share * least
            fault = Fault(name, times=1 + amount) if name == "latency" else Fault(name, spoiled=amount)
            ended = [Run(chosen, {name: fault}, seed=5000 + seed).play().state for seed in range(50)]
            return ended.count("rolled_back") / 50

        assert rolled_back(1.25) > 0.75
        assert rolled_back(0.5) < 0.5


def test_metrics_that_decide_nothing_notice_nothing_and_a_fault_below_notice_is_called_so(
    report: RehearsalReport,
) -> None:
    by_name = {metric.name: metric for metric in report.metrics}
    assert (by_name["format"].role, by_name["format"].detectable, by_name["format"].weak) == ("dry run", None, "")
    assert by_name["error"].weak == ""
    assert "it notices growth from" in by_name["latency"].weak
    assert by_name["tokens"].detectable is not None


def test_a_metric_that_too_few_units_feed_is_too_weak() -> None:
    steps = [Step(set_weight=50.0), Step(pause=PauseStep(duration="1m", min_units=1))]
    (metric,) = rehearse(scene(steps=steps, a_second=0.05), [], runs=10, processes=1).metrics
    assert metric.detectable is None
    assert "no fault at all" in metric.weak


def test_a_fault_within_the_margin_is_said_to_be_tolerated() -> None:
    report = rehearse(scene(), [Fault("error", spoiled=0.03)], runs=20, processes=1)
    (metric,) = report.metrics
    assert "margin tolerates 5" in metric.weak
    assert report.faulty is not None
    assert report.faulty.rolled_back.share <= 0.1


# --- the picture ------------------------------------------------------------------------------------------------------


def test_the_picture_is_an_image_of_every_metric_that_needs_nothing_from_elsewhere(report: RehearsalReport) -> None:
    drawn = draw_svg(report)
    root = ET.fromstring(drawn)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"error", "latency", "tokens", "format"} <= set(texts)
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")
    width = float(root.attrib["width"])
    for path in root.iter("{http://www.w3.org/2000/svg}path"):
        numbers = [float(text) for text in path.attrib["d"].replace("M", " ").replace("L", " ").replace("H", " ")
                   .replace("V", " ").replace(",", " ").split()]  # fmt: skip
        assert all(0 <= number <= width for number in numbers)


def test_a_picture_where_nothing_ended_and_nobody_was_touched_says_so(report: RehearsalReport) -> None:
    empty = msgspec.structs.replace(
        report.healthy, rollback_seconds=[], promotion_seconds=[],
        touched=[msgspec.structs.replace(at, median=0.0, high=0.0) for at in report.healthy.touched],
    )  # fmt: skip
    drawn = draw_svg(msgspec.structs.replace(report, healthy=empty, faulty=None))
    ET.fromstring(drawn)
    assert "none ended without a person" in drawn


def test_durations_are_said_in_the_unit_people_would_take() -> None:
    assert [duration_words(seconds) for seconds in (0.4, 90, 150, 3600, 34_560, 200_000, 5e6)] == [
        "0 s", "90 s", "2.5 min", "60 min", "9.6 h", "2.3 days", "58 days",
    ]  # fmt: skip


# --- what is told later -----------------------------------------------------------------------------------------------


def test_feedback_counts_when_its_time_is_over_and_not_before() -> None:
    thumbs = MetricSpec(name="thumbs", margin=0.05, feedback=FeedbackSpec(name="thumbs", within="30m"))
    steps = [Step(set_weight=50.0), Step(pause=PauseStep(duration="90m", min_units=50))]
    report = rehearse(scene(ERROR, thumbs, steps=steps), [Fault("thumbs", spoiled=0.7)], runs=10, processes=1)
    assert report.faulty is not None
    assert report.faulty.blamed == {"thumbs": 10}
    assert 1800 < report.faulty.rollback_seconds[0] < 2400
    slow = [Step(set_weight=50.0), Step(pause=PauseStep(duration="20m", min_units=50))]
    unheard = rehearse(scene(ERROR, thumbs, steps=slow), [Fault("thumbs", spoiled=0.7)], runs=10, processes=1).faulty
    assert unheard is not None
    assert unheard.promoted.share == 1.0
