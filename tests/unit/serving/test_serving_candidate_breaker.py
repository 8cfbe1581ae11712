"""When a process takes a candidate out by itself, and when it had better not."""

from __future__ import annotations

import random

import pytest

from trimtab.events import Arm, Generation
from trimtab.serving.candidate_breaker import CandidateBreaker


def outcome(arm: Arm, unit: str, *, failed: bool, code: str = "upstream_status_400") -> Generation:
    return Generation(
        id="gen", at_ms=0, feature="f", environment="e", release="r", arm=arm, unit=unit, rollout="ro_1",
        status="error" if failed else "ok", error_code=code if failed else "",
    )  # fmt: skip


def failing_candidate(breaker: CandidateBreaker, units: list[str]) -> list[bool]:
    """What is said to one failing call of the candidate per unit, each beside a call of stable that is well."""
    said = []
    for unit in units:
        breaker.note(outcome("matched_control", "c", failed=False))
        said.append(breaker.note(outcome("candidate", unit, failed=True)))
    return said


def test_five_users_in_a_row_whose_calls_fail_take_the_candidate_out_once() -> None:
    breaker = CandidateBreaker()
    said = failing_candidate(breaker, [f"u{number}" for number in range(8)])
    assert said == [False] * 4 + [True, False, False, False]
    assert (breaker.tripped, breaker.error_code, breaker.failed_units) == (True, "upstream_status_400", 5)


def test_a_fault_in_the_middle_of_a_healthy_rollout_is_noticed_as_fast() -> None:
    breaker = CandidateBreaker()
    for number in range(5_000):
        assert not breaker.note(outcome("stable", "s", failed=False))
        assert not breaker.note(outcome("candidate", f"u{number}", failed=False))
    assert failing_candidate(breaker, [f"u{number}" for number in range(5)])[-1]


def test_one_user_who_meets_errors_again_and_again_is_one_user() -> None:
    breaker = CandidateBreaker()
    assert not any(failing_candidate(breaker, ["the same"] * 500))
    assert not any(failing_candidate(CandidateBreaker(), ["a", "b", "c", "d"] * 100))


@pytest.mark.parametrize("arm", ["shadow", "candidate"])
def test_mirrored_and_broken_off_calls_say_nothing(arm: Arm) -> None:
    breaker = CandidateBreaker()
    for number in range(100):
        breaker.note(outcome("stable", "s", failed=False))
        generation = outcome(arm, f"u{number}", failed=True)
        if arm == "candidate":
            generation = Generation(id="g", at_ms=0, feature="f", environment="e", release="r", arm=arm,
                                    unit=f"u{number}", rollout="ro_1", status="aborted")  # fmt: skip
        assert not breaker.note(generation)


def test_without_anybody_on_stable_there_is_nothing_to_compare_with() -> None:
    breaker = CandidateBreaker()
    assert not any(breaker.note(outcome("candidate", f"u{number}", failed=True)) for number in range(1_000))
    # whoever answers next is compared with what is concurrent: the newest few
    said = [breaker.note(outcome("matched_control", "c", failed=False)) for _ in range(10)]
    assert said.index(True) == 4


@pytest.mark.parametrize("candidate_share", [0.02, 0.5, 0.95])
def test_an_outage_that_hits_both_arms_takes_nobody_out(candidate_share: float) -> None:
    draw = random.Random(7)
    breaker = CandidateBreaker()
    for number in range(20_000):
        failed = number >= 2_000
        arm: Arm = "candidate" if draw.random() < candidate_share else "stable"
        assert not breaker.note(outcome(arm, f"u{number}", failed=failed)), number


@pytest.mark.parametrize("candidate_share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05, 0.2, 0.5, 0.9, 1.0])
def test_a_candidate_that_fails_as_often_as_stable_stays(rate: float, candidate_share: float) -> None:
    draw = random.Random(f"{rate} {candidate_share}")
    breaker = CandidateBreaker()
    for number in range(30_000):
        arm: Arm = "candidate" if draw.random() < candidate_share else "stable"
        assert not breaker.note(outcome(arm, f"u{number}", failed=draw.random() < rate)), number


@pytest.mark.parametrize(("rate", "within"), [(0.95, 15), (0.7, 40), (0.4, 120)])
def test_the_plainer_the_failure_the_sooner_it_is_noticed(rate: float, within: int) -> None:
    needed = []
    for seed in range(200):
        draw = random.Random(seed)
        breaker = CandidateBreaker()
        for number in range(10_000):
            breaker.note(outcome("stable", "s", failed=draw.random() < 0.01))
            if breaker.note(outcome("candidate", f"u{number}", failed=draw.random() < rate)):
                needed.append(number)
                break
    assert len(needed) == 200
    assert sorted(needed)[100] <= within
