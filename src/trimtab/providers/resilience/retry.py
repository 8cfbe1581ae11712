"""How long a retry waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trimtab.providers.resilience.policy import RetryPolicy

__all__ = ["backoff_seconds", "wait_seconds"]


def backoff_seconds(policy: RetryPolicy, retry: int, draw: float) -> float:
    """Return the wait before retry number `retry` (0 is the first), for `draw` uniform in [0, 1).

    Full jitter: uniform between zero and the capped exponential (M. Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015). Of the variants compared there it sends the fewest requests in all, and it needs no state.
    """
    return draw * min(policy.max_seconds, policy.base_seconds * (1 << retry))


def wait_seconds(policy: RetryPolicy, retry: int, draw: float, *, retry_after: float | None) -> float | None:
    """Return the wait before a retry; `None` where the upstream asks for more than the policy waits.

    An upstream's Retry-After is a lower bound, to which jitter is added: all who were refused were told the same.
    """
    if retry_after is None:
        return backoff_seconds(policy, retry, draw)
    if retry_after > policy.max_retry_after_seconds:
        return None
    return retry_after + draw * policy.base_seconds
