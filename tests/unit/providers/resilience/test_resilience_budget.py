"""The retry budget: a share of what succeeds, and a floor."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab.providers.resilience import RetryBudget


def spend_all(budget: RetryBudget, now: float) -> int:
    spent = 0
    while budget.withdraw(now):
        spent += 1
    return spent


def test_a_fifth_of_the_successes_may_be_retried() -> None:
    budget = RetryBudget(ratio=0.2, per_second=0, now=0.0)
    for _ in range(100):
        budget.deposit()
    assert spend_all(budget, 5.0) == 20
    assert (budget.spent, budget.refused) == (20, 1)


def test_an_outage_dries_up_to_the_floor() -> None:
    budget = RetryBudget(ratio=0.2, per_second=1, now=0.0)
    for second in range(10):  # 100 requests a second, all well
        for _ in range(100):
            budget.deposit()
        budget.balance(float(second))
    sent = [sum(budget.withdraw(second + call / 100) for call in range(100)) for second in range(10, 40)]
    assert sum(sent) <= 200 + 10 + 30  # what was saved up, and the floor: not 100 a second
    assert all(each <= 2 for each in sent[10:])


def test_what_was_saved_up_fades_with_the_window() -> None:
    budget = RetryBudget(ratio=1, per_second=0, now=0.0, window_seconds=10)
    for _ in range(50):
        budget.deposit()
    assert budget.balance(1.0) == 50
    assert budget.balance(6.0) == 25
    assert budget.balance(60.0) == 0


def test_a_long_silence_earns_no_more_than_one_window() -> None:
    budget = RetryBudget(ratio=0.2, per_second=1, now=0.0, window_seconds=10)
    assert spend_all(budget, 3600.0) == 10
    for _ in range(3600):  # evenly over the next hour: the last ten seconds hold ten of them
        budget.deposit()
    assert spend_all(budget, 7200.0) == 10 + 2


@given(
    st.floats(0, 1),
    st.floats(0, 5),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.floats(0, 20)), max_size=40),
)
def test_never_more_retries_than_a_share_of_the_successes_and_the_floor(
    ratio: float, per_second: float, steps: list[tuple[int, int, float]]
) -> None:
    budget = RetryBudget(ratio=ratio, per_second=per_second, now=100.0)
    now, successes, allowed = 100.0, 0, 0
    for good, asked, pause in steps:
        for _ in range(good):
            budget.deposit()
        successes += good
        now += pause
        allowed += sum(budget.withdraw(now) for _ in range(asked))
        assert allowed <= ratio * successes + per_second * (now - 100.0 + 10.0) + 1e-6
        assert allowed == budget.spent
        assert budget.balance(now) >= 0
