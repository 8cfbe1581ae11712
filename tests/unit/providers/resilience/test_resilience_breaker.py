"""The circuit breaker: when it opens, how it finds out, what it never does."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trimtab.core.clock import FakeClock
from trimtab.providers.resilience import BreakerPolicy, CircuitBreaker

POLICY = BreakerPolicy(
    failure_rate=0.5,
    minimum_calls=20,
    window_seconds=10,
    consecutive_failures=5,
    open_seconds=2,
    max_open_seconds=60,
    probe_seconds=5,
)


def breaker(policy: BreakerPolicy = POLICY, *, draw: float = 1.0) -> CircuitBreaker:
    return CircuitBreaker(policy, lambda: draw)


def fail(one: CircuitBreaker, now: float, times: int = 1) -> None:
    for _ in range(times):
        one.failed(one.allow(now), now, failure="503")


def succeed(one: CircuitBreaker, now: float, times: int = 1) -> None:
    for _ in range(times):
        one.succeeded(one.allow(now))


def test_failures_in_a_row_open_it() -> None:
    one = breaker()
    fail(one, 1.0, 4)
    succeed(one, 1.0)
    fail(one, 1.0, 4)
    assert one.allow(1.0)
    fail(one, 1.0)
    assert one.allow(1.0) == 0
    health = one.health(1.0)
    assert (health.state, health.seconds_left, health.opened, health.last_failure) == ("open", 2.0, 1, "503")


def test_a_rate_of_failures_opens_it_once_there_are_enough_calls() -> None:
    one = breaker()
    for _ in range(9):
        succeed(one, 1.0)
        fail(one, 1.0)
    assert one.health(1.0)[:3] == ("closed", 18, 9)
    succeed(one, 1.5)
    assert one.health(1.5).state == "closed"
    fail(one, 1.5)
    assert one.health(1.5).state == "open"


def test_failures_that_left_the_window_no_longer_count() -> None:
    one = breaker()
    for _ in range(15):
        fail(one, 1.0)
        succeed(one, 1.0, 2)
    assert one.health(1.0)[:3] == ("closed", 45, 15)
    assert one.health(10.9).calls == 45
    assert one.health(11.1).calls == 0
    fail(one, 11.1)
    assert one.health(11.1)[:3] == ("closed", 1, 1)


def test_old_successes_do_not_hide_an_outage() -> None:
    one = breaker(BreakerPolicy(window_seconds=10, minimum_calls=20, consecutive_failures=1000))
    for second in range(3600):
        succeed(one, float(second), 3)
    now, opened_at = 3600.0, 0.0
    while not opened_at:
        now += 1 / 3
        fail(one, now)
        opened_at = now if one.health(now).state == "open" else 0.0
    assert opened_at < 3600 + 7


def test_half_open_lets_one_probe_through_and_a_success_closes() -> None:
    one = breaker()
    fail(one, 1.0, 5)
    assert one.allow(2.9) == 0
    probe = one.allow(3.0)
    assert probe
    assert one.health(3.0).state == "half_open"
    assert one.allow(3.1) == 0
    assert not one.available(3.1)
    one.succeeded(probe)
    assert one.health(3.2)[:4] == ("closed", 0, 0, 0)
    assert one.allow(3.2)


def test_as_many_probes_as_asked_for_must_succeed() -> None:
    one = breaker(BreakerPolicy(consecutive_failures=1, open_seconds=2, probes_to_close=3))
    fail(one, 1.0)
    for _ in range(3):
        assert one.health(3.0).state in {"open", "half_open"}
        probe = one.allow(3.0)
        assert one.allow(3.0) == 0
        one.succeeded(probe)
    assert one.health(3.0).state == "closed"


def test_failed_probes_double_the_wait_up_to_the_limit() -> None:
    one = breaker()
    fail(one, 1.0, 5)
    now, waits = 1.0, []
    for _ in range(8):
        left = one.health(now).seconds_left
        waits.append(left)
        now += left
        one.failed(one.allow(now), now)
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


def test_the_wait_is_jittered_by_a_quarter() -> None:
    one = breaker(draw=0.0)
    fail(one, 1.0, 5)
    assert one.health(1.0).seconds_left == 1.5


def test_after_a_good_while_closed_the_wait_starts_small_again() -> None:
    one = breaker()
    fail(one, 1.0, 5)
    one.failed(one.allow(3.0), 3.0)
    assert one.health(3.0).seconds_left == 4
    one.succeeded(one.allow(7.0))
    fail(one, 8.0, 5)
    assert one.health(8.0).seconds_left == 8  # flapping: it keeps growing
    one.succeeded(one.allow(16.0))
    fail(one, 80.0, 5)
    assert one.health(80.0).seconds_left == 2


def test_results_of_calls_from_before_the_circuit_opened_change_nothing() -> None:
    one = breaker()
    old = one.allow(1.0)
    fail(one, 1.0, 5)
    one.succeeded(old)
    assert one.allow(1.0) == 0
    probe = one.allow(3.0)
    one.failed(old, 3.0)
    one.succeeded(old)
    assert one.health(3.0).state == "half_open"
    one.succeeded(probe)
    one.failed(probe, 3.0)
    assert one.health(3.0)[:3] == ("closed", 0, 0)


def test_a_slow_probe_keeps_others_out_for_a_while_only_and_still_counts() -> None:
    one = breaker()
    fail(one, 1.0, 5)
    slow = one.allow(3.0)
    assert one.allow(7.9) == 0
    assert one.allow(8.0)
    assert one.allow(8.1) == 0
    one.succeeded(slow)
    assert one.health(8.2).state == "closed"


def test_a_probe_whose_caller_went_away_frees_its_place() -> None:
    one = breaker()
    fail(one, 1.0, 5)
    first = one.allow(3.0)
    one.released(first)
    second = one.allow(3.0)
    assert second
    one.released(first)  # the place is the second's now
    assert one.allow(3.0) == 0


def test_a_rate_limited_target_is_passed_over_without_being_called_broken() -> None:
    one = breaker()
    for _ in range(30):
        one.limited(one.allow_limited(), 1.0, seconds=7)
    assert one.allow(1.0) == 0
    assert one.is_limited(1.0)
    assert one.allow_limited()
    health = one.health(1.0)
    assert (health.state, health.failures, health.seconds_left) == ("limited", 0, 7.0)
    assert one.allow(8.0)
    assert one.health(8.0).state == "closed"


def test_nobody_is_passed_over_for_an_hour() -> None:
    one = breaker()
    one.limited(one.allow(1.0), 1.0, seconds=float("inf"))
    assert one.health(1.0).seconds_left == 60


def test_a_probe_that_meets_a_rate_limit_closes_the_circuit() -> None:
    one = breaker()
    fail(one, 1.0, 5)
    one.limited(one.allow(3.0), 3.0, seconds=2)
    assert one.health(3.0).state == "limited"
    assert one.allow(5.0)


def test_an_open_circuit_gives_no_ticket_to_whoever_has_no_other_target() -> None:
    one = breaker()
    fail(one, 1.0, 5)
    assert one.allow_limited() == 0


def test_where_it_is_disabled_everything_is_let_through() -> None:
    one = breaker(BreakerPolicy(enabled=False, consecutive_failures=1))
    fail(one, 1.0, 100)
    one.limited(one.allow(1.0), 1.0, seconds=60)
    assert one.allow(1.0)
    assert one.available(1.0)
    assert one.health(1.0).state == "closed"


def test_it_tells_when_it_opens_and_closes() -> None:
    told: list[str] = []
    one = CircuitBreaker(POLICY, lambda: 1.0, told.append)
    fail(one, 1.0, 5)
    one.failed(one.allow(3.0), 3.0)
    one.succeeded(one.allow(7.0))
    assert told == ["open", "open", "closed"]


class Breaker(RuleBasedStateMachine):
    """Any calls, any results in any order, against the rules a user relies on."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = BreakerPolicy(
            minimum_calls=6,
            window_seconds=10,
            consecutive_failures=4,
            open_seconds=2,
            max_open_seconds=10,
            probe_seconds=3,
            probes_to_close=2,
        )
        self.clock = FakeClock(1_000_000)
        self.draws = 0.5
        self.breaker = CircuitBreaker(self.policy, lambda: self.draws)
        self.pending: list[int] = []
        self.probes: dict[int, float] = {}
        self.state = "closed"
        self.opened_at = 0.0

    @property
    def now(self) -> float:
        return self.clock.monotonic_ns() * 1e-9

    def moved(self, *, allowed: set[tuple[str, str]]) -> None:
        before, self.state = self.state, self.breaker.health(self.now).state.replace("limited", "closed")
        assert before == self.state or (before, self.state) in allowed, (before, self.state)
        if self.state == "open" and before != "open":
            self.opened_at = self.now
        if self.state != "half_open":
            self.probes.clear()

    @rule(seconds=st.floats(0, 15))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.moved(allowed=set())

    @rule(draw=st.floats(0, 1, exclude_max=True))
    def chance(self, draw: float) -> None:
        self.draws = draw

    @rule(calls=st.integers(1, 4))
    def several_calls(self, calls: int) -> None:
        for _ in range(calls):
            self.call()

    @rule(failures=st.integers(1, 8))
    def an_outage(self, failures: int) -> None:
        for _ in range(failures):
            self.call()
            if self.pending:
                self.end(self.pending.pop(), "failed")

    @rule()
    def the_wait_ends(self) -> None:
        self.time_passes(self.breaker.seconds_left(self.now) + 1e-6)
        self.call()

    def call(self) -> None:
        promised = self.breaker.available(self.now)
        ticket = self.breaker.allow(self.now)
        assert bool(ticket) == promised
        before = self.state
        self.moved(allowed={("open", "half_open")})
        if ticket:
            self.pending.append(ticket)
            if before == "open":
                assert self.now - self.opened_at >= 2 * 0.75
            if self.state == "half_open":
                in_place = [one for one, since in self.probes.items() if self.now - since < self.policy.probe_seconds]
                assert not in_place, "two probes at once"
                self.probes[ticket] = self.now

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), result=st.sampled_from(["succeeded", "failed", "limited", "released"]))
    def result(self, data: st.DataObject, result: str) -> None:
        self.end(self.pending.pop(data.draw(st.integers(0, len(self.pending) - 1))), result)

    def end(self, ticket: int, result: str) -> None:
        self.probes.pop(ticket, None)
        match result:
            case "succeeded":
                self.breaker.succeeded(ticket)
                self.moved(allowed={("half_open", "closed")})
            case "failed":
                self.breaker.failed(ticket, self.now)
                self.moved(allowed={("closed", "open"), ("half_open", "open")})
            case "limited":
                self.breaker.limited(ticket, self.now, seconds=4)
                self.moved(allowed={("half_open", "closed")})
            case _:
                self.breaker.released(ticket)
                self.moved(allowed=set())

    @invariant()
    def it_never_stays_away_for_longer_than_it_may(self) -> None:
        assert 0 <= self.breaker.seconds_left(self.now) <= 60

    @invariant()
    def it_counts_what_it_should(self) -> None:
        health = self.breaker.health(self.now)
        assert 0 <= health.failures <= health.calls
        if self.state == "closed":
            assert health.consecutive_failures < self.policy.consecutive_failures


TestBreaker = Breaker.TestCase
TestBreaker.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)


@pytest.mark.parametrize("seconds", [0.0, 59.9])
def test_seconds_left_is_never_negative(seconds: float) -> None:
    one = breaker()
    fail(one, 1.0, 5)
    assert one.seconds_left(100.0 + seconds) == 0.0
