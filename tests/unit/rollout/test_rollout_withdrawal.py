"""A process took the candidate out by itself: the controller withdraws it everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trimtab.events import Withdrawal

if TYPE_CHECKING:
    from collections.abc import Callable


def told(world: Any, *, rollout: str = "") -> Withdrawal:
    return Withdrawal(
        id="wd_1", at_ms=world.clock.now_ms(), feature="f", environment="e", process="gateway-7", error_code="bad",
        rollout=rollout or world.id, reason="5 units in a row met errors of the candidate (last: bad)",
    )  # fmt: skip


@pytest.mark.parametrize("steering", [None, "pause"])
def test_one_process_that_saw_it_fail_is_enough(world: Callable[[], Any], steering: str | None) -> None:
    here = world()
    here.tick()
    if steering:
        here.command(steering)
    here.queue.append(told(here))
    here.tick()
    here.tick()
    rollout = here.rollout()
    assert rollout.state == "rolled_back"
    assert rollout.reason == (
        "gateway-7 took the candidate out of service: 5 units in a row met errors of the candidate (last: bad)"
    )
    assert here.route() is None
    assert here.pointer() == here.stable.digest


def test_a_word_about_an_attempt_that_is_over_changes_nothing(world: Callable[[], Any]) -> None:
    here = world()
    here.tick()
    before = here.rollout()
    here.queue.append(told(here, rollout="ro_other"))
    here.tick()
    assert here.rollout().state == before.state


def test_it_is_decided_in_the_commit_that_takes_it_through_any_crash(world: Callable[[], Any]) -> None:
    for countdown in range(200):
        here = world()
        here.tick()
        here.queue.append(told(here))
        crashes = here.tick_through_crashes([countdown, countdown])
        here.tick()
        assert here.rollout().state == "rolled_back", countdown
        if not crashes:
            return
    pytest.fail("it never ran to its end without a crash")
