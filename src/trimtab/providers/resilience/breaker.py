"""A circuit breaker: leaves a target alone while it fails, and finds out with single calls when it is back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.providers.resilience.policy import BreakerPolicy

__all__ = ["BreakerHealth", "BreakerState", "CircuitBreaker"]

BreakerState = Literal["closed", "limited", "open", "half_open"]
"""`limited`: closed, but the target answered 429 and asked to wait."""

_BUCKETS: Final = 10
_MOST_DOUBLINGS: Final = 30
_SHORTEST_JITTER: Final = 0.75


class BreakerHealth(NamedTuple):
    """What a breaker knows of its target."""

    state: BreakerState
    calls: int
    """Within the window."""
    failures: int
    """Within the window."""
    consecutive_failures: int
    seconds_left: float
    """Until the target is called again; 0 where it is, or where a probe is under way."""
    opened: int
    """How often the circuit has opened since the process began."""
    last_failure: str
    """What the last failure that counted was: a status or an error code; empty where there was none."""


class CircuitBreaker:
    """Closed, open, half-open (M. Nygard, "Release It!", 2007), for one target and one thread.

    Opens when `consecutive_failures` come in a row, or when of at least `minimum_calls` within the window a share of
    `failure_rate` failed. Stays open for a time that doubles with each failed probe and is jittered by a quarter, so
    that processes do not probe in step. Then one probe at a time is let through: enough successes close, a failure
    opens again. A probe that has no result after `probe_seconds` no longer keeps the next one out (answers of models
    take their time), but its result still counts.

    `allow` gives a ticket that goes with the result; a result of a call from before the last change of state is
    ignored. Every call that was allowed must end in one of `succeeded`, `failed`, `limited`, `released`.

    Times are seconds of one monotonic clock; `draw` gives random numbers in [0, 1).
    """

    __slots__ = (
        "_bucket_seconds",
        "_buckets",
        "_changed",
        "_consecutive",
        "_draw",
        "_failures",
        "_first_probe",
        "_limited_until",
        "_newest",
        "_open_until",
        "_policy",
        "_probe_until",
        "_probes_good",
        "_state",
        "_steady_until",
        "_successes",
        "_ticket",
        "_trips",
        "last_failure",
        "opened",
        "probing",
    )

    def __init__(
        self,
        policy: BreakerPolicy,
        draw: Callable[[], float],
        changed: Callable[[Literal["open", "closed"]], None] | None = None,
    ) -> None:
        """`changed` is told when the circuit opens (again) and when it closes."""
        self._changed = changed
        self._policy = policy
        self._draw = draw
        self._bucket_seconds = policy.window_seconds / _BUCKETS
        self._buckets: list[tuple[int, int, int]] = []
        """(number, successes, failures) of the window's older parts."""
        self._newest = 0
        self._successes = 0
        self._failures = 0
        self._consecutive = 0
        self._state: Literal["closed", "open", "half_open"] = "closed"
        self._ticket = 1
        self._first_probe = 0
        self._trips = 0
        # `allow` is on the path of every call: while the circuit is closed, the target unlimited and the newest part
        # of the window current, one comparison with this says so. Zero sends it the long way.
        self._steady_until = 0.0 if policy.enabled else math.inf
        self._limited_until = -math.inf
        self._open_until = -math.inf
        self._probe_until = -math.inf
        self._probes_good = 0
        self.probing = False
        """Whether the circuit is half-open: the next results decide."""
        self.opened = 0
        self.last_failure = ""

    # --- every call ---------------------------------------------------------------------------------------------

    def allow(self, now: float) -> int:
        """Return the ticket of a call that may be made now; 0 where the target is to be left alone."""
        if now < self._steady_until:
            return self._ticket
        return self._admit(now)

    def steady(self, now: float) -> int:
        """Return the ticket of `allow` where the circuit is closed, else 0; no call need come of it."""
        if now < self._steady_until:
            return self._ticket
        return self._admit(now) if self._state == "closed" else 0

    def succeeded(self, ticket: int) -> None:
        """Count a call that the target answered."""
        if self.probing:
            self._probe_succeeded(ticket)
        elif ticket == self._ticket:
            self._successes += 1
            self._consecutive = 0

    # --- calls that went wrong ----------------------------------------------------------------------------------

    def failed(self, ticket: int, now: float, *, failure: str = "") -> None:
        """Count a failure of the target; `failure` says which, for people."""
        if not self._counts(ticket):
            return
        self.last_failure = failure
        if self.probing:
            self._open(now)
            return
        self._rotate(now)
        self._failures += 1
        self._consecutive += 1
        if self._consecutive >= self._policy.consecutive_failures or self._rate_is_too_high():
            self._open(now)

    def limited(self, ticket: int, now: float, *, seconds: float) -> None:
        """Leave a target alone that asked for it: it is well, so this counts neither way, and closes a probed circuit.

        Times beyond `max_limited_seconds` are cut to that.
        """
        if not self._counts(ticket):
            return
        if self.probing:
            self._close()
        self._limited_until = max(self._limited_until, now + min(seconds, self._policy.max_limited_seconds))
        self._steady_until = 0.0

    def released(self, ticket: int) -> None:
        """Give back a call whose result says nothing of the target: its caller went away, or it was never sent."""
        if ticket == self._ticket and self.probing:
            self._probe_until = -math.inf

    # --- looking ------------------------------------------------------------------------------------------------

    def available(self, now: float) -> bool:
        """Return whether `allow` would give a ticket."""
        return now < self._steady_until or self.seconds_left(now) == 0.0

    def is_limited(self, now: float) -> bool:
        """Return whether nothing but a Retry-After stands in the way."""
        return self._state == "closed" and now < self._limited_until

    def allow_limited(self) -> int:
        """Return a ticket in spite of a Retry-After, for who has no other target; 0 where the circuit is not closed."""
        return self._ticket if self._state == "closed" else 0

    def seconds_left(self, now: float) -> float:
        """Return for how long the target is to be left alone."""
        if not self._policy.enabled:
            return 0.0
        until = self._limited_until
        if self._state == "open":
            until = max(until, self._open_until)
        elif self._state == "half_open":
            until = max(until, self._probe_until)
        return max(0.0, until - now)

    def health(self, now: float) -> BreakerHealth:
        """Return what is known of the target."""
        if self._policy.enabled:
            self._rotate(now)
        failures = self._failures + sum(bad for _, _, bad in self._buckets)
        return BreakerHealth(
            state="limited" if self.is_limited(now) else self._state,
            calls=failures + self._successes + sum(good for _, good, _ in self._buckets),
            failures=failures,
            consecutive_failures=self._consecutive,
            seconds_left=self.seconds_left(now),
            opened=self.opened,
            last_failure=self.last_failure,
        )

    # --- inner workings -----------------------------------------------------------------------------------------

    def _admit(self, now: float) -> int:
        if self.seconds_left(now) > 0:
            return 0
        if self._state == "closed":
            self._rotate(now)
            self._steady_until = (self._newest + 1) * self._bucket_seconds
            return self._ticket
        if self._state == "open":
            self._state = "half_open"
            self._first_probe = self._ticket + 1
            self._probes_good = 0
            self.probing = True
        self._ticket += 1
        self._probe_until = now + self._policy.probe_seconds
        return self._ticket

    def _open(self, now: float) -> None:
        policy = self._policy
        if self._state == "closed" and now - self._open_until >= policy.max_open_seconds:
            self._trips = 0
        seconds = min(policy.max_open_seconds, policy.open_seconds * 2 ** min(self._trips, _MOST_DOUBLINGS))
        jitter = _SHORTEST_JITTER + (1 - _SHORTEST_JITTER) * self._draw()
        self._state = "open"
        self._open_until = now + seconds * jitter
        self._steady_until = 0.0
        self._ticket += 1
        self._trips += 1
        self.opened += 1
        self.probing = False
        if self._changed is not None:
            self._changed("open")

    def _counts(self, ticket: int) -> bool:
        if not self._policy.enabled:
            return False
        return ticket >= self._first_probe if self.probing else ticket == self._ticket

    def _probe_succeeded(self, ticket: int) -> None:
        if ticket < self._first_probe:
            return
        self._probes_good += 1
        self.released(ticket)
        if self._probes_good >= self._policy.probes_to_close:
            self._close()

    def _close(self) -> None:
        self._state = "closed"
        self._ticket += 1
        self._buckets.clear()
        self._successes = self._failures = self._consecutive = 0
        self.probing = False
        if self._changed is not None:
            self._changed("closed")

    def _rotate(self, now: float) -> None:
        number = int(now / self._bucket_seconds)
        if number == self._newest:
            return
        if self._successes or self._failures:
            self._buckets.append((self._newest, self._successes, self._failures))
            self._successes = self._failures = 0
        self._buckets = [bucket for bucket in self._buckets if bucket[0] > number - _BUCKETS]
        self._newest = number

    def _rate_is_too_high(self) -> bool:
        failures = self._failures + sum(bad for _, _, bad in self._buckets)
        calls = failures + self._successes + sum(good for _, good, _ in self._buckets)
        return calls >= self._policy.minimum_calls and failures >= self._policy.failure_rate * calls
