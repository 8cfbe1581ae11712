"""Good answers are recorded half encoded ahead, and read like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.clock import FakeClock
from trimtab.events import Generation
from trimtab.releases.model import CompiledRelease
from trimtab.serving.directory import DataDirectory
from trimtab.serving.generation import Answer, begin
from trimtab.serving.journal_reader import JournalPosition, read_journal
from trimtab.serving.runtime import DataPlane
from trimtab.serving.snapshot import Price, RolloutRoute, Route, Snapshot
from trimtab.serving.snapshot_file import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from trimtab.serving.redaction import RedactionHook

MESSAGES = [{"role": "user", "content": "Grüße €"}]
ANSWERS = {
    "plain": Answer("Hi.", [], "stop", "m-1", 9, 2),
    "empty": Answer(),
    "tools": Answer("", [{"id": "1", "function": {"name": "f", "arguments": "{}"}}], "tool_calls", "m", 1, 0),
    "more digits than can be written": Answer("Hi.", [{"n": 10**30}], "stop", "m", 9, 2),
    "no text": Answer("\ud800", [], "stop", "m", 9, 2),
    "longer than the journal's memory": Answer("x" * (5 << 20), [], "stop", "m", 9, 2),
}


def release(number: int) -> CompiledRelease:
    return CompiledRelease(
        digest=f"sha256:{number}",
        feature="f",
        number=number,
        prompt=PromptContent(messages=[PromptMessage(role="system", content="v")], variables={"type": "object"}),
        model=ModelContent(provider="openai", model="m"),
    )


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., DataPlane]]:
    made: list[DataPlane] = []

    def make(*, capture: bool = True, rollout: RolloutRoute | None = None, redact: RedactionHook | None = None) -> Any:
        directory = DataDirectory(tmp_path / str(len(made)))
        snapshot = Snapshot(
            revision=1,
            environment="production",
            published_at_ms=0,
            routes=[Route(feature="f", stable="sha256:1", rollout=rollout, capture_content=capture)],
            releases={f"sha256:{number}": release(number) for number in (1, 2)},
            prices={"sha256:1": Price(input_usd=0.15, output_usd=0.6)},
        )
        publish(directory.snapshot("production"), snapshot)
        clock = FakeClock()
        made.append(DataPlane.open(directory, environment="production", kind="gateway", clock=clock, redact=redact))
        return made[-1]

    yield make
    for plane in made:
        plane.close()


def written(plane: DataPlane) -> list[Generation]:
    plane.flush()
    events = read_journal(plane.directory.journals / plane.process_id, JournalPosition()).events
    return [event for event in events if isinstance(event, Generation)]


def both_ways(
    plane: DataPlane, unit: str, answer: Answer, said: tuple[dict[str, Any], dict[str, str]] = ({}, {})
) -> tuple[Generation, Generation]:
    """Record one answer as any generation is, and again with half of it encoded ahead.

    `said`: variables and attributes of the caller.
    """
    decision = plane.decide("f", unit)
    record = begin(decision, clock=plane.clock)
    call = {"process": plane.process_id, "http_status": 200, "messages": MESSAGES, "team": "support"}
    plane.record(record.finish(answer, variables=said[0], attributes=said[1], **call))  # type: ignore[arg-type]
    sent = MESSAGES if decision.capture_content else []
    cost = plane.plain_recorder(plane.decide("f", "another"), team="support").record(
        record.id, record.at_ms, record.started_ns, unit, answer, sent, *said
    )
    first, second = written(plane)
    assert second.cost_usd == cost
    return first, second


@pytest.mark.parametrize("capture", [True, False], ids=["captured", "not captured"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_it_reads_like_any_other_generation(
    opened: Callable[..., DataPlane],
    answer: Answer,
    capture: bool,  # noqa: FBT001
) -> None:
    first, second = both_ways(opened(capture=capture), "ada", answer)
    assert first == second
    assert first.unit == "ada"


SAID: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "variables": ({"shop": "Acme", "deep": {"a": [1, None]}}, {}),
    "attributes": ({}, {"language": "de"}),
    "both": ({"shop": "Acme"}, {"language": "de"}),
    "what has no encoding": ({"shop": object()}, {"language": "de"}),
}


@pytest.mark.parametrize("capture", [True, False], ids=["captured", "not captured"])
@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_what_a_caller_says_beside_its_messages_is_recorded_too(
    opened: Callable[..., DataPlane],
    said: tuple[dict[str, Any], dict[str, str]],
    capture: bool,  # noqa: FBT001
) -> None:
    first, second = both_ways(opened(capture=capture), "ada", ANSWERS["tools"], said)
    assert first == second
    assert second.attributes == said[1]


def test_it_holds_all_that_can_be_said_of_a_call(opened: Callable[..., DataPlane]) -> None:
    """So many fields that the map they are in has a longer head."""
    plane = opened()
    recorder = plane.plain_recorder(plane.decide("f", "another"), team="support")
    told = {
        "variables": {"shop": "Acme"},
        "attributes": {"language": "de"},
        "trace": "4b" * 16,
        "parent_span": "f0" * 8,
    }
    recorder.record("gen_1", 1, 0, "ada", ANSWERS["tools"], MESSAGES, **told)  # type: ignore[arg-type]
    (event,) = written(plane)
    assert {name: getattr(event, name) for name in told} == told
    assert (event.unit, event.tool_calls) == ("ada", ANSWERS["tools"].tool_calls)


def test_what_is_redacted_is_redacted_here_too(opened: Callable[..., DataPlane]) -> None:
    def hidden(content: dict[str, Any]) -> dict[str, Any]:
        return {**content, "output": "[gone]"}

    first, second = both_ways(opened(redact=hidden), "ada", ANSWERS["plain"])
    assert first == second
    assert (second.output, second.messages) == ("[gone]", MESSAGES)


def test_it_counts_as_traffic_in_its_minute(opened: Callable[..., DataPlane]) -> None:
    plane = opened()
    clock = plane.clock
    assert isinstance(clock, FakeClock)
    recorder = plane.plain_recorder(plane.decide("f", ""), team="")
    for minute, calls in enumerate((3, 2)):
        for _ in range(calls):
            record = begin(plane.decide("f", ""), clock=clock)
            recorder.record(record.id, record.at_ms, record.started_ns, "", ANSWERS["plain"], [])
        if minute == 0:
            clock.advance(60)
    counts = plane._traffic.recent(clock.now_ms())
    assert [(count.requests, count.number, count.arm) for count in counts] == [(3, 1, "stable"), (2, 1, "stable")]


def test_good_answers_of_stable_take_out_a_candidate_that_fails(opened: Callable[..., DataPlane]) -> None:
    rollout = RolloutRoute(id="ro_1", candidate="sha256:2", salt="s", stage=3, state="progressing", weight=0.5)
    plane = opened(rollout=rollout)
    units = {arm: [] for arm in ("stable", "candidate")}  # type: dict[str, list[str]]
    for number in range(60):
        units[plane.decide("f", f"u{number}").arm].append(f"u{number}")
    stable = plane.plain_recorder(plane.decide("f", units["stable"][0]), team="")
    for unit in units["candidate"]:
        record = begin(plane.decide("f", unit), clock=plane.clock)
        if plane.health()["withdrawn"]:
            break
        failed = record.finish(Answer(error_code="upstream_status_400"), process=plane.process_id, status="error")
        plane.record(failed)
        good = begin(plane.decide("f", units["stable"][0]), clock=plane.clock)
        stable.record(good.id, good.at_ms, good.started_ns, good.decision.unit, ANSWERS["plain"], [])
    assert plane.health()["withdrawn"] == ["ro_1"]
    assert plane.decide("f", units["candidate"][0]).release.number == 1
