"""What a call does when its first model cannot be asked, or failed: waits, asks again, asks a fallback."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Protocol

import msgspec

from trimtab.calls.reader import failure
from trimtab.core.errors import InputError, UpstreamError
from trimtab.providers.http import header
from trimtab.providers.resilience import Attempt, AttemptResult, Attempts, Final, Refused

if TYPE_CHECKING:
    from trimtab.calls.plan import Plan, Target
    from trimtab.calls.reader import Outcome
    from trimtab.providers.resilience import Guards

__all__ = ["Recovery", "Resender"]


class Resender(Protocol):
    """The call that recovers."""

    def now(self) -> float:
        """Seconds of the clock that the guards go by."""
        ...

    def send_to(self, target: Target) -> None:
        """Send the request to a model of the chain; raises `InputError` where that model cannot be asked this."""
        ...

    def wait_is_over(self) -> None:
        """Call `Recovery.resume`."""
        ...

    def time_is_up(self) -> None:
        """End what is under way with what `Recovery.expire` gives."""
        ...


class Recovery:
    """The further attempts of one call; made when it meets its first obstacle.

    All of them together end by `deadline`: an attempt that is still under way then is given up.
    """

    __slots__ = ("_attempts", "_call", "_deadline", "_expired", "_last", "_plan", "_timer", "target")

    def __init__(self, call: Resender, plan: Plan, guards: Guards, *, deadline: float, ticket: int) -> None:
        """`ticket`: that of the first attempt, where one was made."""
        chain = [target.guard for target in plan.targets]
        self._call = call
        self._plan = plan
        self._deadline = deadline
        self._expired = False
        self._attempts = Attempts(guards.retry, chain, deadline=deadline, draw=guards.draw, ticket=ticket)
        self._last: Outcome | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.target = plan.target
        """Whom the last attempt asked."""

    @property
    def attempts(self) -> int:
        """How many requests were sent."""
        return self._attempts.attempts

    @property
    def lines(self) -> bytes:
        """Header lines that tell the caller of it; none where its first request to the release's model was answered."""
        fallback = self.target.fallback
        lines = b"x-trimtab-attempts: %d\r\n" % self.attempts if self.attempts > 1 else b""
        return lines + (b"x-trimtab-fallback: %d\r\n" % fallback if fallback else b"")

    def last_word(self, outcome: Outcome) -> bytes:
        """Return the header line that keeps the caller's client from trying again what was tried again here.

        Retries on two levels multiply. Where the upstream said itself when or whether to try again, that stands.
        """
        if self.attempts <= 1 or outcome.failed is None:
            return b""
        said = any(line in outcome.headers for line in (b"retry-after", b"x-should-retry"))
        return b"" if said else b"x-should-retry: false\r\n"

    def begin(self) -> Outcome | None:
        """Make the first attempt, on whichever target takes it; returns the outcome where none does."""
        step = self._attempts.first(self._call.now())
        if isinstance(step, Refused):
            return self._circuit_open(step.retry_after_seconds)
        return self._take(step)

    def after(self, outcome: Outcome, failed: AttemptResult) -> Outcome | None:
        """Go on after a failed attempt; returns the outcome to give where that was the last."""
        self._stop_timer()
        self._last = outcome
        now = self._call.now()
        if self._expired:
            now = max(now, self._deadline)  # timers may be a moment early
        return self._take(self._attempts.after(failed, now))

    def resume(self) -> Outcome | None:
        """Send what was waited for; returns the outcome to give where that is not to be."""
        self._timer = None
        return self._take(self._attempts.resume(self._call.now()))

    def expire(self) -> UpstreamError:
        """The deadline has come: nothing more is sent. Returns what ends the attempt that is under way."""
        self._timer = None
        self._expired = True
        return UpstreamError("upstream_timeout", f"no complete answer in time; {self.attempts} requests were sent")

    def answering(self) -> None:
        """The answer has begun."""
        self._attempts.answering()

    def succeeded(self) -> None:
        """The answer is complete."""
        self._stop_timer()
        self._attempts.succeeded()

    def abandon(self) -> None:
        """The caller went away: nothing more is sent."""
        self._stop_timer()
        self._attempts.abandon()

    # --- inner workings -----------------------------------------------------------------------------------------

    def _take(self, step: Attempt | Final) -> Outcome | None:
        while isinstance(step, Attempt):
            self.target = target = self._plan.targets[step.target]
            now = self._call.now()
            loop = asyncio.get_running_loop()
            if step.delay_seconds > 0:
                self._timer = loop.call_later(step.delay_seconds, self._call.wait_is_over)
                return None
            try:
                self._call.send_to(target)
            except InputError as error:
                # The release's own model refuses for good reason; that a fallback cannot be asked the same, whose
                # answer never was promised for this request, is no news to the caller.
                if self._last is None:
                    self._last = failure(error)
                step = self._attempts.skip(now)
            else:
                self._timer = loop.call_later(max(0.0, self._deadline - now), self._call.time_is_up)
                return None
        return self._last or failure(UpstreamError("upstream_unavailable", "no model of the release could be asked"))

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _circuit_open(self, seconds: float) -> Outcome:
        guards = [target.guard for target in self._plan.targets]
        now = self._call.now()
        said = ", ".join(
            f"{guard.provider}/{guard.model} (last failure: {guard.breaker.health(now).last_failure})"
            for guard in guards
        )
        wait = max(1, math.ceil(seconds))
        error = UpstreamError(
            "upstream_circuit_open",
            f"nothing was sent: calls kept failing at {said}",
            hint=f"one of them is tried again in {wait} s",
        )
        outcome = failure(error)
        return msgspec.structs.replace(outcome, headers=outcome.headers + header(b"retry-after", str(wait)))
