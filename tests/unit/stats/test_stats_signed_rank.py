from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.stats import signed_rank

PRESSURE = [15, -7, 5, 20, 0, -9, 17, -12, 5, -10]


def test_many_differences_agree_with_scipy() -> None:
    """Oracle: scipy 1.17.1, `wilcoxon(zero_method="pratt", method="approx", correction=False)`."""
    draw = random.Random(7)
    found = signed_rank([round(draw.gauss(0.2, 1), 1) for _ in range(120)])
    assert min(found.positive, found.negative) == 2846.0
    assert found.p_value == pytest.approx(0.04122772796490821, rel=1e-9)
    assert found.method == "normal"


def test_ranks_are_those_of_pratt() -> None:
    """Oracle: the same; statistic of the differences of scipy's documentation."""
    found = signed_rank(PRESSURE)
    assert min(found.positive, found.negative) == 22.0
    assert found.method == "exact"


@given(differences=st.lists(st.integers(-3, 3), min_size=0, max_size=9))
def test_few_differences_are_judged_by_all_their_signs(differences: list[int]) -> None:
    found = signed_rank(differences)
    moved = [index for index, value in enumerate(differences) if value]
    total = found.positive + found.negative
    extreme = []
    for signs in itertools.product((1, -1), repeat=len(moved)):
        turned = list(differences)
        for index, sign in zip(moved, signs, strict=True):
            turned[index] = sign * abs(turned[index])
        other = signed_rank(turned)
        extreme.append(abs(other.positive - total / 2) >= abs(found.positive - total / 2) - 1e-9)
    assert found.p_value == pytest.approx(sum(extreme) / len(extreme))


def test_among_zeros_the_smallest_differences_count_for_more() -> None:
    """Two small ones down, four large ones up."""
    differences = [-1.0, -2.0, 5.0, 6.0, 7.0, 8.0]
    assert signed_rank(differences).p_value == 2 * 5 / 64  # as five of the 64 ways to put signs
    assert signed_rank(differences + [0.0] * 1000).p_value == 2 * 8 / 64


def test_the_effect_has_a_sign_and_a_size() -> None:
    assert signed_rank([1.0, 2.0, 3.0]).effect == 1.0
    assert signed_rank([-1.0, -2.0]).effect == -1.0
    assert signed_rank([0.0, 0.0]).effect == 0.0
    assert signed_rank([]).p_value == 1.0


@given(differences=st.lists(st.floats(-5, 5), min_size=41, max_size=60))
def test_turning_all_signs_keeps_the_p_value(differences: list[float]) -> None:
    turned = signed_rank([-value for value in differences])
    found = signed_rank(differences)
    assert turned.p_value == pytest.approx(found.p_value)
    assert turned.effect == pytest.approx(-found.effect)
