"""CUPED: what is known of a unit from before takes noise out, and never truth."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.analysis.cuped import Adjustment, Past, Slope, freeze, take_past
from trimtab.analysis.evidence import EvidenceState
from trimtab.analysis.experiment_evidence import CANDIDATE, ExperimentDesign, ExperimentState
from trimtab.analysis.ledger import Ledger, margins_of
from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.analysis.scorers import ScorerLibrary
from trimtab.events import Generation

scores = st.floats(0.0, 1.0)
DESIGN = ExperimentDesign(goals=("solved",), cuped=True)
SPECS = (MetricSpec(name="error"), MetricSpec(name="solved", role="goal", scorer=ScorerSpec(regex="solved")))
SECOND = 1000


@given(scores, scores, scores, st.none() | scores)
def test_an_adjusted_score_is_a_score_and_the_adjustment_moved_and_rescaled(
    theta: float, mean: float, value: float, past: float | None
) -> None:
    adjusted = Adjustment(theta=theta, mean=mean, answers=1).score(value, past)
    assert -1e-12 <= adjusted <= 1 + 1e-12
    plain = value - theta * ((mean if past is None else past) - mean)
    assert adjusted * (1 + theta) - theta * (1 - mean) == pytest.approx(plain, abs=1e-9)


@given(st.lists(st.tuples(scores, scores), min_size=3, max_size=40))
def test_the_slope_is_that_of_least_squares(pairs: list[tuple[float, float]]) -> None:
    slope = Slope()
    for x, y in pairs:
        slope.add(x, y)
    xs, ys = zip(*pairs, strict=True)
    assert slope.mean_x == pytest.approx(statistics.fmean(xs), abs=1e-9)
    if slope.squares > 1e-6:
        expected = statistics.linear_regression(xs, ys).slope
        assert slope.products / slope.squares == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_only_windows_that_are_over_foretell() -> None:
    past: dict[str, Past] = {}
    slopes: dict[str, Slope] = {}
    for at_ms, score in [(0, 1.0), (5, 0.0), (10, 1.0), (12, 1.0), (30, 0.0)]:
        take_past(past, slopes, [("solved", score)], at_ms=at_ms, window_ms=10)
    assert past["solved"].mean == pytest.approx(3 / 5)
    assert slopes["solved"].count == 3  # the third and fourth answer by the first two, the fifth by the first four
    assert slopes["solved"].mean_x == pytest.approx((0.5 + 0.5 + 0.75) / 3)


def test_too_little_or_nothing_that_varies_adjusts_nothing() -> None:
    few, flat, falling = Slope(), Slope(), Slope()
    for number in range(200):
        flat.add(0.5, number % 2)
        falling.add(number % 2, 1 - number % 2)
    for number in range(50):
        few.add(number % 2, number % 2)
    slopes = {"few": few, "flat": flat, "falling": falling}
    assert [one.theta for one in freeze(slopes, [*slopes, "unknown"]).values()] == [0.0] * 4


def drawn(chance: random.Random, spread: float) -> float:
    """A user's own chance of a good answer: 0.5, more or less."""
    return 0.5 + spread * (chance.random() - 0.5)


def learned(chance: random.Random, *, spread: float) -> dict[str, Adjustment]:
    slopes: dict[str, Slope] = {}
    for _ in range(400):
        quality, past = drawn(chance, spread), dict[str, Past]()
        for at_ms in range(0, 60, 10):
            score = [("solved", float(chance.random() < quality))]
            take_past(past, slopes, score, at_ms=at_ms, window_ms=10)
    return freeze(slopes, ["solved"])


def decide(seed: int, *, lift: float, cuped: bool, units: int = 4000) -> tuple[int | None, ExperimentState]:
    """Run one experiment of users who differ; return after how many units it was decided."""
    chance = random.Random(seed)
    adjustments = learned(chance, spread=1.0)
    experiment = ExperimentState.start(DESIGN, adjustments if cuped else {})
    bet = experiment.arms[CANDIDATE].goals["solved"].superior
    for count in range(units):
        quality = drawn(chance, 1.0)
        past = {"solved": statistics.fmean(float(chance.random() < quality) for _ in range(6))}
        treated = chance.random() < 0.5
        good = min(1.0, quality + lift) if treated else quality
        score = {"solved": statistics.fmean(float(chance.random() < good) for _ in range(6))}
        if treated:
            experiment.count_arm(CANDIDATE, score, past if chance.random() < 0.9 else None)
        else:
            experiment.count_control(score, past if chance.random() < 0.9 else None)
        if bet.log_peak >= math.log(20):
            return count, experiment
    return None, experiment


