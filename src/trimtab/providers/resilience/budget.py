"""How many retries an upstream is sent in all: a share of what succeeds there, and a small floor."""

from __future__ import annotations

__all__ = ["RetryBudget"]


class RetryBudget:
    """A token bucket in which every success is worth `ratio` of a retry and every second `per_second` retries.

    After Finagle's `RetryBudget` (a share of requests plus a floor, deposits that expire) and gRPC's retry throttling
    (gRFC A6), from which it takes that only successes earn: with an upstream down, retries dry up to the floor and an
    outage is not multiplied. What was earned longer ago than `window_seconds` fades. Always, since it was made:
    retries <= ratio * successes + per_second * (seconds + `window_seconds`).

    Times are seconds of one monotonic clock.
    """

    __slots__ = ("_balance", "_deposits", "_per_second", "_ratio", "_since", "_window", "refused", "spent")

    def __init__(self, *, ratio: float, per_second: float, now: float, window_seconds: float = 10.0) -> None:
        self._ratio = ratio
        self._per_second = per_second
        self._window = window_seconds
        self._since = now
        self._deposits = 0
        self._balance = per_second * window_seconds
        self.spent = 0
        """Retries that were allowed."""
        self.refused = 0
        """Retries that were not."""

    def deposit(self) -> None:
        """Count a success."""
        self._deposits += 1

    def withdraw(self, now: float) -> bool:
        """Take one retry; returns whether there was one left."""
        self._settle(now)
        if self._balance < 1.0:
            self.refused += 1
            return False
        self._balance -= 1.0
        self.spent += 1
        return True

    def balance(self, now: float) -> float:
        """Return how many retries are left."""
        self._settle(now)
        return self._balance

    def _settle(self, now: float) -> None:
        """Book what was earned since the last look; of a longer silence only what the window would still hold.

        Deposits carry no time of their own (they are made on every success), so within one stretch they count as
        evenly spread.
        """
        elapsed = max(0.0, now - self._since)
        kept = max(0.0, 1.0 - elapsed / self._window)
        recent = min(1.0, self._window / elapsed) if elapsed > 0 else 1.0
        earned = self._ratio * self._deposits * recent + self._per_second * min(elapsed, self._window)
        self._balance = self._balance * kept + earned
        self._deposits = 0
        self._since += elapsed
