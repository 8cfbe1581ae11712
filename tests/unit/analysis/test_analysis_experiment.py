"""Which arm is better, with a stated chance of error, and when that will be known."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.analysis.evidence import Arms, EvidenceState, Pace
from trimtab.analysis.experiment import ExperimentQuestion, ExperimentVerdict, judge_experiment
from trimtab.analysis.experiment_evidence import CANDIDATE, ExperimentDesign, ExperimentState
from trimtab.analysis.forecast import forecast, last_of, seconds_to_limit, span
from trimtab.analysis.ledger import Ledger, margins_of
from trimtab.analysis.model import FeedbackSpec, MetricSpec, ScorerSpec
from trimtab.analysis.scorers import ScorerLibrary
from trimtab.events import Feedback, Generation
from trimtab.stats import PairedBetting

GOALS = tuple(MetricSpec(name=name, role="goal", scorer=ScorerSpec(regex="x")) for name in ("solved", "polite"))
ONE = ExperimentDesign(goals=("solved",))
THREE = ExperimentDesign(goals=("solved",), challengers=("b", "c"))


def judged(experiment: ExperimentState, design: ExperimentDesign, **asked: object) -> ExperimentVerdict:
    state = EvidenceState.start(margins_of(GOALS))
    state.experiments[1] = experiment
    question = ExperimentQuestion(stage=1, design=design, metrics=GOALS, alpha=0.05, **asked)  # type: ignore[arg-type]
    found = judge_experiment(state, question)
    assert found is not None
    return found


def with_wealth(design: ExperimentDesign, **wealth: float) -> ExperimentState:
    experiment = ExperimentState.start(design)
    for arm, value in wealth.items():
        for goal in experiment.arms[arm].goals.values():
            goal.superior.log_peak = math.log(value)
    return experiment


def superior(found: ExperimentVerdict) -> set[str]:
    return {arm.arm for arm in found.arms if arm.superior}


def test_arms_share_alpha_one_after_the_other() -> None:
    assert superior(judged(with_wealth(THREE, candidate=59, b=59, c=59), THREE)) == set()
    assert superior(judged(with_wealth(THREE, candidate=60, b=39, c=19), THREE)) == {CANDIDATE}
    assert superior(judged(with_wealth(THREE, candidate=60, b=40, c=19), THREE)) == {CANDIDATE, "b"}
    everyone = judged(with_wealth(THREE, candidate=60, b=40, c=20), THREE)
    assert superior(everyone) == {CANDIDATE, "b", "c"}
    assert [round(arm.limit) for arm in everyone.arms] == [60, 40, 20]


def test_a_dropped_challenger_wins_no_more_and_keeps_its_share_of_alpha() -> None:
    found = judged(with_wealth(THREE, candidate=59, b=1000, c=1), THREE, harmed={"b": "it fails"})
    assert superior(found) == set()
    assert "b was dropped for proven harm" in found.words
    assert superior(judged(with_wealth(THREE, candidate=60, b=1000, c=1), THREE, harmed={"b": "x"})) == {CANDIDATE}


def test_an_arm_must_be_better_by_every_goal() -> None:
    both = ExperimentDesign(goals=("solved", "polite"))
    experiment = with_wealth(both, candidate=1000)
    experiment.arms[CANDIDATE].goals["polite"].superior.log_peak = math.log(19)
    assert superior(judged(experiment, both)) == set()


def test_the_best_of_several_winners_has_the_highest_mean() -> None:
    experiment = with_wealth(THREE, candidate=100, b=100, c=100)
    for arm, score in ((CANDIDATE, 0.7), ("b", 0.8), ("c", 0.75)):
        experiment.count_arm(arm, {"solved": score})
    assert judged(experiment, THREE).best == "b"
    assert judged(with_wealth(THREE), THREE).best == ""


def test_a_unit_of_the_control_is_paired_with_every_arm() -> None:
    experiment = ExperimentState.start(THREE)
    experiment.count_control({"solved": 0.0})
    for arm in THREE.arms:
        experiment.count_arm(arm, {"solved": 1.0})
    experiment.count_arm("gone", {"solved": 1.0})
    found = judged(experiment, THREE)
    assert [(arm.units, arm.goals[0].pairs, arm.goals[0].control_units) for arm in found.arms] == [(1, 1, 1)] * 3
    assert "`solved` 100.0 % against 0.0 % (1 users against 1 concurrent control users)" in found.words


def run(chances: dict[str, float], *, units: int, seed: int) -> ExperimentState:
    chance = random.Random(seed)
    experiment = ExperimentState.start(THREE)
    for _ in range(units):
        arm = chance.choice(["control", *THREE.arms])
        score = {"solved": float(chance.random() < chances[arm])}
        if arm == "control":
            experiment.count_control(score)
        else:
            experiment.count_arm(arm, score)
    return experiment


def test_equal_arms_are_seldom_called_better_however_often_one_looks() -> None:
    same = dict.fromkeys(("control", *THREE.arms), 0.4)
    wrong = sum(bool(superior(judged(run(same, units=1500, seed=seed), THREE))) for seed in range(300))
    assert wrong <= 15  # at most 5 % are promised


def test_the_better_arm_is_found_and_the_others_are_not() -> None:
    chances = {"control": 0.4, CANDIDATE: 0.4, "b": 0.6, "c": 0.3}
    found = [superior(judged(run(chances, units=2400, seed=seed), THREE)) for seed in range(60)]
    assert sum("b" in one for one in found) >= 54
    assert sum(bool(one - {"b"}) for one in found) <= 3


def fed(pairs: int, difference: float) -> PairedBetting:
    bet = PairedBetting.start("superior")
    for _ in range(pairs):
        bet.update(control=0.5 - difference / 2, candidate=0.5 + difference / 2)
    return bet


@given(st.floats(0.05, 0.9), st.integers(20, 60))
def test_the_forecast_of_steady_evidence_is_the_time_it_takes(difference: float, pairs: int) -> None:
    bet = fed(pairs, difference)
    foreseen = seconds_to_limit(bet, 1e6, pairs_per_second=2.0)
    assert foreseen is not None
    more = 0
    while bet.log_peak < math.log(1e6):
        bet.update(control=0.5 - difference / 2, candidate=0.5 + difference / 2)
        more += 1
    assert abs(foreseen - more / 2.0) <= 1.0 + 0.02 * more


def test_what_cannot_be_foreseen_is_not_foretold() -> None:
    assert seconds_to_limit(fed(19, 0.5), 1e9, pairs_per_second=1.0) is None
    assert seconds_to_limit(fed(50, -0.1), 20.0, pairs_per_second=1.0) is None
    assert seconds_to_limit(fed(50, 0.1), 1e9, pairs_per_second=0.0) is None
    assert seconds_to_limit(fed(50, 0.001), 1e9, pairs_per_second=0.0001) is None
    assert seconds_to_limit(fed(200, 0.5), 20.0, pairs_per_second=1.0) == 0.0
    assert forecast(None).words.startswith("not foreseeable")
    assert forecast(0.0).words == "decided"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1.0, "1 min"), (90.0, "1.5 min"), (3 * 3600.0, "3 h"), (40_000.0, "11 h"), (2.5 * 86_400, "2.5 d")],
)
def test_a_span_is_short(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_all_must_be_there_before_it_is_decided() -> None:
    assert last_of([1.0, 5.0, 0.0]) == 5.0
    assert last_of([1.0, None]) is None
    assert last_of([]) is None


def test_the_slower_arm_sets_the_pace() -> None:
    assert Pace(first_ms=0, last_ms=10_000, units=Arms(control=50, candidate=20)).pairs_per_second == 2.0
    assert Pace(first_ms=5, last_ms=5, units=Arms(control=50, candidate=20)).pairs_per_second == 0.0


def told(generation: str, value: float) -> Feedback:
    return Feedback(
        id=f"fb_{generation}",
        at_ms=1000,
        feature="f",
        environment="e",
        generation=generation,
        name="thumb",
        value=value,
    )


def test_a_goal_that_users_tell_hours_later_counts_for_every_arm_when_its_time_is_over() -> None:
    goal = MetricSpec(name="liked", role="goal", feedback=FeedbackSpec(name="thumb", within="1h", absent=0))
    specs = (MetricSpec(name="error"), goal)
    design = ExperimentDesign(goals=("liked",), challengers=("third",))
    state = EvidenceState.start(margins_of(specs))
    book = Ledger(
        state,
        meters=ScorerLibrary().meters(specs),
        window_ms=1000,
        shadow_stages=frozenset(),
        counted=set(),
        told=specs,
        experiments={1: design},
    )
    book.candidate = "new"
    arms = [("matched_control", "old"), ("candidate", "new"), ("challenger", "third")]
    for number, (arm, release) in enumerate(arms):
        met: dict[str, Any] = {"arm": arm, "release": release, "unit": arm, "stage": 1, "id": f"g{number}"}
        book.add(Generation(at_ms=0, feature="f", environment="e", **met), None, now_ms=0)
    book.close(1000)
    book.cohorts.tell(told("g1", 1.0), now_ms=2000)
    book.cohorts.tell(told("g2", 1.0), now_ms=2000)
    found = judge_experiment(state, ExperimentQuestion(stage=1, design=design, metrics=specs, alpha=0.05))
    assert found is not None
    assert [(arm.units, arm.goals[0].pairs) for arm in found.arms] == [(1, 0), (1, 0)]
    book.cohorts.close(3_600_000 + 1000 + 120_000)
    experiment = state.experiments[1]
    assert [arm.goals["liked"].superior.pairs for arm in experiment.arms.values()] == [1, 1]
    assert experiment.arms["third"].goals["liked"].arm.mean == 1.0
    assert experiment.arms["third"].goals["liked"].control.mean == 0.0
    assert state.challengers["third"].metrics["liked"].candidate.count == 1
    assert state.phases["live"].metrics["liked"].candidate.count == 1
