from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trimtab.serving.shadow_budget import ShadowBudgets, ShadowTicket
from trimtab.serving.snapshot import Price, RolloutRoute, Route
from trimtab.serving.team_limit import TeamLimit

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_760_000_000_000
PRICE = Price(input_usd=1.0, output_usd=2.0)


def route(budget: float | None = None, *, rollout: str = "ro_1", stage: int = 0, team: str = "support") -> Route:
    shadow = RolloutRoute(
        id=rollout, candidate="c", salt="s", stage=stage, state="shadowing", shadow=1.0, shadow_budget_usd=budget
    )
    return Route(feature="f", stable="s", team=team, rollout=shadow)


def spend(budgets: ShadowBudgets, where: Route, micro_usd: int, now_ms: int = NOW_MS) -> None:
    ticket = budgets.admit(where, PRICE, now_ms)
    assert isinstance(ticket, ShadowTicket)
    ticket.release(micro_usd)


def test_processes_of_a_machine_spend_one_budget_and_it_outlives_them(tmp_path: Path) -> None:
    first, second = ShadowBudgets(tmp_path), ShadowBudgets(tmp_path)
    spend(first, route(1.0), 600_000)
    spend(second, route(1.0), 500_000, NOW_MS + 100)
    assert first.admit(route(1.0), PRICE, NOW_MS + 200) == "mirror_budget_spent"
    first.close()
    second.close()
    later = ShadowBudgets(tmp_path)
    a_week_later = NOW_MS + 7 * 86_400_000
    assert later.admit(route(1.0), PRICE, a_week_later) == "mirror_budget_spent"
    spend(later, route(2.0), 0, a_week_later + 100)  # a new attempt's plan may say more
    later.close()


def test_every_attempt_and_step_has_its_own(tmp_path: Path) -> None:
    budgets = ShadowBudgets(tmp_path)
    spend(budgets, route(1.0), 2_000_000)
    assert budgets.admit(route(1.0), PRICE, NOW_MS) == "mirror_budget_spent"
    spend(budgets, route(1.0, stage=1), 0)
    spend(budgets, route(1.0, rollout="ro_2"), 0)
    budgets.close()


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        (TeamLimit(requests_per_minute=1), "mirror_rate_limited"),
        (TeamLimit(usd_per_day=0.5), "mirror_quota_spent"),
        (TeamLimit(concurrent=1), "mirror_too_many"),
    ],
)
def test_a_team_without_room_mirrors_no_more_and_others_do(tmp_path: Path, limit: TeamLimit, code: str) -> None:
    budgets = ShadowBudgets(tmp_path, {"support": limit})
    first = budgets.admit(route(), None, NOW_MS)
    assert isinstance(first, ShadowTicket)
    if code != "mirror_too_many":
        first.release(600_000)
    assert budgets.admit(route(), None, NOW_MS) == code
    assert isinstance(budgets.admit(route(team="sales"), None, NOW_MS), ShadowTicket)
    budgets.close()


def test_a_mirror_that_its_team_has_no_room_for_takes_none_of_the_steps(tmp_path: Path) -> None:
    budgets = ShadowBudgets(tmp_path, {"support": TeamLimit(concurrent=0)})
    for _ in range(3):
        assert budgets.admit(route(1.0), PRICE, NOW_MS) == "mirror_too_many"
    spend(budgets, route(1.0, team="sales"), 0)
    budgets.close()


def test_without_any_limit_everything_is_mirrored_and_a_budget_needs_a_price(tmp_path: Path) -> None:
    budgets = ShadowBudgets(tmp_path)
    assert budgets.admit(route(), None, NOW_MS) == ShadowTicket(None, None)
    assert budgets.admit(route(1.0), None, NOW_MS) == "mirror_unpriced"
    budgets.close()
