"""Whatever happened to evidence on its way, every question is answered as if one read all of it and counted."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from trimtab.events import Feedback, Generation
from trimtab.evidence.layout import partition_of
from trimtab.evidence.questions import Filter, SignalMean, extract, failing, release_metrics, trace, trends
from trimtab.evidence.tables import kind_of
from trimtab.evidence.upkeep import erase, merge, retain

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.events import Event

    Place = Any  # the fixture's class lives in conftest

HOUR_MS = 3_600_000
USERS = ("ann", "bob", "cem")
_numbers = count()

CALLS = st.tuples(
    st.just("call"),
    st.sampled_from([1, 2]),
    st.sampled_from(["stable", "candidate"]),
    st.sampled_from(["ok", "ok", "error", "aborted"]),
    st.sampled_from(USERS),
    st.floats(0, 60_000, allow_subnormal=False),
)
STEPS = st.one_of(
    CALLS,
    CALLS,
    st.tuples(st.just("judge"), st.integers(0, 50), st.sampled_from([0.0, 0.25, 1.0])),
    st.tuples(st.just("again"), st.integers(0, 50)),
    st.tuples(st.just("wait"), st.sampled_from([0.001, 40, 2_000, 4_000])),
    st.tuples(st.just("compact")),
    st.tuples(st.just("merge")),
    st.tuples(st.just("erase"), st.sampled_from(USERS)),
    st.tuples(st.just("retain"), st.integers(1, 4)),
)


class World:
    """A place, and all that should be known of what happened there, in a list."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.known: list[Event] = []

    @property
    def calls(self) -> list[Generation]:
        return [event for event in self.known if isinstance(event, Generation)]

    def step(self, name: str, *given: Any) -> None:
        getattr(self, name)(*given)

    def call(self, number: int, arm: str, status: str, unit: str, latency_ms: float) -> None:
        self.known.append(
            self.place.generation(
                release=f"sha256:{number}",
                release_number=number,
                arm=arm,
                status=status,
                error_code="upstream_500" if status == "error" else "",
                unit=unit,
                latency_ms=latency_ms,
                cost_usd=0.25,
                output=f"{unit} {len(self.known)}",
            )
        )

    def judge(self, which: int, value: float) -> None:
        if self.calls:
            self.known.append(self.place.feedback(self.calls[which % len(self.calls)], value))

    def again(self, which: int) -> None:
        """Record what was recorded before, as a process that was killed may."""
        if self.known:
            self.place.record(self.known[which % len(self.known)])

    def wait(self, seconds: float) -> None:
        self.place.clock.advance(seconds)

    def compact(self) -> None:
        self.place.compact()

    def merge(self) -> None:
        with self.place.compactor() as compactor:
            merge(compactor)

    def erase(self, unit: str) -> None:
        self.wait(0.001)
        now_ms = self.place.clock.now_ms()
        with self.place.compactor() as compactor:
            erase(compactor, unit)
        theirs = {one.id for one in self.known if getattr(one, "unit", "") == unit and one.at_ms < now_ms}
        self.known = [
            one for one in self.known if one.id not in theirs and getattr(one, "generation", "") not in theirs
        ]

    def retain(self, hours: int) -> None:
        before_ms = self.place.clock.now_ms() - hours * HOUR_MS
        self.place.compact()
        with self.place.compactor() as compactor:
            retain(compactor, older_than_ms=before_ms)
        self.known = [one for one in self.known if partition_of(kind_of(one), one).end_ms > before_ms]

    def signals(self) -> dict[str, float]:
        """What was said last about each call."""
        said = sorted((one for one in self.known if isinstance(one, Feedback)), key=lambda one: (one.at_ms, one.id))
        return {one.generation: one.value for one in said}

    def within(self, span: tuple[int, int]) -> list[Generation]:
        found = [call for call in self.calls if span[0] <= call.at_ms < span[1]]
        return sorted(found, key=lambda call: (call.at_ms, call.id))


def quantile(values: list[float], q: float) -> float:
    at = q * (len(values) - 1)
    low, high = sorted(values)[math.floor(at)], sorted(values)[math.ceil(at)]
    return low + (high - low) * (at - math.floor(at))


def share_of_errors(calls: list[Generation]) -> float:
    judged = [call.status == "error" for call in calls if call.status != "aborted"]
    return sum(judged) / len(judged) if judged else 0.0


def check_metrics(world: World, reader: Any, span: tuple[int, int]) -> None:
    groups: dict[tuple[int, str], list[Generation]] = defaultdict(list)
    for call in world.within(span):
        groups[-call.release_number, call.arm].append(call)
    signals = world.signals()
    found = release_metrics(reader, Filter(span=span))
    assert [(one.release, one.arm, one.requests) for one in found] == [
        (f"support-reply#{-number}", arm, len(groups[number, arm])) for number, arm in sorted(groups)
    ]
    for one, (_, calls) in zip(found, sorted(groups.items()), strict=True):
        assert one.aborted == sum(call.status == "aborted" for call in calls)
        assert one.error_rate == pytest.approx(share_of_errors(calls))
        answered = [call.latency_ms for call in calls if call.status == "ok"]
        if answered:
            assert one.latency_p50_ms == pytest.approx(quantile(answered, 0.5))
            assert one.latency_p95_ms == pytest.approx(quantile(answered, 0.95))
        assert one.cost_usd == pytest.approx(0.25 * len(calls))
        said = [signals[call.id] for call in calls if call.id in signals]
        assert set(one.feedback) == ({"thumbs"} if said else set())
        for signal in one.feedback.values():
            assert signal == SignalMean(signal.mean, len(said))
            assert signal.mean == pytest.approx(sum(said) / len(said))


