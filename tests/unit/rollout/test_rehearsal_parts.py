"""What a rehearsal is made of: traffic and faults as people write them, users who come, and what they score."""

from __future__ import annotations

import math
import random
from statistics import fmean
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.analysis.evidence import EvidenceState
from trimtab.analysis.ledger import margins_of
from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.analysis.scorers import ScorerLibrary
from trimtab.analysis.scoring import LEARNING_UNITS, Scoring
from trimtab.core.errors import InputError
from trimtab.events import Generation
from trimtab.rollout.rehearsal import (
    Crowd,
    Fault,
    Measured,
    Rate,
    Spread,
    default_baseline,
    measured_baseline,
    parse_fault,
    parse_traffic,
)
from trimtab.rollout.rehearsal.arrivals import Arrivals, Learning, binomial
from trimtab.serving.assignment import arm_at
from trimtab.serving.snapshot import RolloutRoute

if TYPE_CHECKING:
    from trimtab.rollout.rehearsal.outcomes import Metric

METRICS = [
    MetricSpec(name="error"),
    MetricSpec(name="format"),
    MetricSpec(name="latency"),
    MetricSpec(name="stars", cap=5, direction="higher", scorer=ScorerSpec(python="shop:stars")),
]
shares = st.floats(0.0, 1.0)


# --- traffic ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "a_day"),
    [
        ("10000/day", 10_000),
        ("10_000 / d", 10_000),
        ("10,000 per day", 10_000),
        ("1.5k/hour", 36_000),
        ("2M/days", 2_000_000),
        ("20/s", 1_728_000),
        ("7/week", 1),
        ("60/min", 86_400),
    ],
)
def test_traffic_is_read_as_people_write_it(text: str, a_day: float) -> None:
    assert parse_traffic(text) * 86_400 == pytest.approx(a_day)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10000", "10000/day"),
        ("10k", "10k/day"),
        ("0/day", "nobody comes"),
        ("1" + "0" * 30 + "/day", "no feature"),
        ("9" * 400 + "/s", "no feature"),
        ("-5/day", "10000/day"),
        ("many/day", "10000/day"),
        ("10/fortnight", "10000/day"),
        ("", "10000/day"),
    ],
)
def test_other_traffic_is_refused_with_a_way_out(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        parse_traffic(text)
    assert said in str(error.value)


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("error:3%", Fault("error", spoiled=0.03)),
        ("format:+2%", Fault("format", spoiled=0.02)),
        ("error : 100 %", Fault("error", spoiled=1.0)),
        ("error:2x", Fault("error", times=2.0)),
        ("latency:+20%", Fault("latency", times=1.2)),
        ("latency:20%", Fault("latency", times=1.2)),
        ("latency:2X", Fault("latency", times=2.0)),
        ("stars:50%", Fault("stars", times=1.5)),
        ("slow:250%", Fault("latency", times=3.5)),
        ("parse:3%", Fault("format", spoiled=0.03)),
    ],
)
def test_faults_are_read_as_people_write_them(text: str, fault: Fault) -> None:
    found = parse_fault(text, METRICS)
    assert (found.metric, found.spoiled) == (fault.metric, fault.spoiled)
    assert found.times == pytest.approx(fault.times)


