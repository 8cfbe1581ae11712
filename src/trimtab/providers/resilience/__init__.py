"""Retries, retry budgets, circuit breakers and fallback chains, as state machines: time and chance are passed in."""

from trimtab.providers.resilience.breaker import BreakerHealth, BreakerState, CircuitBreaker
from trimtab.providers.resilience.budget import RetryBudget
from trimtab.providers.resilience.failure import (
    AttemptResult,
    Failure,
    classify,
    retry_after_seconds,
    should_retry,
)
from trimtab.providers.resilience.plan import Attempt, CallPlan, Final, FinalReason, Refused
from trimtab.providers.resilience.policy import BreakerPolicy, RetryPolicy
from trimtab.providers.resilience.retry import backoff_seconds, wait_seconds
from trimtab.providers.resilience.targets import Target, TargetHealth, Targets

__all__ = [
    "Attempt",
    "AttemptResult",
    "BreakerHealth",
    "BreakerPolicy",
    "BreakerState",
    "CallPlan",
    "CircuitBreaker",
    "Failure",
    "Final",
    "FinalReason",
    "Refused",
    "RetryBudget",
    "RetryPolicy",
    "Target",
    "TargetHealth",
    "Targets",
    "backoff_seconds",
    "classify",
    "retry_after_seconds",
    "should_retry",
    "wait_seconds",
]
