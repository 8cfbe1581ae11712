from __future__ import annotations

import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.stats import PairedBetting, PendingPairs, betting_grid, betting_weights
from trimtab.stats.betting import WAITING_LIMIT, Bet, Grid

scores = st.floats(min_value=0.0, max_value=1.0)
margins = st.floats(min_value=0.001, max_value=0.999)
bets: st.SearchStrategy[Bet] = st.sampled_from(["harm", "non_inferior"])


@given(margin=margins)
def test_every_stake_leaves_something_after_the_worst_pair(margin: float) -> None:
    assert all(0 < stake < 1 / (1 + margin) for stake in betting_grid(margin))


@pytest.mark.parametrize("margin", [1.0, -0.1, float("nan")])
def test_a_margin_outside_the_unit_interval_is_refused(margin: float) -> None:
    with pytest.raises(InputError):
        betting_grid(margin)


@pytest.mark.parametrize("bet", ["harm", "non_inferior", "superior"])
@pytest.mark.parametrize("grid", [1, 2])
def test_the_weights_spread_a_wealth_of_one_over_the_stakes(bet: Bet, grid: Grid) -> None:
    weights = betting_weights(bet, grid)
    assert math.fsum(weights) == pytest.approx(1.0, abs=1e-12)
    assert len(weights) == len(betting_grid(0.02, grid))
    assert min(weights) > 0


@pytest.mark.parametrize(("bet", "margin"), [("harm", 0.0), ("non_inferior", 0.0), ("superior", 0.02)])
def test_only_superiority_is_without_a_margin(bet: Bet, margin: float) -> None:
    with pytest.raises(InputError):
        PairedBetting.start(bet, margin)


def test_superiority_is_non_inferiority_without_a_margin() -> None:
    betting = PairedBetting.start("superior")
    betting.update(control=0.25, candidate=1.0)
    stakes = zip(betting_weights("superior"), betting_grid(0.0), strict=True)
    assert betting_grid(0.0)[0] == 0.98
    expected = sum(weight * (1 + 0.75 * stake) for weight, stake in stakes)
    assert betting.value == pytest.approx(expected, rel=1e-12)
    betting.update(control=0.5, candidate=0.5)
    assert betting.value == pytest.approx(expected, rel=1e-12)


def test_one_pair_gives_the_wealth_computed_by_hand() -> None:
    # margin 0.25: the grid starts at 0.98 / 1.25 = 0.784 and shrinks by 0.55; D = 1 - 0 - 0.25 = 0.75
    betting = PairedBetting.start("harm", 0.25)
    betting.update(control=1.0, candidate=0.0)
    stakes = [0.784, 0.4312, 0.23716, 0.130438, 0.0717409, 0.039457495, 0.02170162225]
    weighted = sum(w * stake for w, stake in zip((15, 15, 12, 4, 2, 1, 1), stakes, strict=True))
    assert betting.value == pytest.approx(1 + 0.75 * weighted / 50, rel=1e-12)
    assert betting.value == pytest.approx(1.3270047, rel=1e-6)


def test_two_pairs_multiply_within_a_stake_and_average_over_stakes() -> None:
    # non-inferiority, margin 0.1: D is 0.1, then 0.6
    betting = PairedBetting.start("non_inferior", 0.1)
    betting.update(control=0.5, candidate=0.5)
    betting.update(control=0.25, candidate=0.75)
    weighted = zip((4, 4, 4, 3, 3, 2, 1), betting_grid(0.1), strict=True)
    assert betting.value == pytest.approx(sum(w * (1 + 0.1 * s) * (1 + 0.6 * s) for w, s in weighted) / 21, rel=1e-12)
    assert betting.pairs == 2


@given(margin=margins)
def test_the_largest_loss_is_bounded_by_the_largest_stake(margin: float) -> None:
    betting = PairedBetting.start("harm", margin)
    betting.update(control=0.0, candidate=1.0)
    stakes = zip(betting_weights("harm"), betting_grid(margin), strict=True)
    assert betting.value == pytest.approx(sum(w * (1 - stake * (1 + margin)) for w, stake in stakes), rel=1e-9)
    assert betting.value > 0


OLD_WEALTH = {  # as stored before grids had numbers: ten pairs (1, 0) and one (0, 1) at margin 0.02, eight stakes
    "bet": "harm",
    "margin": 0.02,
    "log_wealth": [math.fsum([10 * math.log1p(0.98 * s), math.log1p(-1.02 * s)]) for s in betting_grid(0.02, 1)],
    "log_peak": 3.0,
    "pairs": 11,
}


def test_wealth_stored_on_the_first_grid_goes_on_as_it_began() -> None:
    betting = msgspec.msgpack.decode(msgspec.msgpack.encode(OLD_WEALTH), type=PairedBetting)
    betting.update(control=1.0, candidate=0.0)
    stakes = [0.98 / 1.02 * 0.6**index for index in range(8)]
    by_hand = sum((1 + 0.98 * s) ** 11 * (1 - 1.02 * s) for s in stakes) / 8
    assert betting.value == pytest.approx(by_hand, rel=1e-9)
    assert betting.pairs == 12
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(betting), type=PairedBetting) == betting


def test_wealth_of_a_grid_nobody_knows_is_not_taken_for_another() -> None:
    with pytest.raises(msgspec.ValidationError, match="grid"):
        msgspec.msgpack.decode(msgspec.msgpack.encode(OLD_WEALTH | {"grid": 99}), type=PairedBetting)


