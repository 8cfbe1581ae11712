from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.stats import PairedCounts, binary_variance, detectable_margin, items_needed, non_inferiority, power_of


def test_a_margin_of_five_points_needs_343_items() -> None:
    """One in ten answers differs, level 5 %, power 90 %."""
    assert items_needed(binary_variance(0.1), margin=0.05) == 343


def test_so_many_items_are_enough_for_the_test_it_is_meant_for() -> None:
    draw, runs = random.Random(5), 1500
    items = items_needed(binary_variance(0.1), margin=0.05, power=0.9)
    shown = 0
    for _ in range(runs):
        kinds = draw.choices(("lost", "gained", "both_passed"), (0.05, 0.05, 0.9), k=items)
        seen = PairedCounts(**{kind: kinds.count(kind) for kind in set(kinds)})
        shown += non_inferiority(seen, margin=0.05) < 0.05
    assert 0.86 < shown / runs < 0.94


@given(
    discordance=st.floats(0.01, 1.0),
    margin=st.floats(0.01, 0.3),
    alpha=st.floats(0.01, 0.2),
    power=st.floats(0.5, 0.99),
)
def test_power_and_items_are_each_others_inverse(discordance: float, margin: float, alpha: float, power: float) -> None:
    variance = binary_variance(discordance)
    items = items_needed(variance, margin=margin, alpha=alpha, power=power)
    assert power_of(items, variance, margin=margin, alpha=alpha) >= power - 1e-6
    if items > 2:
        assert power_of(items - 1, variance, margin=margin, alpha=alpha) < power
        assert detectable_margin(items, variance, alpha=alpha, power=power) <= margin + 1e-6


def test_a_true_loss_needs_more_items_and_one_beyond_the_margin_any_number_in_vain() -> None:
    assert items_needed(0.1, margin=0.05, difference=-0.02) > items_needed(0.1, margin=0.05)
    assert items_needed(0.1, margin=0.0, difference=0.05) == 343  # superiority: the same distance
    with pytest.raises(InputError, match="no number of items"):
        items_needed(0.1, margin=0.05, difference=-0.05)


def test_nothing_to_tell_from_nothing() -> None:
    assert power_of(0, 0.1, margin=0.05) == 0.0
    assert power_of(10, 0.0, margin=0.05) == 1.0
    assert items_needed(0.0, margin=0.05) == 2


def test_impossible_input_is_refused() -> None:
    with pytest.raises(InputError, match="takes at least as many"):
        binary_variance(0.1, 0.2)
    with pytest.raises(InputError, match=r"in \(0, 1\)"):
        items_needed(0.1, margin=0.05, power=1.0)
