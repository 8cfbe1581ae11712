"""The attempts of one call: order, limits, budgets, circuits, deadline."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from trimtab.core.clock import FakeClock
from trimtab.providers.resilience import (
    Attempt,
    AttemptResult,
    Attempts,
    BreakerPolicy,
    Final,
    Guard,
    Guards,
    Refused,
    RetryPolicy,
    classify,
)

UNWELL = AttemptResult(503)
WRONG = AttemptResult(400)
TIMEOUT = AttemptResult(0, "upstream_timeout")


def chain(
    *names: str, retry: RetryPolicy | None = None, breaker: BreakerPolicy | None = None, draw: float = 0.5
) -> tuple[Guards, list[Guard]]:
    guards = Guards(retry or RetryPolicy(), breaker or BreakerPolicy(), lambda: draw)
    return guards, [guards.find(name.partition("/")[0], name.partition("/")[2], 0.0) for name in names]


def begun(guards: Guards, targets: list[Guard], now: float = 0.0, *, deadline: float = 600.0) -> Attempts:
    """A call whose first attempt was sent the usual way."""
    ticket = targets[0].breaker.allow(now)
    assert ticket
    return Attempts(guards.retry, targets, deadline=deadline, draw=guards.draw, ticket=ticket)


def started(guards: Guards, targets: list[Guard], *, deadline: float = 600.0) -> Attempts:
    return Attempts(guards.retry, targets, deadline=deadline, draw=guards.draw)


def break_circuit(target: Guard, now: float = 0.0) -> None:
    while ticket := target.breaker.allow(now):
        target.breaker.failed(ticket, now, failure="503")


def waited(step: object) -> float:
    assert isinstance(step, Attempt)
    return step.delay_seconds


def test_the_same_target_is_asked_again_with_growing_jittered_waits() -> None:
    guards, targets = chain("openai/a", retry=RetryPolicy(max_attempts=4))
    call = begun(guards, targets)
    waits, now = [], 0.0
    for _ in range(3):
        step = call.after(UNWELL, now)
        waits.append(waited(step))
        now += waited(step)
        assert call.resume(now) == Attempt(0)
    assert waits == [0.125, 0.25, 0.5]
    assert call.after(UNWELL, now) == Final("attempts")
    assert call.attempts == 4


def test_one_attempt_is_kept_for_each_fallback() -> None:
    guards, targets = chain("openai/a", "openai/b", "anthropic/c", retry=RetryPolicy(max_attempts=4))
    call = begun(guards, targets)
    now = waited(call.after(UNWELL, 0.0))
    assert call.resume(now) == Attempt(0)
    assert call.after(UNWELL, now) == Attempt(1)
    assert call.after(UNWELL, now) == Attempt(2)
    assert call.after(UNWELL, now) == Final("attempts")


def test_an_attempt_is_not_kept_for_a_fallback_whose_circuit_is_open() -> None:
    guards, targets = chain("openai/a", "anthropic/c", retry=RetryPolicy(max_attempts=2))
    break_circuit(targets[1])
    call = begun(guards, targets)
    assert waited(call.after(UNWELL, 0.0)) > 0


def test_a_wrong_request_is_wrong_everywhere_and_nobody_is_blamed() -> None:
    guards, targets = chain("openai/a", "anthropic/c")
    assert begun(guards, targets).after(WRONG, 0.0) == Final("request")
    assert targets[0].breaker.health(0.0)[:3] == ("closed", 1, 0)


def test_a_refused_key_goes_to_the_fallback_at_once_and_counts() -> None:
    guards, targets = chain("openai/a", "anthropic/c")
    call = begun(guards, targets)
    assert call.after(AttemptResult(401), 0.0) == Attempt(1)
    assert targets[0].breaker.health(0.0).last_failure == "401"
    call.succeeded()
    assert (call.attempts, call.index) == (2, 1)
    assert targets[1].breaker.health(0.0)[:3] == ("closed", 1, 0)


def test_a_timeout_goes_to_the_fallback_or_is_answered() -> None:
    guards, targets = chain("openai/a", "anthropic/c")
    assert begun(guards, targets).after(TIMEOUT, 0.0) == Attempt(1)
    assert begun(guards, targets[:1]).after(TIMEOUT, 0.0) == Final("chain")


def test_nothing_is_tried_again_once_the_caller_has_a_byte() -> None:
    guards, targets = chain("openai/a", "anthropic/c")
    result = AttemptResult(0, "upstream_disconnected", begun=True)
    assert begun(guards, targets).after(result, 0.0) == Final("begun")
    assert targets[0].breaker.health(0.0).failures == 1


def test_a_short_retry_after_is_waited_for_and_others_pass_the_target_over_meanwhile() -> None:
    guards, targets = chain("openai/a", "anthropic/c")
    call = begun(guards, targets)
    wait = waited(call.after(AttemptResult(429, retry_after=2.0), 0.0))
    assert wait == 2.0 + 0.125
    assert started(guards, targets).first(1.0) == Attempt(1)
    assert call.resume(wait) == Attempt(0)


def test_a_long_retry_after_is_not_waited_for() -> None:
    guards, targets = chain("openai/a", "anthropic/c")
    assert begun(guards, targets).after(AttemptResult(429, retry_after=30.0), 0.0) == Attempt(1)
    guards, targets = chain("openai/a")
    assert begun(guards, targets).after(AttemptResult(429, retry_after=30.0), 0.0) == Final("wait")


def test_a_rate_limited_target_is_called_where_there_is_no_other() -> None:
    guards, targets = chain("openai/a", "anthropic/c")
    targets[0].breaker.limited(targets[0].breaker.allow(0.0), 0.0, seconds=30)
    assert started(guards, targets[:1]).first(1.0) == Attempt(0)
    break_circuit(targets[1], 1.0)
    assert started(guards, targets).first(1.0) == Attempt(0)


def test_open_circuits_are_skipped_and_with_all_of_them_open_nothing_is_sent() -> None:
    guards, targets = chain("openai/a", "anthropic/c", draw=1.0)
    break_circuit(targets[0], 0.0)
    assert started(guards, targets).first(0.5) == Attempt(1)
    break_circuit(targets[1], 1.0)
    assert started(guards, targets).first(1.5) == Refused(0.5)
    assert started(guards, targets).first(2.0) == Attempt(0)  # the probe
    assert started(guards, targets).first(2.5) == Refused(0.5)
    assert started(guards, targets).first(3.0) == Attempt(1)


def test_a_failure_that_opens_the_circuit_is_not_asked_again() -> None:
    guards, targets = chain("openai/a", breaker=BreakerPolicy(consecutive_failures=1))
    assert begun(guards, targets).after(UNWELL, 0.0) == Final("open")


def test_a_circuit_that_opened_during_the_wait_sends_the_call_elsewhere() -> None:
    guards, targets = chain("openai/a", "anthropic/c")
    call = begun(guards, targets)
    wait = waited(call.after(UNWELL, 0.0))
    break_circuit(targets[0], wait)
    assert call.resume(wait) == Attempt(1)
    alone = begun(guards, targets[1:])
    wait = waited(alone.after(UNWELL, 0.0))
    break_circuit(targets[1], wait)
    assert alone.resume(wait) == Final("open")


def test_retries_draw_on_the_providers_budget_and_fallbacks_to_another_provider_do_not() -> None:
    stingy = RetryPolicy(budget_ratio=0.0, budget_per_second=0.1)  # one in ten seconds
    guards, targets = chain("openai/a", "openai/b", "anthropic/c", retry=stingy)
    assert waited(begun(guards, targets[:1]).after(UNWELL, 0.0)) > 0
    assert begun(guards, targets[:1]).after(UNWELL, 0.0) == Final("budget")
    assert begun(guards, targets[:2]).after(UNWELL, 0.0) == Final("budget")
    for _ in range(5):
        assert begun(guards, targets).after(UNWELL, 0.0) == Attempt(2)
    assert guards.health(0.0)[1].retries_refused > 0


def test_no_attempt_begins_at_or_after_the_deadline() -> None:
    guards, targets = chain("openai/a", "anthropic/c")
    assert begun(guards, targets, deadline=0.1).after(UNWELL, 0.05) == Attempt(1)  # the wait would pass it
    assert begun(guards, targets[:1], deadline=0.1).after(UNWELL, 0.05) == Final("deadline")
    assert begun(guards, targets, deadline=0.1).after(UNWELL, 0.1) == Final("deadline")
    late = begun(guards, targets, deadline=10.0)
    late.after(UNWELL, 0.0)
    assert late.resume(10.0) == Final("deadline")


def test_one_attempt_means_one() -> None:
    guards, targets = chain("openai/a", "anthropic/c", retry=RetryPolicy(max_attempts=1))
    assert begun(guards, targets).after(UNWELL, 0.0) == Final("attempts")


def test_a_caller_that_leaves_during_a_wait_does_not_free_somebody_elses_probe() -> None:
    guards, targets = chain("openai/a", breaker=BreakerPolicy(consecutive_failures=1), draw=1.0)
    break_circuit(targets[0], 0.0)
    call = started(guards, targets)
    assert call.first(2.0) == Attempt(0)
    assert waited(call.after(AttemptResult(409), 2.0)) > 0  # its place is free while it waits
    other = started(guards, targets)
    assert other.first(2.1) == Attempt(0)
    call.abandon()
    assert targets[0].breaker.allow(2.1) == 0
    other.abandon()
    assert targets[0].breaker.allow(2.1)


RESULTS = st.builds(
    AttemptResult,
    status=st.sampled_from([0, 400, 401, 408, 409, 429, 500, 503, 529]),
    code=st.sampled_from(["", "upstream_timeout", "upstream_unreachable", "insufficient_quota", "upstream_closed"]),
    retry_after=st.none() | st.floats(0, 20),
    should_retry=st.none() | st.booleans(),
    begun=st.booleans(),
)


class Calls(RuleBasedStateMachine):
    """Many calls over shared targets: whatever happens, what was promised about retries holds."""

    @initialize(
        names=st.lists(st.sampled_from(["a/1", "a/2", "b/1", "c/1"]), min_size=1, max_size=4, unique=True),
        max_attempts=st.integers(1, 5),
        ratio=st.floats(0, 0.5),
        floor=st.floats(0, 0.3),
        breakers=st.sampled_from(["enabled", "disabled"]),
        draw=st.floats(0, 1, exclude_max=True),
    )
    def begin(
        self, names: list[str], max_attempts: int, ratio: float, floor: float, breakers: str, draw: float
    ) -> None:
        self.policy = RetryPolicy(max_attempts=max_attempts, budget_ratio=ratio, budget_per_second=floor)
        breaker = BreakerPolicy(enabled=breakers == "enabled", consecutive_failures=3, minimum_calls=5, probe_seconds=3)
        self.clock = FakeClock(0)
        self.guards, self.targets = chain(*names, retry=self.policy, breaker=breaker, draw=draw)
        self.successes = dict.fromkeys((target.provider for target in self.targets), 0)
        self.retries = dict.fromkeys(self.successes, 0)
        self.calls: list[Attempts] = []  # kept alive: `met` is keyed by their ids
        self.met: dict[int, set[str]] = {}
        self.flying: list[tuple[Attempts, float]] = []
        self.waiting: list[tuple[Attempts, float, float]] = []

    @property
    def now(self) -> float:
        return self.clock.monotonic_ns() * 1e-9

    def took(
        self, call: Attempts, step: Attempt | Final | Refused, deadline: float, *, before: int, after_wait: int = -1
    ) -> None:
        """`after_wait`: the target that was waited for, where one was."""
        waited_for = isinstance(step, Attempt) and step.target == after_wait
        if not isinstance(step, Attempt):
            assert call.attempts == before
            return
        provider = self.targets[step.target].provider
        met = self.met.setdefault(id(call), set())
        self.retries[provider] += provider in met and not waited_for
        met.add(provider)
        if step.delay_seconds > 0:
            assert self.now + step.delay_seconds < deadline
            assert call.attempts == before < self.policy.max_attempts
            self.waiting.append((call, self.now + step.delay_seconds, deadline))
        else:
            assert self.now < deadline
            assert call.attempts == before + 1 <= self.policy.max_attempts
            state = self.targets[step.target].breaker.health(self.now).state
            assert state != "open"
            self.flying.append((call, deadline))
        for name, sent in self.retries.items():
            earned = self.policy.budget_ratio * self.successes[name]
            assert sent <= earned + self.policy.budget_per_second * (self.now + 10) + 1e-6

    @rule(seconds=st.floats(0, 5))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.floats(0.01, 3))
    def one_call(self, seconds: float) -> None:
        self.call(seconds)

    def call(self, seconds: float) -> None:
        deadline = self.now + seconds
        call = Attempts(self.policy, self.targets, deadline=deadline, draw=self.guards.draw)
        self.calls.append(call)
        before = [target.breaker.health(self.now).state for target in self.targets]
        step = call.first(self.now)
        if isinstance(step, Refused):
            assert step.retry_after_seconds > 0
            assert set(before) <= {"open", "half_open"}
        self.took(call, step, deadline, before=0)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def success(self, data: st.DataObject) -> None:
        self.succeed(data.draw(st.integers(0, len(self.flying) - 1)))

    def succeed(self, which: int) -> None:
        call, _ = self.flying.pop(which)
        self.successes[self.targets[call.index].provider] += 1
        call.succeeded()

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), result=RESULTS)
    def failure(self, data: st.DataObject, result: AttemptResult) -> None:
        self.fail(data.draw(st.integers(0, len(self.flying) - 1)), result)

    @rule(
        calls=st.integers(1, 15),
        seconds=st.floats(0.05, 3),
        answer_seconds=st.floats(0, 4),
        result=st.just(UNWELL) | RESULTS,
    )
    def an_outage(self, calls: int, seconds: float, answer_seconds: float, result: AttemptResult) -> None:
        for _ in range(calls):
            self.call(seconds)
        self.clock.advance(answer_seconds)
        while self.flying:
            self.fail(0, result)

    @rule(calls=st.integers(1, 15))
    def a_good_while(self, calls: int) -> None:
        for _ in range(calls):
            self.call(600)
        while self.flying:
            self.succeed(0)

    @rule()
    def every_wait_ends(self) -> None:
        while self.waiting:
            self.end_wait(0)

    def fail(self, which: int, result: AttemptResult) -> None:
        call, deadline = self.flying.pop(which)
        before, index = call.attempts, call.index
        step = call.after(result, self.now)
        meaning = classify(result, self.policy)
        if result.begun or (not meaning.again and not meaning.elsewhere) or self.now >= deadline:
            assert isinstance(step, Final)
        if isinstance(step, Attempt):
            assert step.target > index if not meaning.again else step.target >= index
        self.took(call, step, deadline, before=before)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def wait_ends(self, data: st.DataObject) -> None:
        self.end_wait(data.draw(st.integers(0, len(self.waiting) - 1)))

    def end_wait(self, which: int) -> None:
        call, due, deadline = self.waiting.pop(which)
        self.clock.advance(max(0.0, due - self.now) + 1e-6)
        before, index = call.attempts, call.index
        self.took(call, call.resume(self.now), deadline, before=before, after_wait=index)

    @precondition(lambda self: self.flying or self.waiting)
    @rule(data=st.data())
    def caller_leaves(self, data: st.DataObject) -> None:
        if self.flying:
            self.flying.pop()[0].abandon()
        else:
            self.waiting.pop()[0].abandon()


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)


def test_the_same_names_have_the_same_guard_and_a_provider_one_budget() -> None:
    guards, [first, second, other] = chain("openai/a", "openai/b", "anthropic/a")
    assert guards.find("openai", "a", 9.0) is first
    assert first.budget is second.budget is not other.budget
    assert [(one.provider, one.model, one.breaker.state) for one in guards.health(0.0)] == [
        ("anthropic", "a", "closed"),
        ("openai", "a", "closed"),
        ("openai", "b", "closed"),
    ]


@pytest.mark.parametrize("draw", [0.0, 0.999])
def test_a_wait_of_nothing_is_an_attempt_at_once(draw: float) -> None:
    guards, targets = chain("openai/a", draw=draw, retry=RetryPolicy(base_seconds=0))
    call = begun(guards, targets)
    assert call.after(UNWELL, 0.0) == Attempt(0, 0.0)
    assert call.attempts == 2
