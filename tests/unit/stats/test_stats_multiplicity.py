from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.stats import benjamini_hochberg, holm

PAPER = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590]


def test_the_example_of_the_paper() -> None:
    """Benjamini & Hochberg (1995), section 3.2: four are rejected at 5 %, Bonferroni and Holm reject three."""
    p_values = [*PAPER, 1.0]
    assert sum(value <= 0.05 for value in benjamini_hochberg(p_values)) == 4
    assert sum(value <= 0.05 for value in holm(p_values)) == 3


def test_adjusted_values_agree_with_statsmodels() -> None:
    """Oracle: statsmodels 0.15.0, `multipletests`."""
    p_values = [*PAPER, 1.0]
    assert benjamini_hochberg(p_values)[:8] == pytest.approx(
        [0.0015, 0.003, 0.0095, 0.035625, 0.0603, 0.06385714285714286, 0.06385714285714286, 0.0645]
    )
    assert holm(p_values)[:5] == pytest.approx([0.0015, 0.0056, 0.0247, 0.114, 0.2211])


@given(p_values=st.lists(st.floats(0, 1), max_size=30), data=st.data())
def test_order_does_not_matter_and_nothing_gets_surer(p_values: list[float], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(p_values))))
    for adjust in (benjamini_hochberg, holm):
        adjusted = adjust(p_values)
        shuffled = adjust([p_values[index] for index in order])
        assert shuffled == pytest.approx([adjusted[index] for index in order])
        assert all(before <= after <= 1.0 for before, after in zip(p_values, adjusted, strict=True))


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_value_is_refused(bad: float) -> None:
    with pytest.raises(InputError, match=r"not in \[0, 1\]"):
        benjamini_hochberg([0.5, bad])
