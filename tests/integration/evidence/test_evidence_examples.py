"""Examples of an attempt whose journals are long gone come from files."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.control.examples import ExampleFinder, ExampleQuestion
from trimtab.events import Generation, Score
from trimtab.evidence.questions import of_rollout

if TYPE_CHECKING:
    Place = Any  # the fixture's class lives in conftest

ROLLOUT = "ro_1"
HOUR_MS = 3_600_000


def question(place: Place, name: str, *, since_ms: int) -> ExampleQuestion:
    spec = (
        MetricSpec(name="error") if name == "error" else MetricSpec(name=name, scorer=ScorerSpec(python="house:tone"))
    )
    return ExampleQuestion(
        rollout=ROLLOUT,
        spec=spec,
        phase="live",
        shadow_stages=frozenset(),
        since_ms=since_ms,
        until_ms=since_ms + HOUR_MS,
        releases={},
        captured=True,
    )


@pytest.mark.parametrize("metric", ["error", "tone"])
def test_an_old_attempt_is_explained_from_files_as_it_was_from_journals(place: Place, metric: str) -> None:
    since_ms = place.clock.now_ms()
    for number in range(40):
        arm = ("candidate", "matched_control", "stable")[number % 3]
        failed = arm == "candidate" and number % 2 == 0
        call = place.generation(
            rollout=ROLLOUT if number < 36 else "ro_2",
            stage=1,
            arm=arm,
            unit=f"user-{number}",
            status="error" if failed else "ok",
            messages=[{"role": "user", "content": f"question {number % 5}"}],
        )
        place.record(
            Score(
                id=f"score_tone_{call.id}",
                at_ms=call.at_ms,
                feature=call.feature,
                environment=call.environment,
                generation=call.id,
                name="tone",
                value=0.25 if failed else 0.75,
                source="scorer:tone",
            )
        )
        place.clock.advance(1)
    place.compact()
    place.clock.advance(7 * 86_400)
    now_ms = place.clock.now_ms()
    asked = question(place, metric, since_ms=since_ms)
    reader = place.reader()
    try:
        finder = ExampleFinder(place.directory.journals, partial(of_rollout, reader))
        before = finder.find(asked, now_ms=now_ms)
        place.writer.close()
        shutil.rmtree(place.directory.journals / "gateway-1")
        found = ExampleFinder(place.directory.journals, partial(of_rollout, reader)).find(asked, now_ms=now_ms)
    finally:
        reader.close()
    if metric == "error":  # scores of Python are looked for in the controller's own journals, and then in files
        assert found.pairs == before.pairs
    shown = [pair.candidate for pair in found.pairs if pair.candidate]
    assert len(shown) == 10
    assert [one.value for one in shown[:6]] == 6 * ([0.0] if metric == "error" else [0.25])
    assert all(one.arm == "candidate" and one.input.startswith("question") for one in shown)
    assert {pair.control.arm for pair in found.pairs if pair.control} == {"matched_control"}


def test_the_newest_of_each_arm_are_taken_and_no_more(place: Place) -> None:
    for number in range(20):
        place.generation(rollout=ROLLOUT, arm="candidate" if number < 15 else "matched_control", unit=str(number))
        place.clock.advance(1)
    place.compact()
    reader = place.reader()
    try:
        found = of_rollout(reader, ROLLOUT, (0, 1 << 45), limit=3)
    finally:
        reader.close()
    assert [event.unit for event in found if isinstance(event, Generation)] == ["19", "18", "17", "14", "13", "12"]