def check_trends(world: World, reader: Any, span: tuple[int, int], bucket: Any, width_ms: int) -> None:
    groups: dict[tuple[int, int], list[Generation]] = defaultdict(list)
    for call in world.within(span):
        groups[call.at_ms - call.at_ms % width_ms, call.release_number].append(call)
    found = trends(reader, Filter(span=span), bucket=bucket)
    assert [(one.at_ms, one.release, one.requests) for one in found] == [
        (at_ms, f"support-reply#{number}", len(groups[at_ms, number])) for at_ms, number in sorted(groups)
    ]
    for one, (_, calls) in zip(found, sorted(groups.items()), strict=True):
        assert one.error_rate == pytest.approx(share_of_errors(calls))
        assert one.cost_usd == pytest.approx(0.25 * len(calls))
        answered = sorted(call.latency_ms for call in calls if call.status == "ok")
        if not answered:
            assert one.latency_p95_ms is None
        else:
            exact = answered[math.ceil(round(0.95 * len(answered), 9)) - 1]
            assert one.latency_p95_ms == pytest.approx(max(exact, 0.001), rel=0.0101)


def check_samples(world: World, reader: Any, span: tuple[int, int]) -> None:
    calls = world.within(span)
    assert list(extract(reader, Filter(span=span))) == calls
    wanted = Filter(span=span, arm="candidate", status="ok")
    chosen = [call for call in calls if call.arm == "candidate" and call.status == "ok"]
    assert list(extract(reader, wanted)) == chosen
    assert list(extract(reader, wanted, limit=2)) == chosen[:2]
    failed = sorted((call for call in calls if call.status == "error"), key=lambda call: (-call.at_ms, call.id))
    assert [one.generation for one in failing(reader, Filter(span=span), limit=3)] == failed[:3]
    signals = world.signals()
    poor = [call for call in calls if signals.get(call.id, 1.0) < 0.5]
    poor.sort(key=lambda call: (signals[call.id], -call.at_ms, call.id))
    assert [one.generation for one in failing(reader, Filter(span=span), by="thumbs", limit=3)] == poor[:3]


def check_everything(world: World) -> None:
    world.place.writer.flush(10)
    reader = world.place.reader()
    try:
        now_ms = world.place.clock.now_ms()
        for span in [(0, 1 << 45), (now_ms - HOUR_MS, now_ms + 1), (now_ms - 2 * HOUR_MS - 1, now_ms - HOUR_MS // 2)]:
            check_metrics(world, reader, span)
            check_trends(world, reader, span, "hour", HOUR_MS)
            check_trends(world, reader, span, "day", 24 * HOUR_MS)
            check_trends(world, reader, span, "minute", 60_000)
            check_samples(world, reader, span)
        for call in world.calls[:2]:
            about = [one for one in world.known if call.id in {one.id, getattr(one, "generation", "")}]
            found = trace(reader, call.id)
            assert sorted(found, key=str) == sorted(about, key=str)
    finally:
        reader.close()


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example is a second: shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(STEPS, min_size=8, max_size=24))
def test_answers_are_those_of_counting_everything(place: Place, tmp_path: Path, steps: list[tuple[Any, ...]]) -> None:
    fresh = type(place)(tmp_path / str(next(_numbers)))
    try:
        world = World(fresh)
        for step in steps:
            world.step(*step)
        check_everything(world)
    finally:
        fresh.writer.close()


def test_a_day_of_many_calls_is_counted_the_same_before_and_after_merging(place: Place) -> None:
    world = World(place)
    for number in range(400):
        world.call(1 + number % 2, "candidate" if number % 3 else "stable", ("ok", "error", "ok")[number % 3],
                   USERS[number % 3], float(number * 7919 % 5_000))  # fmt: skip
        if number % 5 == 0:
            world.judge(number // 2, (number % 4) / 4)
        if number % 60 == 59:
            world.compact()
        world.wait(120)
    check_everything(world)
    world.wait(4_000)
    world.merge()
    check_everything(world)
    assert {file.rsplit("-", 1)[1] for file in place.files()} == {"9.parquet"}
    summed = sorted(place.objects.keys("summaries"))
    assert len(summed) == len(place.files())
    world.erase("bob")
    check_everything(world)
    world.merge()
    check_everything(world)
    assert len(list(place.objects.keys("summaries"))) == len(place.files())
    world.retain(6)
    check_everything(world)
    assert len(list(place.objects.keys("summaries"))) == len(place.files()) < len(summed)


def test_what_is_recorded_twice_counts_once_wherever_the_first_one_is(place: Place) -> None:
    call = place.generation()
    said = place.feedback(call, 1.0)
    for _ in range(3):  # in one journal, then beside a file, then in files
        place.record(call)
        place.record(msgspec.structs.replace(said, comment="again"))
        assert place.ids() == [call.id]
        assert place.ids("feedback") == [said.id]
        place.compact()
        assert place.ids() == [call.id]
        assert place.ids("feedback") == [said.id]
    assert len(place.files()) == 1
