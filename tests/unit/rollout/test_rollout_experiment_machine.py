"""Whatever an experiment's evidence does, the machine keeps its promises."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trimtab.analysis.experiment import ArmEvidence, ExperimentVerdict
from trimtab.analysis.experiment_evidence import CANDIDATE
from trimtab.analysis.forecast import forecast
from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.analysis.verdict import Verdict, VerdictStatus
from trimtab.core.errors import ConflictError
from trimtab.rollout.effects import Command, MovePointer, Observation
from trimtab.rollout.machine import step
from trimtab.rollout.model import TERMINAL_STATES, Entrant, Rollout
from trimtab.rollout.routing import routing
from trimtab.rollout.spec import ExperimentArm, ExperimentStep, PauseStep, RolloutPlan, Step, encode_plan
from trimtab.serving.assignment import arm_at

MAX_SECONDS, MIN_UNITS = 100, 20
CHALLENGERS = ("third", "fourth")
share = st.floats(0, 1, exclude_max=True)


def plan(promote: str, on_inconclusive: str) -> RolloutPlan:
    experiment = msgspec.convert(
        {
            "promote": promote,
            "onInconclusive": on_inconclusive,
            "minUnits": MIN_UNITS,
            "maxDuration": f"{MAX_SECONDS}s",
        },
        ExperimentStep,
    )
    arms = [ExperimentArm(release="#3"), ExperimentArm(release="#4", weight=10)]
    return RolloutPlan(
        deadline="1d",
        metrics=[MetricSpec(name="error"), MetricSpec(name="mine", role="goal", scorer=ScorerSpec(regex="x"))],
        steps=[
            Step(set_weight=20.0),
            Step(experiment=msgspec.structs.replace(experiment, arms=arms)),
            Step(pause=PauseStep()),
        ],
    )


def start(made: RolloutPlan) -> Rollout:
    entrants = [
        Entrant(stage=1, release="third", label="f#3", start=0.2, end=0.4),
        Entrant(stage=1, release="fourth", label="f#4", start=0.4, end=0.5),
    ]
    return Rollout(
        id="ro_1",
        feature="f",
        environment="e",
        stable="old",
        candidate="new",
        plan=encode_plan(made),
        salt="s",
        state="validating",
        challengers=entrants,
        created_at_ms=0,
        created_by="ann",
        updated_at_ms=0,
    )


@st.composite
def looks(draw: st.DrawFn) -> tuple[int, Observation | Command]:
    """Some time later, what the evidence shows, or what a person wants."""
    seconds = draw(st.integers(0, 60))
    if draw(st.integers(0, 9)) == 0:
        return seconds, Command(kind=draw(st.sampled_from(["pause", "resume", "abort"])), actor="ann")
    arms = [
        ArmEvidence(
            arm=arm,
            label=arm,
            units=draw(st.integers(0, 2 * MIN_UNITS)),
            goals=[],
            limit=60.0,
            superior=draw(st.booleans()),
            harmed="it fails" if arm != CANDIDATE and draw(st.integers(0, 3)) == 0 else "",
            forecast=forecast(None),
        )
        for arm in (CANDIDATE, *CHALLENGERS)
    ]
    winners = [arm.arm for arm in arms if arm.superior and not arm.harmed]
    best = draw(st.sampled_from(winners)) if winners else ""
    experiment = ExperimentVerdict(arms=arms, control_units=draw(st.integers(0, 2 * MIN_UNITS)), best=best, words="so")
    status: VerdictStatus = draw(st.sampled_from(["inconclusive", "inconclusive", "inconclusive", "failed"]))
    verdict = Verdict(status=status, phase="live", reason="so", metrics=[], experiment=experiment)
    traffic = 5 if draw(st.booleans()) else 0
    return seconds, Observation(
        stable="old", verdict=verdict, control_generations=traffic, candidate_generations=5, control_units=9
    )


def has_won(before: Rollout, seen: Observation, arm: str) -> bool:
    found = seen.verdict and seen.verdict.experiment
    if not found:
        return False
    running = [one for one in found.arms if not one.harmed]
    enough = min(found.control_units, *(one.units for one in running)) >= MIN_UNITS
    won = found.arm(arm)
    return enough and won is not None and won.superior and before.state == "progressing"


@given(
    st.lists(looks(), max_size=25),
    st.sampled_from(["candidate", "winner"]),
    st.sampled_from(["pause", "promote", "rollback"]),
)
def test_an_experiment_ends_only_by_proof_by_time_or_by_people(
    events: list[tuple[int, Observation | Command]], promote: str, on_inconclusive: str
) -> None:
    made = plan(promote, on_inconclusive)
    now_ms = 0
    before, _ = step(start(made), made, Observation(stable="old"), now_ms=now_ms)
    for seconds, event in events:
        now_ms += 1000 * seconds
        try:
            after, effects = step(before, made, event, now_ms=now_ms)
        except ConflictError:
            continue
        assert not any(isinstance(effect, MovePointer) for effect in effects)
        assert set(before.dropped) <= set(after.dropped) <= set(CHALLENGERS)
        if after.candidate != before.candidate:
            assert isinstance(event, Observation)
            assert (promote, after.stage, after.candidate in CHALLENGERS) == ("winner", 2, True)
            assert has_won(before, event, after.candidate)
        elif after.stage > before.stage:
            assert isinstance(event, Observation)
            overdue = now_ms - before.stage_entered_ms >= 1000 * MAX_SECONDS and on_inconclusive == "promote"
            assert overdue or has_won(before, event, CANDIDATE)
        if before.state in TERMINAL_STATES:
            assert after == before
        before = after


@given(share, st.sets(st.sampled_from(CHALLENGERS)))
def test_a_dropped_challenger_leaves_its_units_to_stable_and_the_other_arms_their_own(
    position: float, dropped: set[str]
) -> None:
    made = plan("candidate", "pause")
    entered, _ = step(start(made), made, Observation(stable="old"), now_ms=0)
    whole, fewer = routing(entered, made), routing(msgspec.structs.replace(entered, dropped=sorted(dropped)), made)
    assert whole is not None
    assert fewer is not None
    met, left = arm_at(whole, position), arm_at(fewer, position)
    owner = next((one.release for one in whole.challengers if one.start <= position < one.end), None)
    assert (met[0] == "challenger") is (owner is not None)
    assert left == (("stable", False) if owner in dropped else met)


def test_the_arms_of_an_experiment_lie_side_by_side() -> None:
    made = plan("candidate", "pause")
    entered, _ = step(start(made), made, Observation(stable="old"), now_ms=0)
    route = routing(entered, made)
    assert route is not None
    edges = [0.0, route.weight, *(one.end for one in route.challengers), 1.0 - route.control_weight]
    assert all(low <= high for low, high in pairwise(edges))