def test_a_parse_fault_is_seen_by_the_schema_where_there_is_one() -> None:
    assert parse_fault("parse:3%", [*METRICS, MetricSpec(name="schema")]).metric == "schema"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("error", "error:3%"),
        ("error:3", "error:3%"),
        ("error:-3%", "error:3%"),
        ("error:101%", "more than all"),
        ("error:0%", "makes it worse"),
        ("latency:1x", "makes it worse"),
        ("latency:0.5x", "makes it worse"),
        ("latency:99999x", "makes it worse"),
        ("latenzy:3%", "did you mean `latency`"),
        ("toxicity:3%", "error, format, latency, stars"),
        ("refuse:3%", "its metrics"),
    ],
)
def test_other_faults_are_refused_with_a_way_out(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        parse_fault(text, METRICS)
    assert said in str(error.value)


@given(good=shares, spoiled=shares, times=st.floats(1.0, 1000.0))
def test_a_fault_makes_nothing_better_and_no_share_impossible(good: float, spoiled: float, times: float) -> None:
    assert 0.0 <= Fault("error", spoiled=spoiled, times=times).good_after(good) <= good + 1e-12


# --- what users score -------------------------------------------------------------------------------------------------


def mean(metric: Metric, fault: Fault | None, requests: int = 3, count: int = 4000) -> float:
    draw = random.Random(7)
    return fmean(metric.score(draw, requests, fault) for _ in range(count))


@given(good=shares, likeness=st.floats(0.0, 0.9), requests=st.integers(1, 40), seed=st.integers(0, 99))
def test_scores_of_rates_are_shares_of_requests(good: float, likeness: float, requests: int, seed: int) -> None:
    score = Rate(good, likeness).score(random.Random(seed), requests, None)
    assert 0.0 <= score <= 1.0
    assert score * requests == pytest.approx(round(score * requests))


@pytest.mark.parametrize("good", [0.05, 0.5, 0.9, 0.99])
def test_rates_have_the_mean_and_the_variance_of_a_beta_binomial(good: float) -> None:
    draw, requests, likeness = random.Random(3), 4, 0.2
    scores = [Rate(good, likeness).score(draw, requests, None) for _ in range(20_000)]
    expected = good * (1 - good) * (1 + (requests - 1) * likeness) / requests
    assert fmean(scores) == pytest.approx(good, abs=4 * math.sqrt(expected / len(scores)))
    assert fmean((score - good) ** 2 for score in scores) == pytest.approx(expected, rel=0.1)


def test_a_fault_takes_from_a_rate_what_it_says() -> None:
    assert mean(Rate(0.9), Fault("error", spoiled=0.2)) == pytest.approx(0.72, abs=0.02)
    assert mean(Rate(0.9), Fault("error", times=3.0)) == pytest.approx(0.7, abs=0.02)
    assert mean(Rate(1.0), None) == 1.0
    assert mean(Rate(0.0), Fault("error", spoiled=0.5)) == 0.0


@given(
    sigma=st.floats(0.05, 3.0), lower=st.booleans(), times=st.floats(1.0, 50.0), seed=st.integers(0, 99),
    requests=st.integers(1, 9),
)  # fmt: skip
def test_a_fault_makes_no_unit_of_a_spread_better(
    sigma: float,
    lower: bool,  # noqa: FBT001 - hypothesis passes by name
    times: float,
    seed: int,
    requests: int,
) -> None:
    metric = Spread(sigma, lower_is_better=lower)
    healthy = metric.score(random.Random(seed), requests, None)
    faulty = metric.score(random.Random(seed), requests, Fault("latency", times=times))
    assert 0.0 <= faulty <= healthy + 1e-12 <= 1.0 + 1e-12


def test_a_spread_is_clipped_at_its_99th_percentile() -> None:
    draw = random.Random(1)
    scores = [Spread(0.6).score(draw, 1, None) for _ in range(20_000)]
    assert sum(score == 0.0 for score in scores) / len(scores) == pytest.approx(0.01, abs=0.003)


def generation(index: int, **values: object) -> Generation:
    given_: dict[str, object] = {"id": f"g{index}", "unit": f"u{index}", "arm": "stable", "stage": 0, "at_ms": 0}
    return Generation(**{"feature": "f", "environment": "e", "release": "r", **given_, **values})  # type: ignore[arg-type]


TYPED = [
    MetricSpec(name="latency"),
    MetricSpec(name="slow", of="latency", quantile=0.9),
    MetricSpec(name="in-time", of="latency", limit=300.0),
    MetricSpec(name="tokens", cap=500.0),
    MetricSpec(name="tokens-per-request", of="tokens", per="requests"),
    MetricSpec(name="answer-length", of="tokens", per="input_tokens"),
]


@given(seed=st.integers(0, 999))
def test_recorded_measurements_score_as_the_engine_scores_them(seed: int) -> None:
    draw = random.Random(seed)
    calls = [
        generation(
            index,
            latency_ms=draw.lognormvariate(5, 1),
            output_tokens=draw.randint(1, 900),
            input_tokens=draw.randint(1, 90),
        )
        for index in range(LEARNING_UNITS)
    ]
    meters = ScorerLibrary([]).meters(TYPED)
    state = EvidenceState.start(margins_of(TYPED))
    scoring = Scoring(state, meters)
    for call in calls:
        scoring.learn(call.unit, call, None)
    found = measured_baseline(meters, calls, {})
    for spec in TYPED:
        metric = found[spec.name]
        assert isinstance(metric, Measured)
        learned = state.caps.get(spec.name)
        edge = learned.value if learned else spec.limit or spec.cap
        scale = state.scales[spec.name].scale if spec.kind == "ratio" else None
        known = msgspec.structs.replace(metric, edge=edge, scale=scale)
        theirs = [dict(scoring.scores(call, None))[spec.name] for call in calls]
        ours = [msgspec.structs.replace(known, users=[user]).score(draw, 1, None) for user in metric.users]
        assert ours == pytest.approx([min(max(score, 0.0), 1.0) for score in theirs])


@pytest.mark.parametrize("spec", TYPED, ids=lambda spec: spec.name)
def test_assumed_metrics_of_every_type_are_steady_where_healthy_and_fall_with_the_fault(spec: MetricSpec) -> None:
    draw = random.Random(11)
    metric = default_baseline([spec])[spec.name].learned(draw)
    scores = [metric.score(draw, 2, None) for _ in range(3000)]
    assert all(0.0 <= score <= 1.0 for score in scores)
    fault = Fault(spec.name, times=1.5)
    assert mean(metric, fault) < mean(metric, None) - 0.02
    if spec.kind == "ratio":
        assert fmean(scores) == pytest.approx(0.5, abs=0.05)
    if spec.kind == "quantile":
        assert fmean(scores) == pytest.approx(spec.quantile or 0.95, abs=0.07)


def test_recorded_users_are_drawn_as_they_were_and_too_few_are_not_trusted() -> None:
    draw = random.Random(5)
    many = [
        generation(index, unit=f"u{index % 60}", latency_ms=100.0 + index % 60, status="ok" if index % 5 else "error")
        for index in range(600)
    ]
    specs = [MetricSpec(name="error"), MetricSpec(name="latency")]
    meters = ScorerLibrary([]).meters(specs)
    found = measured_baseline(meters, many, {})
    error, latency = found["error"], found["latency"].learned(draw)
    assert isinstance(error, Measured)
    assert isinstance(latency, Measured)
    assert latency.edge is not None
    assert 250 <= latency.edge <= 266  # twice the median: the users are too alike for their 99th percentile
    assert error.healthy == pytest.approx(0.8)
    assert mean(error, Fault("error", spoiled=0.5)) == pytest.approx(0.4, abs=0.03)
    assert mean(latency, Fault("latency", times=2.0)) < mean(latency, None)
    few = measured_baseline(meters, many[:20], {})
    assert all("assumed" in metric.words for metric in few.values())


# --- who comes --------------------------------------------------------------------------------------------------------


def route(weight: float, *, shadow: float = 0.0) -> RolloutRoute:
    return RolloutRoute(
        id="r", candidate="c", salt="s", stage=0, state="progressing", weight=weight,
        control_weight=min(weight, 1 - weight), shadow=shadow,
    )  # fmt: skip


@given(
    weights=st.lists(st.integers(0, 1000).map(lambda part: part / 1000), min_size=1, max_size=5).map(sorted),
    users=st.integers(2, 400),
    seed=st.integers(0, 999),
    comers=st.lists(st.integers(0, 120), min_size=5, max_size=5),
)
def test_everybody_comes_once_and_meets_what_assignment_says(
    weights: list[float], users: int, seed: int, comers: list[int]
) -> None:
    arrivals = Arrivals(users, 0.01, random.Random(seed))
    now, counted, met_before = 0.0, 0, 0
    for weight, count in zip(weights, comers, strict=False):
        chosen = route(weight)
        arrivals.serve(chosen, "live", now)
        for cell in arrivals._cells:
            inside = [cell.low + (cell.high - cell.low) * share for share in (0.0, 0.3, 0.9)]
            assert {arm_at(chosen, position) for position in inside} == {(cell.arm, cell.mirrored)}
        for _ in range(count):
            wait = arrivals.wait()
            if wait == math.inf:
                break
            now += wait
            arm, mirrored = arrivals.take()
            assert arm in {"candidate", "matched_control"}
            assert not mirrored
            counted += 1
        met = arrivals.met(now)
        assert met_before <= met <= users
        met_before = met
        for cell in arrivals._cells:
            assert 0 <= cell.fresh["live"] <= cell.users
            assert 0 <= cell.met <= cell.users - cell.fresh["live"]
    assert counted == users - sum(cell.fresh["live"] for cell in arrivals._cells)
    assert sum(cell.users for cell in arrivals._cells) == users


def test_first_visits_come_as_fast_as_those_of_a_crowd_drawn_one_by_one() -> None:
    """Against the plain simulation of every visit: how many of 500 users were met as candidates after a while."""
    users, rate, weight, seconds = 500, 0.004, 0.3, 200.0

    def plainly(draw: random.Random) -> int:
        positions = [draw.random() for _ in range(users)]
        met: set[int] = set()
        now = draw.expovariate(users * rate)
        while now < seconds:
            user = draw.randrange(users)
            if positions[user] < weight:
                met.add(user)
            now += draw.expovariate(users * rate)
        return len(met)

    def ours(draw: random.Random) -> int:
        arrivals = Arrivals(users, rate, draw)
        arrivals.serve(route(weight), "live", 0.0)
        now = arrivals.wait()
        while now < seconds:
            arrivals.take()
            now += arrivals.wait()
        return arrivals.met(seconds)

    plain = [plainly(random.Random(seed)) for seed in range(150)]
    fast = [ours(random.Random(1000 + seed)) for seed in range(150)]
    spread = math.sqrt(fmean((one - fmean(plain)) ** 2 for one in plain) * 2 / 150)
    assert abs(fmean(plain) - fmean(fast)) < 4 * spread


def test_users_who_move_from_control_to_the_candidate_meet_it_when_they_come_again() -> None:
    arrivals = Arrivals(1000, 1.0, random.Random(2))
    arrivals.serve(route(0.5), "live", 0.0)
    for _ in range(1000):
        arrivals.take()
    before = arrivals.met(100.0)
    arrivals.serve(route(0.95), "live", 100.0)
    assert arrivals.wait() == math.inf
    assert arrivals.met(100.0) == before
    assert 900 < arrivals.met(200.0) < 1000
    assert arrivals.wait_for_known("candidate") < 1.0


def test_caps_are_learned_from_distinct_users_of_stable_and_never_where_there_are_too_few() -> None:
    learning = Learning(0.001, random.Random(1))
    learning.serve(LEARNING_UNITS - 1, 0.0)
    assert learning.done_at == math.inf
    learning.serve(10_000, 50.0)
    times = []
    for seed in range(200):
        learning = Learning(0.001, random.Random(seed))
        learning.serve(10_000, 0.0)
        times.append(learning.done_at)
    assert fmean(times) == pytest.approx(10.05, rel=0.03)  # 100 of 10,000 who come ten a second in all


@given(count=st.integers(0, 10**9), chance=st.floats(0.0, 1.0), seed=st.integers(0, 9))
def test_binomial_counts_are_possible_and_near_their_mean(count: int, chance: float, seed: int) -> None:
    drawn = binomial(random.Random(seed), count, chance)
    assert 0 <= drawn <= count
    assert abs(drawn - count * chance) <= 8 * math.sqrt(count * chance * (1 - chance)) + 8


@pytest.mark.parametrize("chance", [0.001, 0.2, 0.5, 0.9])
def test_binomial_counts_have_the_right_mean_and_variance(chance: float) -> None:
    draw = random.Random(4)
    drawn = [binomial(draw, 300, chance) for _ in range(6000)]
    variance = 300 * chance * (1 - chance)
    assert fmean(drawn) == pytest.approx(300 * chance, abs=4 * math.sqrt(variance / 6000))
    assert fmean((one - 300 * chance) ** 2 for one in drawn) == pytest.approx(variance, rel=0.12)


def test_windows_hold_the_requests_of_every_visit_in_them() -> None:
    crowd = Crowd(requests_per_second=10.0, requests_per_visit=2.0, users=50)  # each comes every ten seconds
    draw = random.Random(9)
    assert fmean(crowd.requests_in_window(draw, 0.0) for _ in range(5000)) == pytest.approx(2.0, abs=0.1)
    assert fmean(crowd.requests_in_window(draw, 30.0) for _ in range(5000)) == pytest.approx(8.0, abs=0.2)
