from __future__ import annotations

from trimtab.core.clock import FakeClock, SystemClock


def test_the_fake_clock_moves_only_when_told() -> None:
    clock = FakeClock(now_ms=1000)
    assert (clock.now_ms(), clock.now_ms()) == (1000, 1000)
    clock.advance(1.5)
    assert clock.now_ms() == 2500
    assert clock.monotonic_ns() == 2_500_000_000


def test_the_system_clock_is_monotonic() -> None:
    clock = SystemClock()
    assert clock.monotonic_ns() <= clock.monotonic_ns()
    assert clock.now_ms() > 1_700_000_000_000
