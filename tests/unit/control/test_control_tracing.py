"""What one request met, read from the journals alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trimtab.control.score_journal import ScoreJournal
from trimtab.control.tracing import read_trace
from trimtab.core.errors import InputError, NotFoundError
from trimtab.core.ids import id_time_ms, new_id
from trimtab.events import Event, Feedback, Generation, Score, encode_event
from trimtab.events.model import subject_id
from trimtab.serving.journal import JournalWriter

if TYPE_CHECKING:
    from trimtab.control.plane import ControlPlane
    from trimtab.core.clock import FakeClock
    from trimtab.serving.directory import DataDirectory

GOOD = '{"answer": "It is on its way.", "order_id": "A-1", "next_step": "wait"}'


def generation(now_ms: int, release: str = "sha256:gone", **fields: object) -> Generation:
    base: dict[str, object] = {
        "id": new_id("gen", now_ms),
        "at_ms": now_ms,
        "feature": "support-reply",
        "environment": "production",
        "release": release,
        "release_number": 1,
        "messages": [{"role": "system", "content": "You answer"}],
        "output": GOOD,
        "latency_ms": 120.0,
        "output_tokens": 9,
    }
    return Generation(**(base | fields))  # type: ignore[arg-type]


def score(call: Generation, name: str, value: float, identifier: str = "") -> Score:
    return Score(
        id=identifier or new_id("sc", call.at_ms),
        at_ms=call.at_ms,
        feature=call.feature,
        environment=call.environment,
        generation=call.id,
        name=name,
        value=value,
        source=f"scorer:{name}",
    )


def record(directory: DataDirectory, *events: Event) -> None:
    writer = JournalWriter(directory.journals / f"p-{new_id('x', 1)}")
    for event in events:
        writer.append(encode_event(event), id_time_ms(subject_id(event)))
    writer.close()


def test_a_trace_gathers_what_several_processes_recorded(directory: DataDirectory, clock: FakeClock) -> None:
    call = generation(clock.now_ms())
    other = generation(clock.now_ms())
    shadow = generation(clock.now_ms(), arm="shadow", mirrors=call.id, output="{}")
    thumb = Feedback(
        id=new_id("fb", clock.now_ms()),
        at_ms=clock.now_ms(),
        feature=call.feature,
        environment="production",
        generation=call.id,
        name="thumb",
        value=1.0,
    )
    record(directory, call, other, score(other, "tone", 0.0))
    record(directory, shadow, thumb, score(call, "tone", 1.0))
    trace = read_trace(directory, call.id)
    assert (trace.generation, trace.release) == (call, "support-reply#1")
    assert [one.value for one in trace.scores] == [1.0]
    assert trace.feedback == [thumb]
    assert [one.id for one in trace.shadows] == [shadow.id]


def test_measures_use_the_release_that_served(
    serving: ControlPlane, directory: DataDirectory, clock: FakeClock
) -> None:
    digest = serving.release("support-reply", "#1").digest
    good = generation(clock.now_ms(), digest)
    bad = generation(clock.now_ms(), digest, output='{"answer": "It is on its way."}')
    failed = generation(clock.now_ms(), digest, status="error", output="", latency_ms=0.0, output_tokens=0)
    record(directory, good, bad, failed)
    assert read_trace(directory, good.id).measures == {
        "error": 1.0,
        "refusal": 1.0,
        "format": 1.0,
        "schema": 1.0,
        "latency": 120.0,
        "tokens": 9.0,
        "length": float(len(GOOD)),
    }
    assert read_trace(directory, bad.id).measures["schema"] == 0.0
    assert read_trace(directory, failed.id).measures == {"error": 0.0}


def test_without_the_release_there_is_no_schema_to_hold_an_answer_against(
    directory: DataDirectory, clock: FakeClock
) -> None:
    call = generation(clock.now_ms())
    record(directory, call)
    assert "schema" not in read_trace(directory, call.id).measures


def test_an_id_that_no_journal_holds_is_said_to_be_unknown(directory: DataDirectory, clock: FakeClock) -> None:
    record(directory, generation(clock.now_ms()))
    with pytest.raises(NotFoundError) as caught:
        read_trace(directory, new_id("gen", clock.now_ms()))
    assert caught.value.code == "unknown_generation"
    assert str(directory.root) in str(caught.value.hint)


def test_the_id_of_a_score_is_not_a_trace(directory: DataDirectory, clock: FakeClock) -> None:
    call = generation(clock.now_ms())
    judged = score(call, "tone", 1.0)
    record(directory, call, judged)
    with pytest.raises(NotFoundError):
        read_trace(directory, judged.id)


@pytest.mark.parametrize("identifier", ["", "gen", "gen_123", "gen_" + "z" * 32, "../../etc/passwd", "gen_" + "0" * 33])
def test_what_is_no_id_is_refused(directory: DataDirectory, identifier: str) -> None:
    with pytest.raises(InputError) as caught:
        read_trace(directory, identifier)
    assert caught.value.code == "malformed_id"


def test_scores_of_the_controller_show_in_the_trace(directory: DataDirectory, clock: FakeClock) -> None:
    call = generation(clock.now_ms())
    record(directory, call)
    clock.advance(3600)  # judged an hour later, found by the time of what it judges
    journal = ScoreJournal(directory.journals)
    journal.record([score(call, "tone", 0.25)])
    journal.close()
    (found,) = read_trace(directory, call.id).scores
    assert (found.name, found.value, found.source) == ("tone", 0.25, "scorer:tone")


def test_a_tick_repeated_after_a_crash_scores_once(directory: DataDirectory, clock: FakeClock) -> None:
    call = generation(clock.now_ms())
    record(directory, call)
    judged = score(call, "tone", 0.25, "sc_" + "0" * 32)
    for _controller in range(2):
        journal = ScoreJournal(directory.journals)
        journal.record([judged, judged])
        journal.close()
    assert len(read_trace(directory, call.id).scores) == 1


def test_a_score_of_a_foreign_generation_is_kept_under_its_own_time(directory: DataDirectory, clock: FakeClock) -> None:
    call = generation(clock.now_ms(), id="trace-of-another-tool")
    journal = ScoreJournal(directory.journals)
    journal.record([score(call, "tone", 0.5)])
    journal.close()
    (folder,) = directory.journals.iterdir()
    assert any(path.stat().st_size for path in folder.iterdir())