@given(bet=bets, margin=margins, pairs=st.lists(st.tuples(scores, scores), max_size=60))
def test_wealth_is_finite_and_never_negative_and_the_peak_never_falls(
    bet: Bet, margin: float, pairs: list[tuple[float, float]]
) -> None:
    betting = PairedBetting.start(bet, margin)
    peak = betting.peak
    for control, candidate in pairs:
        betting.update(control=control, candidate=candidate)
        assert 0.0 <= betting.value < math.inf
        assert betting.peak >= max(peak, betting.value * (1 - 1e-12))
        peak = betting.peak
    assert betting.pairs == len(pairs)


@given(bet=bets, pairs=st.lists(st.tuples(scores, scores), min_size=2, max_size=30), seed=st.integers(0, 99))
def test_the_order_of_pairs_does_not_change_the_final_wealth(
    bet: Bet, pairs: list[tuple[float, float]], seed: int
) -> None:
    shuffled = pairs.copy()
    random.Random(seed).shuffle(shuffled)
    first, second = PairedBetting.start(bet, 0.05), PairedBetting.start(bet, 0.05)
    for control, candidate in pairs:
        first.update(control=control, candidate=candidate)
    for control, candidate in shuffled:
        second.update(control=control, candidate=candidate)
    assert first.log_value == pytest.approx(second.log_value, abs=1e-9)


def test_extreme_evidence_stays_a_finite_number() -> None:
    harm, fine = PairedBetting.start("harm", 0.02), PairedBetting.start("harm", 0.02)
    for _ in range(20_000):
        harm.update(control=1.0, candidate=0.0)
        fine.update(control=0.0, candidate=1.0)
    assert math.isfinite(harm.value)
    assert harm.log_value > 10_000
    assert math.isfinite(fine.log_value)
    assert fine.value < 1e-200


def test_a_crossing_between_looks_is_remembered() -> None:
    betting = PairedBetting.start("harm", 0.02)
    for _ in range(30):
        betting.update(control=1.0, candidate=0.0)
    top = betting.value
    for _ in range(200):
        betting.update(control=0.0, candidate=1.0)
    assert betting.value < 1
    assert top > 1000
    assert betting.peak == pytest.approx(top)


def test_state_survives_serialisation_bit_for_bit() -> None:
    betting = PairedBetting.start("harm", 0.02)
    source = random.Random(7)
    for _ in range(100):
        betting.update(control=source.random(), candidate=source.random())
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(betting), type=PairedBetting)
    again.update(control=0.3, candidate=0.2)
    betting.update(control=0.3, candidate=0.2)
    assert again == betting


@pytest.mark.parametrize(("control", "candidate", "margin"), [(0.9, 0.88, 0.02), (0.5, 0.4, 0.1), (0.3, 0.3, 0.05)])
def test_under_the_null_mean_wealth_is_at_most_one_and_crossings_are_rarer_than_alpha(
    control: float, candidate: float, margin: float
) -> None:
    """On the boundary of the null wealth is a martingale: its mean stays 1, and 1/alpha is reached by at most alpha."""
    source = random.Random(11)
    runs, pairs, alpha = 1500, 60, 0.1
    total, crossed = 0.0, 0
    for _ in range(runs):
        betting = PairedBetting.start("harm", margin)
        for _ in range(pairs):
            betting.update(control=float(source.random() < control), candidate=float(source.random() < candidate))
        total += min(betting.value, 100.0)  # clipping keeps the spread of the mean finite and can only lower it
        crossed += betting.peak >= 1 / alpha
    assert total / runs <= 1.15
    assert crossed / runs <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_real_harm_is_found_within_a_few_hundred_pairs() -> None:
    source = random.Random(3)
    betting = PairedBetting.start("harm", 0.02)
    while betting.peak < 100 and betting.pairs < 1000:
        betting.update(control=float(source.random() < 0.9), candidate=float(source.random() < 0.7))
    assert betting.pairs < 400


def test_no_pair_without_both_arms() -> None:
    controls, candidates = PendingPairs(), PendingPairs()
    assert all(controls.add_control(1.0) is None for _ in range(50))
    assert all(candidates.add_candidate(0.0) is None for _ in range(50))


def test_a_candidate_meets_the_mean_of_the_controls_since_the_last_pair() -> None:
    pending = PendingPairs()
    for score in (0.2, 0.4, 0.9):
        pending.add_control(score)
    assert pending.add_candidate(0.7) == ((0.2 + 0.4 + 0.9) / 3, 0.7)
    assert pending.add_candidate(0.1) is None
    assert pending.add_control(0.6) == (0.6, 0.1)


@given(arrivals=st.lists(st.tuples(st.booleans(), scores), max_size=200))
def test_each_score_is_used_once_and_waiting_is_bounded(arrivals: list[tuple[bool, float]]) -> None:
    pending = PendingPairs()
    pairs = 0
    for is_control, score in arrivals:
        pair = pending.add_control(score) if is_control else pending.add_candidate(score)
        pairs += pair is not None
        assert len(pending.waiting) <= WAITING_LIMIT
        assert not (pending.waiting and pending.control_count)
    controls = sum(is_control for is_control, _ in arrivals)
    assert pairs <= min(controls, len(arrivals) - controls)


@given(flags=st.lists(st.booleans(), max_size=100), first=st.randoms(), second=st.randoms())
def test_which_arrivals_are_paired_does_not_depend_on_scores(
    flags: list[bool], first: random.Random, second: random.Random
) -> None:
    def when(source: random.Random) -> list[bool]:
        pending = PendingPairs()
        return [
            (pending.add_control(source.random()) if flag else pending.add_candidate(source.random())) is not None
            for flag in flags
        ]

    assert when(first) == when(second)
