from __future__ import annotations

import math
import random
import statistics
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.stats import PairedBetting, PendingPairs
from trimtab.stats.judged import (
    LABELLED_SPAN,
    CoMoments,
    JudgedArm,
    JudgedScores,
    LabelledScores,
    corrected_difference,
)

shares = st.floats(min_value=0.0, max_value=1.0)

GOOD_JUDGE = (
    (1, 0.9), (0, 0.2), (1, 0.7), (1, 0.8), (0, 0.4), (1, 0.6), (1, 0.95), (0, 0.3), (1, 0.5), (1, 0.85), (1, 0.75),
    (0, 0.45),
)  # fmt: skip
POOR_JUDGE = (
    (1, 0.5), (0, 0.6), (1, 0.7), (1, 0.3), (0, 0.4), (1, 0.6), (1, 0.9), (0, 0.3), (1, 0.5), (1, 0.45), (1, 0.75),
    (0, 0.45), (1, 0.4), (0, 0.7),
)  # fmt: skip
JUDGED_ONLY = (
    0.8, 0.7, 0.35, 0.9, 0.6, 0.55, 0.2, 0.95, 0.85, 0.65, 0.4, 0.75, 0.5, 0.1, 0.88, 0.92, 0.3, 0.62, 0.71, 0.83, 0.47,
    0.58, 0.66, 0.79,
)  # fmt: skip


def arm(labelled: tuple[tuple[float, float], ...], unlabelled: tuple[float, ...] = JUDGED_ONLY) -> JudgedArm:
    found = JudgedArm()
    for human, judge in labelled:
        found.labelled.add(human, judge)
    for judge in unlabelled:
        found.unlabelled.add(judge)
    return found


@pytest.mark.parametrize(
    ("labelled", "weight", "value", "low", "high"),
    [
        (GOOD_JUDGE, None, 0.6775, 0.483383257447, 0.871616742553),
        (GOOD_JUDGE, 0.5, 0.672083333333, 0.453269766636, 0.89089690003),
        (GOOD_JUDGE, 0.0, 0.666666666667, 0.39994935, 0.93338398),
        (POOR_JUDGE, None, 0.66389517727, 0.415660187223, 0.912130167318),
    ],
)
def test_means_and_intervals_agree_with_ppi_python(
    labelled: tuple[tuple[float, float], ...], weight: float | None, value: float, low: float, high: float
) -> None:
    """Oracle: `ppi_mean_pointestimate` and `ppi_mean_ci` of ppi-python 0.2.3, the paper's authors' own package."""
    estimate = arm(labelled).mean(weight=weight)
    assert estimate is not None
    assert estimate.value == pytest.approx(value, abs=1e-8)
    assert estimate.interval().low == pytest.approx(low, abs=1e-8)
    assert estimate.interval().high == pytest.approx(high, abs=1e-8)


def test_the_weight_is_tuned_as_in_ppi_python_and_a_judge_that_knows_nothing_gets_none() -> None:
    assert arm(POOR_JUDGE).weight == pytest.approx(0.23848783950226138, abs=1e-12)
    assert arm(GOOD_JUDGE).weight == 1.0
    assert arm(((1, 0.5), (0, 0.5), (1, 0.5)), (0.5, 0.5)).weight == 0.0
    assert arm(((1, 0.1), (0, 0.9), (1, 0.2))).weight == 0.0
    assert JudgedArm().weight == 0.0


def test_a_difference_needs_two_labels_a_side_and_adds_the_errors() -> None:
    before, after = arm(GOOD_JUDGE).mean(), arm(POOR_JUDGE).mean()
    assert before is not None
    assert after is not None
    difference = corrected_difference(arm(GOOD_JUDGE), arm(POOR_JUDGE))
    assert difference is not None
    assert difference.value == pytest.approx(after.value - before.value)
    assert difference.standard_error == pytest.approx(math.hypot(before.standard_error, after.standard_error))
    assert corrected_difference(arm(GOOD_JUDGE), arm(((1, 0.5),))) is None


@given(pairs=st.lists(st.tuples(shares, shares), min_size=2, max_size=60))
def test_moments_of_pairs_agree_with_the_standard_library(pairs: list[tuple[float, float]]) -> None:
    moments = CoMoments()
    for human, judge in pairs:
        moments.add(human, judge)
    humans, judges = [human for human, _ in pairs], [judge for _, judge in pairs]
    assert moments.products == pytest.approx(statistics.covariance(humans, judges) * (len(pairs) - 1), abs=1e-8)


@given(
    share=st.floats(min_value=0.05, max_value=1.0),
    units=st.lists(st.tuples(shares, shares, st.booleans()), max_size=60),
    judge=shares,
    human=shares,
)
def test_scores_lie_in_the_unit_interval_and_mean_the_label_whatever_was_learned(
    share: float, units: list[tuple[float, float, bool]], judge: float, human: float
) -> None:
    """Over the draw of whether somebody is asked, the score's mean is the label's, whatever the judge has said."""
    scores = JudgedScores(share=share)
    for seen, label, asked in units:
        assert 0.0 <= scores.score(seen, label if asked else None) <= 1.0
        if asked:
            scores.learn(seen, label)
    mean = share * scores.score(judge, human) + (1 - share) * scores.score(judge)
    assert mean * scores.span + 1 - 1 / share == pytest.approx(human, abs=1e-7)
    assert 0.0 <= scores.expected(judge) <= 1.0


