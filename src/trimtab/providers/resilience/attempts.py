"""The attempts of one call: the same target while that is allowed, then the next of its chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from trimtab.providers.resilience.failure import AttemptResult, Failure, classify
from trimtab.providers.resilience.retry import wait_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trimtab.providers.resilience.guards import Guard
    from trimtab.providers.resilience.policy import RetryPolicy

__all__ = ["Attempt", "Attempts", "Final", "FinalReason", "Refused"]

FinalReason = Literal["begun", "request", "attempts", "deadline", "wait", "budget", "open", "chain"]
"""Why no further attempt is made: the caller has part of an answer; the request is at fault; `max_attempts` are used
up; no time is left; the upstream asks for a longer wait than is waited; the retry budget is used up; circuits are open;
the chain has ended."""


class Attempt(NamedTuple):
    """Send the request."""

    target: int
    """Index in the chain."""
    delay_seconds: float = 0.0
    """Where not 0: wait for so long, then ask `Attempts.resume`."""


class Final(NamedTuple):
    """Give the caller the last answer."""

    reason: FinalReason


class Refused(NamedTuple):
    """Send nothing: every target's circuit is open."""

    retry_after_seconds: float
    """Until one of them may be probed."""


class Attempts:
    """The attempts of one call over its chain of targets, each given by its guard.

    Only a call that meets an obstacle needs them. The usual call asks its first target's breaker for a ticket, and on
    success tells breaker and budget; this is made when there is no ticket (`first`), or with the ticket when the first
    attempt failed (`after`). From then on it keeps the breakers' and budgets' books.

    Of the attempts, one is kept for each available target further down the chain, so that retries of a failing target
    do not use up its fallbacks. A retry costs its provider's budget; the first request that a call sends to another
    provider does not: it takes the place of one that failed elsewhere.

    A target that is only rate limited is passed over for those behind it, but is called where there is no other: its
    Retry-After may have been about another request's size, and one large request must not stop everybody else's.

    Times are seconds of one monotonic clock; `draw` gives random numbers in [0, 1).
    """

    __slots__ = ("_deadline", "_draw", "_guards", "_met", "_policy", "_retries", "_ticket", "attempts", "index")

    def __init__(
        self,
        policy: RetryPolicy,
        guards: Sequence[Guard],
        *,
        deadline: float,
        draw: Callable[[], float],
        ticket: int = 0,
    ) -> None:
        """`ticket`: that of the first attempt, on the first target, where it was made already."""
        self._policy = policy
        self._guards = guards
        self._deadline = deadline
        self._draw = draw
        self._ticket = ticket
        self._met = {guards[0].provider} if ticket else set[str]()
        self._retries = 0
        self.attempts = 1 if ticket else 0
        """Requests sent so far."""
        self.index = 0
        """Target of the last attempt: its index in the chain."""

    def first(self, now: float) -> Attempt | Refused:
        """Return the first attempt."""
        sent = self._move(0, now)
        if isinstance(sent, Attempt):
            return sent
        return Refused(min(guard.breaker.seconds_left(now) for guard in self._guards))

    def after(self, result: AttemptResult, now: float) -> Attempt | Final:
        """Return what follows the failure of the last attempt."""
        failure = classify(result, self._policy)
        self._blame(failure, result, now)
        stop = self._stop(failure, result, now)
        if stop is not None:
            return Final(stop)
        held: FinalReason = "chain"
        if failure.again:
            again = self._again(result, now)
            if isinstance(again, Attempt):
                return again
            held = again
        if not failure.elsewhere:
            return Final(held)
        moved = self._move(self.index + 1, now)
        if isinstance(moved, Attempt):
            return moved
        return Final(held if moved == "chain" else moved)

    def resume(self, now: float) -> Attempt | Final:
        """Return the attempt that was waited for, or another in its place: its circuit may have opened meanwhile."""
        if now >= self._deadline:
            return Final("deadline")
        breaker = self._guards[self.index].breaker
        ticket = breaker.allow(now)
        if ticket:
            return self._send(self.index, ticket)
        moved = self._move(self.index + 1, now)
        if isinstance(moved, Attempt):
            return moved
        ticket = breaker.allow_limited()
        return self._send(self.index, ticket) if ticket else Final("open")

    def skip(self, now: float) -> Attempt | Final:
        """Return what takes the place of the last attempt, which could not be sent at all."""
        self.abandon()
        self.attempts -= 1
        if now >= self._deadline:
            return Final("deadline")
        moved = self._move(self.index + 1, now)
        return moved if isinstance(moved, Attempt) else Final(moved)

    def answering(self) -> None:
        """Book that the last attempt's answer has begun: a half-open circuit need not wait for its end."""
        breaker = self._guards[self.index].breaker
        if breaker.probing:
            breaker.succeeded(self._ticket)

    def succeeded(self) -> None:
        """Book the success of the last attempt."""
        guard = self._guards[self.index]
        guard.breaker.succeeded(self._ticket)
        self._ticket = 0
        guard.budget.deposit()

    def abandon(self) -> None:
        """Book that the caller went away: it says nothing of the target."""
        self._guards[self.index].breaker.released(self._ticket)
        self._ticket = 0

    # --- inner workings -----------------------------------------------------------------------------------------

    def _stop(self, failure: Failure, result: AttemptResult, now: float) -> FinalReason | None:
        if result.begun:
            return "begun"
        if not failure.again and not failure.elsewhere:
            return "request"
        if self.attempts >= self._policy.max_attempts:
            return "attempts"
        return "deadline" if now >= self._deadline else None

    def _blame(self, failure: Failure, result: AttemptResult, now: float) -> None:
        breaker = self._guards[self.index].breaker
        ticket, self._ticket = self._ticket, 0
        if failure.blame == "target":
            breaker.failed(ticket, now, failure=str(result.status) if result.status else result.code)
        elif failure.blame == "request":
            breaker.succeeded(ticket)
        elif failure.blame == "limit" and (result.retry_after or not failure.again):
            # Used up for long where nobody says for how long: the breaker cuts it to what it passes over at most.
            seconds = result.retry_after if result.retry_after is not None else float("inf")
            breaker.limited(ticket, now, seconds=seconds)
        else:
            breaker.released(ticket)

    def _again(self, result: AttemptResult, now: float) -> Attempt | FinalReason:
        """Return a retry of the same target, or why there is none."""
        behind = sum(guard.breaker.available(now) for guard in self._guards[self.index + 1 :])
        if self._policy.max_attempts - self.attempts <= behind:
            return "attempts"
        guard = self._guards[self.index]
        delay = wait_seconds(self._policy, self._retries, self._draw(), retry_after=result.retry_after)
        if delay is None:
            return "wait"
        if now + delay >= self._deadline:
            return "deadline"
        if not guard.breaker.available(now + delay):
            return "open"
        if not guard.budget.withdraw(now):
            return "budget"
        self._retries += 1
        return Attempt(self.index, delay) if delay > 0 else self._send(self.index, guard.breaker.allow(now))

    def _move(self, start: int, now: float) -> Attempt | FinalReason:
        """Return an attempt on the first target from `start` on that takes one, limited ones last, or why none does."""
        reason: FinalReason = "chain"
        limited = None
        for index in range(start, len(self._guards)):
            guard = self._guards[index]
            if not guard.breaker.available(now):
                reason = "open"
                if limited is None and guard.breaker.is_limited(now):
                    limited = index
            elif guard.provider in self._met and not guard.budget.withdraw(now):
                reason = "budget"
            else:
                return self._send(index, guard.breaker.allow(now))
        if limited is not None and (
            self._guards[limited].provider not in self._met or self._guards[limited].budget.withdraw(now)
        ):
            return self._send(limited, self._guards[limited].breaker.allow_limited())
        return reason

    def _send(self, index: int, ticket: int) -> Attempt:
        if index != self.index:
            self._retries = 0
        self.index = index
        self._ticket = ticket
        self._met.add(self._guards[index].provider)
        self.attempts += 1
        return Attempt(index)
