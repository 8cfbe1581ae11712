"""What stands before each target: one breaker per model of a provider, one retry budget per provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from trimtab.providers.resilience.breaker import BreakerHealth, CircuitBreaker
from trimtab.providers.resilience.budget import RetryBudget

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.providers.resilience.policy import BreakerPolicy, RetryPolicy

__all__ = ["Guard", "Guards", "TargetHealth"]


class Guard(NamedTuple):
    """What this process has come to know of one model of one provider."""

    provider: str
    model: str
    breaker: CircuitBreaker
    budget: RetryBudget
    """Of the provider: shared by all its models."""


class TargetHealth(NamedTuple):
    """A target's health, for probes and metrics."""

    provider: str
    model: str
    breaker: BreakerHealth
    retries: int
    """Sent to the provider since the process began."""
    retries_refused: int
    """Not sent because the provider's budget was used up."""


class Guards:
    """The guards of one process, made when first asked for."""

    def __init__(
        self,
        retry: RetryPolicy,
        breaker: BreakerPolicy,
        draw: Callable[[], float],
        changed: Callable[[Guard, Literal["open", "closed"]], None] | None = None,
    ) -> None:
        """`draw` gives random numbers in [0, 1); `changed` is told when a circuit opens (again) and when it closes."""
        self._changed = changed
        self.retry = retry
        self.draw = draw
        self._breaker = breaker
        self._guards: dict[tuple[str, str], Guard] = {}
        self._budgets: dict[str, RetryBudget] = {}

    def find(self, provider: str, model: str, now: float) -> Guard:
        """Return the guard of a target; the same one for the same names."""
        found = self._guards.get((provider, model))
        return found if found is not None else self._make(provider, model, now)

    def health(self, now: float) -> list[TargetHealth]:
        """Return every target's health, by name."""
        return [
            TargetHealth(provider, model, one.breaker.health(now), one.budget.spent, one.budget.refused)
            for (provider, model), one in sorted(self._guards.items())
        ]

    def _make(self, provider: str, model: str, now: float) -> Guard:
        budget = self._budgets.get(provider)
        if budget is None:
            policy = self.retry
            budget = RetryBudget(ratio=policy.budget_ratio, per_second=policy.budget_per_second, now=now)
            self._budgets[provider] = budget
        breaker = CircuitBreaker(self._breaker, self.draw, lambda state: self._tell(guard, state))
        guard = Guard(provider, model, breaker, budget)
        self._guards[provider, model] = guard
        return guard

    def _tell(self, guard: Guard, state: Literal["open", "closed"]) -> None:
        if self._changed is not None:
            self._changed(guard, state)
