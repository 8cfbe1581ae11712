"""Retries, retry budgets, circuit breakers and fallback chains, as state machines: time and chance are passed in."""

from trimtab.providers.resilience.attempts import Attempt, Attempts, Final, FinalReason, Refused
from trimtab.providers.resilience.breaker import BreakerHealth, BreakerState, CircuitBreaker
from trimtab.providers.resilience.budget import RetryBudget
from trimtab.providers.resilience.failure import (
    AttemptResult,
    Failure,
    classify,
    retry_after_seconds,
    should_retry,
)
from trimtab.providers.resilience.guards import Guard, Guards, TargetHealth
from trimtab.providers.resilience.policy import BreakerPolicy, RetryPolicy
from trimtab.providers.resilience.retry import backoff_seconds, wait_seconds

__all__ = [
    "Attempt",
    "AttemptResult",
    "Attempts",
    "BreakerHealth",
    "BreakerPolicy",
    "BreakerState",
    "CircuitBreaker",
    "Failure",
    "Final",
    "FinalReason",
    "Guard",
    "Guards",
    "Refused",
    "RetryBudget",
    "RetryPolicy",
    "TargetHealth",
    "backoff_seconds",
    "classify",
    "retry_after_seconds",
    "should_retry",
    "wait_seconds",
]
