from __future__ import annotations

import pytest

from trimtab.analysis.evidence import EvidenceState, Phase
from trimtab.analysis.ledger import margins_of
from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.analysis.verdict import Limits, Verdict, judge
from trimtab.analysis.words import odds

FORMAT = MetricSpec(name="format", margin=0.02)
ERROR = MetricSpec(name="error", margin=0.02)


def pairs(
    state: EvidenceState, name: str, count: int, *, control: float, candidate: float, phase: Phase = "live"
) -> None:
    metric = state.phases[phase].metrics[name]
    for _ in range(count):
        metric.control.add(control)
        metric.candidate.add(candidate)
        metric.add_pair(control, candidate)
        state.phases[phase].units.add("control")
        state.phases[phase].units.add("candidate")


def verdict(state: EvidenceState, *specs: MetricSpec, phase: Phase = "live", phases: int = 1) -> Verdict:
    return judge(state, specs, limits=Limits.of(specs, alpha=0.05, phases=phases), phase=phase)


def test_limits_share_alpha_among_guardrails_and_phases() -> None:
    signal = MetricSpec(name="tokens", role="signal")
    limits = Limits.of([FORMAT, ERROR, signal], alpha=0.05, phases=2)
    assert (limits.rollback, limits.alarm, limits.promotion) == (80.0, 40.0, 20.0)


def test_nothing_seen_is_inconclusive() -> None:
    found = verdict(EvidenceState.start(margins_of([FORMAT])), FORMAT)
    assert found.status == "inconclusive"
    assert found.metrics[0].harm == 1.0
    assert found.metrics[0].candidate_mean is None


def test_a_proven_harm_fails_and_says_so_in_words() -> None:
    state = EvidenceState.start(margins_of([FORMAT]))
    pairs(state, "format", 60, control=0.992, candidate=0.81)
    found = verdict(state, FORMAT)
    assert found.status == "failed"
    evidence = found.metrics[0]
    assert evidence.failed
    assert evidence.harm_peak >= evidence.limit
    assert found.reason == (
        "`format` fell from 99.2 % to 81.0 % (60 candidate users against 60 concurrent control users); "
        f"evidence {odds(evidence.harm_peak)} against 'no worse than 2 points', limit 20 : 1."
    )


def test_harm_in_the_shadow_still_fails_once_live() -> None:
    state = EvidenceState.start(margins_of([FORMAT]))
    pairs(state, "format", 80, control=1.0, candidate=0.8, phase="shadow")
    found = verdict(state, FORMAT, phases=2)
    assert found.status == "failed"
    assert "answered by both in shadow" in found.reason


def test_every_guardrail_and_goal_must_be_proven_before_success() -> None:
    goal = MetricSpec(name="mine", role="goal", margin=0.05, scorer=ScorerSpec(regex="x"))
    state = EvidenceState.start(margins_of([ERROR, goal]))
    pairs(state, "error", 400, control=1.0, candidate=1.0)
    assert verdict(state, ERROR, goal).status == "inconclusive"
    pairs(state, "mine", 200, control=0.6, candidate=0.7)
    found = verdict(state, ERROR, goal)
    assert found.status == "successful"
    assert "no worse" in found.reason


def test_success_is_a_matter_of_live_users() -> None:
    state = EvidenceState.start(margins_of([ERROR]))
    pairs(state, "error", 400, control=1.0, candidate=1.0, phase="shadow")
    assert verdict(state, ERROR, phase="shadow").status == "inconclusive"


def test_goals_and_signals_never_fail_a_candidate() -> None:
    goal = MetricSpec(name="mine", role="goal", margin=0.05, scorer=ScorerSpec(regex="x"))
    signal = MetricSpec(name="length", role="signal", cap=100.0)
    state = EvidenceState.start(margins_of([ERROR, goal, signal]))
    pairs(state, "mine", 200, control=1.0, candidate=0.2)
    pairs(state, "length", 200, control=0.9, candidate=0.2)
    found = verdict(state, ERROR, goal, signal)
    assert found.status == "inconclusive"
    assert found.alarms == ["length"]


def test_a_scorer_that_keeps_failing_is_an_error_and_not_evidence() -> None:
    mine = MetricSpec(name="mine", scorer=ScorerSpec(regex="x"))
    state = EvidenceState.start(margins_of([mine]))
    state.scored["mine"], state.scorer_errors["mine"] = 40, 12
    state.last_scorer_error["mine"] = "KeyError: 'order'"
    found = verdict(state, mine)
    assert found.status == "error"
    assert "12 of 40" in found.reason
    assert "KeyError" in found.reason
    state.scored["mine"] = 4000
    assert verdict(state, mine).status == "inconclusive"


def test_clipped_metrics_are_told_in_their_own_unit() -> None:
    latency = MetricSpec(name="latency", margin=0.1, cap=2000.0)
    state = EvidenceState.start(margins_of([latency]))
    pairs(state, "latency", 80, control=0.8, candidate=0.4)
    found = verdict(state, latency)
    assert found.status == "failed"
    assert "`latency` rose from 400 ms to 1,200 ms" in found.reason
    assert "clipped at 2,000 ms" in found.reason
    assert "'no worse than 200 ms more'" in found.reason


@pytest.mark.parametrize(
    ("value", "text"), [(0.314159, "0.31 : 1"), (8.0, "8 : 1"), (8100.4, "8,100 : 1"), (1e300, "over 10^12 : 1")]
)
def test_odds_are_short(value: float, text: str) -> None:
    assert odds(value) == text
