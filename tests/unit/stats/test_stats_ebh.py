from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.stats import e_benjamini_hochberg


def rejected(*e_values: float, alpha: float = 0.05) -> set[int]:
    return set(e_benjamini_hochberg([math.log(value) for value in e_values], alpha=alpha))


def test_by_hand() -> None:
    # K = 4, alpha = 0.05: one needs 80, two need 40 each, three 26.67, four 20
    assert rejected(79, 1, 1, 1) == set()
    assert rejected(80, 1, 1, 1) == {0}
    assert rejected(1, 40, 0.5, 41) == {1, 3}
    assert rejected(27, 27, 39, 1) == {0, 1, 2}
    assert rejected(20, 20, 20, 20) == {0, 1, 2, 3}
    assert rejected(19, 20, 20, 20) == set()  # the largest three would need 26.67 each


def test_a_weaker_one_may_pass_beside_others_but_not_alone() -> None:
    assert rejected(30, 1, 1, 1) == set()
    assert 0 in rejected(30, 90, 90, 1)


def test_none_and_one() -> None:
    assert rejected() == set()
    assert rejected(20) == {0}
    with pytest.raises(InputError):
        e_benjamini_hochberg([1.0], alpha=0)


@given(st.lists(st.floats(-20, 20), max_size=30), st.floats(0.001, 1))
def test_what_is_rejected_is_the_largest_and_each_meets_the_bound(logs: list[float], alpha: float) -> None:
    found = e_benjamini_hochberg(logs, alpha=alpha)
    if found:
        bound = math.log(len(logs) / (len(found) * alpha))
        assert min(logs[index] for index in found) >= bound
        assert all(logs[index] <= min(logs[i] for i in found) for index in range(len(logs)) if index not in found)


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=20), st.integers(0, 19), st.floats(0, 10))
def test_more_evidence_never_rejects_less(logs: list[float], index: int, more: float) -> None:
    stronger = [value + more * (place == index % len(logs)) for place, value in enumerate(logs)]
    assert e_benjamini_hochberg(logs, alpha=0.1) <= e_benjamini_hochberg(stronger, alpha=0.1)


def test_the_share_of_false_rejections_stays_below_alpha() -> None:
    """40 hypotheses, 30 of them true; e-values are likelihood ratios of N(3, 1) against N(0, 1)."""
    source, alpha, shares = random.Random(8), 0.1, []
    for _ in range(800):
        draws = [source.gauss(0 if index < 30 else 4, 1) for index in range(40)]
        found = e_benjamini_hochberg([3 * x - 4.5 for x in draws], alpha=alpha)
        shares.append(sum(index < 30 for index in found) / max(1, len(found)))
    assert 0 < sum(shares) / len(shares) <= alpha