def bet_on(
    seed: int,
    *,
    mode: Literal["judge", "labels", "both"],
    users: int,
    control: float = 0.8,
    candidate: float = 0.8,
    bias: float = 0.0,
    share: float = 0.2,
) -> int | None:
    """Return after how many candidate users harm is proven. `bias`: share of the candidate's it just hates."""
    source = random.Random(seed)
    scores = JudgedScores(share=share)
    betting = PairedBetting.start("harm", scores.margin(0.02) if mode == "both" else 0.02)
    pending, labels, met = PendingPairs(), [], 0
    while met < users:
        is_control = source.random() < 0.5
        met += not is_control
        human = float(source.random() < (control if is_control else candidate))
        judge = human if source.random() < 0.9 else 1 - human
        if not is_control and source.random() < bias:
            judge = 0.0
        asked = source.random() < share
        if mode == "labels" and not asked:
            continue
        score = {"judge": judge, "labels": human, "both": scores.score(judge, human if asked else None)}[mode]
        labels += [(judge, human)] if asked else []
        pair = pending.add_control(score) if is_control else pending.add_candidate(score)
        if pair is not None:
            betting.update(control=pair[0], candidate=pair[1])
            while labels:
                scores.learn(*labels.pop())
        if betting.peak >= 20:
            return met
    return None


def test_a_judge_that_dislikes_the_candidate_cannot_roll_it_back_once_people_are_asked() -> None:
    runs, alpha = 150, 0.05
    alone = sum(bet_on(seed, mode="judge", users=400, bias=0.15) is not None for seed in range(30))
    joined = sum(bet_on(seed, mode="both", users=400, bias=0.15) is not None for seed in range(runs))
    assert alone / 30 > 0.3
    assert joined / runs <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_on_the_edge_of_the_null_crossings_are_rarer_than_alpha() -> None:
    runs, alpha = 150, 0.05
    crossed = sum(bet_on(seed, mode="both", users=400, candidate=0.78) is not None for seed in range(runs))
    assert crossed / runs <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_with_a_judge_harm_is_found_with_fewer_users_than_with_the_labels_alone() -> None:
    def median(mode: Literal["labels", "both"]) -> float:
        found = [bet_on(seed, mode=mode, users=1500, control=0.85, candidate=0.65) for seed in range(30)]
        return statistics.median(math.inf if one is None else one for one in found)

    assert median("both") < median("labels")


@pytest.mark.parametrize("share", [0.0, 1.5, math.nan])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InputError):
        JudgedScores(share=share)


def test_state_survives_serialisation() -> None:
    scores = JudgedScores(share=0.25)
    scores.learn(0.7, 1.0)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(scores), type=JudgedScores) == scores
    known = arm(GOOD_JUDGE)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(known), type=JudgedArm) == known


def bet_on_labels(
    seed: int, *, users: int, control: float = 0.8, candidate: float = 0.8, bias: float = 0.0, trusts: bool = True
) -> int | None:
    """Return after how many labels harm is proven, where each arm labels at a rate of its own that nobody knows."""
    source = random.Random(seed)
    scores = LabelledScores()
    betting = PairedBetting.start("harm", 0.02 / LABELLED_SPAN if trusts else 0.02)
    pending, labels = PendingPairs(), 0
    unlearned: list[tuple[float, float]] = []
    since = {True: [0.0, 0.0], False: [0.0, 0.0]}
    for _ in range(users):
        is_control = source.random() < 0.5
        human = float(source.random() < (control if is_control else candidate))
        judge = human if source.random() < 0.95 else 1 - human
        if not is_control and source.random() < bias:
            judge = 0.0
        around = since[is_control]
        around[0], around[1] = around[0] + judge, around[1] + 1
        if source.random() >= (0.15 if is_control else 0.08):
            continue
        labels += 1
        estimate = scores.estimate(human, judge, mean=around[0] / around[1])
        since[is_control] = [0.0, 0.0]
        unlearned.append((judge, human))
        score = scores.score(estimate) if trusts else human
        pair = pending.add_control(score) if is_control else pending.add_candidate(score)
        if pair is not None:
            betting.update(control=pair[0], candidate=pair[1])
        if not pending.waiting and not pending.control_count:
            for known in unlearned:
                scores.learn(*known)
            unlearned = []
        if betting.peak >= 20:
            return labels
    return None


def test_labels_that_come_at_unknown_rates_still_keep_a_biased_judge_from_faking_harm() -> None:
    runs, alpha = 150, 0.05
    edge = sum(bet_on_labels(seed, users=2000, candidate=0.78, bias=0.3) is not None for seed in range(runs))
    assert edge / runs <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_a_good_judge_spares_labels_that_come_at_unknown_rates() -> None:
    def median(*, trusts: bool) -> float:
        found = [bet_on_labels(seed, users=8000, control=0.85, candidate=0.7, trusts=trusts) for seed in range(30)]
        return statistics.median(math.inf if one is None else one for one in found)

    assert median(trusts=True) < median(trusts=False)


@given(
    known=st.lists(st.tuples(shares, shares), max_size=40),
    block=st.lists(shares, min_size=1, max_size=10),
    human=shares,
)
def test_an_estimate_means_the_label_whoever_of_a_block_has_it(
    known: list[tuple[float, float]], block: list[float], human: float
) -> None:
    scores = LabelledScores()
    for judge, label in known:
        scores.learn(judge, label)
    mean = math.fsum(block) / len(block)
    estimates = [scores.estimate(human, judge, mean=mean) for judge in block]
    assert math.fsum(estimates) / len(block) == pytest.approx(human, abs=1e-9)
    assert all(0.0 <= scores.score(one) <= 1.0 for one in estimates)
    assert all(LABELLED_SPAN * scores.score(one) - 1.0 == pytest.approx(one, abs=1e-9) for one in estimates)