def test_equal_arms_are_seldom_called_better_with_cuped() -> None:
    wrong = sum(decide(seed, lift=0.0, cuped=True, units=600)[0] is not None for seed in range(200))
    assert wrong <= 10  # at most 5 % are promised


def test_a_difference_is_proven_with_fewer_users() -> None:
    plain = [decide(seed, lift=0.08, cuped=False)[0] for seed in range(30)]
    adjusted = [decide(seed, lift=0.08, cuped=True)[0] for seed in range(30)]
    assert None not in plain
    assert None not in adjusted
    assert statistics.median(one or 0 for one in adjusted) < 0.75 * statistics.median(one or 0 for one in plain)


def test_how_much_variance_is_left_is_told() -> None:
    _, experiment = decide(1, lift=0.0, cuped=True)
    goal, adjustment = experiment.arms[CANDIDATE].goals["solved"], experiment.adjustments["solved"]
    left = goal.variance_left(adjustment)
    assert left is not None
    assert 0.4 < left < 0.75
    assert 0.4 < adjustment.theta < 0.9


def test_an_arm_that_is_worse_is_not_proven_better_by_its_users_past() -> None:
    found = [decide(seed, lift=-0.02, cuped=True, units=800)[0] for seed in range(40)]
    assert sum(one is not None for one in found) <= 2


def ledger(state: EvidenceState, pasts: dict[str, bytes] | None = None) -> Ledger:
    return Ledger(
        state,
        meters=ScorerLibrary().meters(SPECS),
        window_ms=10 * SECOND,
        shadow_stages=frozenset(),
        counted=set(),
        experiments={2: DESIGN},
        pasts=pasts,
    )


def answered(unit: str, number: int, *, good: bool, **fields: Any) -> Generation:
    given: dict[str, Any] = {"arm": "stable", "stage": 1, "at_ms": number * 10 * SECOND} | fields
    output = "solved" if good else "lost"
    return Generation(
        id=f"{unit}-{number}",
        feature="f",
        environment="e",
        release="r",
        unit=unit,
        output=output,
        messages=[{}],
        **given,
    )


def test_the_past_of_a_unit_is_kept_from_stable_and_survives_the_store() -> None:
    state = EvidenceState.start(margins_of(SPECS))
    book = ledger(state)
    for unit in range(100):
        for number in range(4):
            book.add(answered(f"u{unit}", number, good=unit % 2 == 0), None, now_ms=0)
    book.add(answered("", 0, good=True), None, now_ms=0)
    pasts = book.experiments.take_changed_pasts()
    assert len(pasts) == 100
    assert book.experiments.take_changed_pasts() == {}
    again = ledger(state, pasts)
    for unit in range(100):
        arm = "candidate" if unit % 4 < 2 else "matched_control"
        again.add(answered(f"u{unit}", 9, good=unit % 2 == 0, arm=arm, stage=2), None, now_ms=0)
    again.close(10**9)
    experiment = state.experiments[2]
    assert experiment.adjustments["solved"].theta == pytest.approx(1.0)
    goal = experiment.arms[CANDIDATE].goals["solved"]
    assert goal.arm.variance > 0.2
    assert goal.variance_left(experiment.adjustments["solved"]) == pytest.approx(0.0, abs=1e-9)


def test_what_arms_answered_is_no_past_and_nothing_is_kept_where_no_experiment_is_to_come() -> None:
    state = EvidenceState.start(margins_of(SPECS))
    book = ledger(state)
    for arm in ("candidate", "matched_control"):
        book.add(answered(f"u-{arm}", 0, good=True, arm=arm), None, now_ms=0)
    book.add(answered("late", 0, good=True, stage=2), None, now_ms=0)
    assert book.experiments.take_changed_pasts() == {}
