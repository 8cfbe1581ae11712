from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.core.ids import new_id
from trimtab.events import Exposure, Feedback, Generation, Score, Withdrawal, encode_event
from trimtab.serving.directory import DataDirectory
from trimtab.serving.journal import JournalWriter
from trimtab.serving.process_status import ProcessStatus, StatusFile
from trimtab.telemetry import seen, tally_file
from trimtab.telemetry.tally import MOST_SERIES, OTHER, Tally, TallyCounter
from trimtab.telemetry.tally_file import TallyKeeper, claim, read_tally, refresh_tally

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_760_000_000_000


def generation(index: int = 0, **fields: Any) -> Generation:
    told: dict[str, Any] = {"feature": "reply", "environment": "production", "release": "sha256:1", "release_number": 1}
    return Generation(id=new_id("gen", NOW_MS + index), at_ms=NOW_MS + index, **(told | fields))


def write(directory: DataDirectory, count: int, process: str = "gateway-1", **fields: Any) -> None:
    journal = JournalWriter(directory.journals / process)
    for index in range(count):
        event = generation(index, **fields)
        assert journal.append(encode_event(event), event.at_ms)
    journal.close()


def requests(tally: Tally) -> int:
    return sum(sum(one.requests.values()) for one in tally.series)


@pytest.mark.parametrize(
    ("short", "event"),
    [
        (seen.SeenExposure, Exposure),
        (seen.SeenGeneration, Generation),
        (seen.SeenScore, Score),
        (seen.SeenFeedback, Feedback),
        (seen.SeenWithdrawal, Withdrawal),
    ],
)
def test_what_is_counted_are_fields_of_events_with_their_defaults(short: Any, event: Any) -> None:
    whole = {field.name: field.default for field in msgspec.structs.fields(event)}
    assert {field.name: whole[field.name] for field in msgspec.structs.fields(short)} == {
        field.name: field.default for field in msgspec.structs.fields(short)
    }
    assert (short.__struct_config__.tag, short.__struct_config__.tag_field) == (event.__struct_config__.tag, "k")


def test_every_kind_of_event_is_counted() -> None:
    counter = TallyCounter(Tally())
    about: dict[str, Any] = {"feature": "reply", "environment": "production", "at_ms": NOW_MS}
    for event in (
        generation(latency_ms=30.0, input_tokens=5, output_tokens=7, cost_usd=0.5, attempts=3, fallback=1),
        generation(latency_ms=5_000.0, first_token_ms=100.0, stream=True, arm="candidate", release_number=2),
        generation(latency_ms=1e9, status="error", error_code="upstream_timeout"),
        Exposure(id="x", release="sha256:1", release_number=1, **about),
        Score(id="s", generation="g", name="polite", value=1.0, content_dropped="too_long", **about),
        Feedback(id="f", generation="g", name="thumbs", value=1.0, **about),
        Withdrawal(id="w", rollout="r", **about),
    ):
        assert counter.count(encode_event(event))
    stable, candidate = counter.tally.series
    assert (stable.release, stable.arm, stable.requests) == ("reply#1", "stable", {"ok": 1, "error": 1})
    assert (stable.input_tokens, stable.output_tokens, stable.cost_usd) == (5, 7, 0.5)
    assert (stable.retries, stable.fallbacks, stable.exposures) == (2, 1, 1)
    assert stable.seconds[2] == 1  # 0.02 < 0.03 s <= 0.04
    assert stable.seconds[-1] == 1  # beyond every bound
    assert (candidate.release, sum(candidate.first_token), candidate.first_token_total) == ("reply#2", 1, 0.1)
    tally = counter.tally
    assert [(one.name, one.count) for one in tally.errors] == [("upstream_timeout", 1)]
    assert [(one.name, one.count) for one in tally.scores + tally.feedback] == [("polite", 1), ("thumbs", 1)]
    assert [one.count for one in tally.withdrawals] == [1]
    assert [(one.name, one.count) for one in tally.content_dropped] == [("too_long", 1)]


def test_an_event_of_a_newer_version_is_told_apart_and_nothing_else_suffers() -> None:
    counter = TallyCounter(Tally())
    assert not counter.count(msgspec.msgpack.encode({"k": "from_the_future", "at_ms": 1}))
    assert counter.count(encode_event(generation()))
    assert requests(counter.tally) == 1


def test_series_and_names_from_outside_are_bounded() -> None:
    counter = TallyCounter(Tally())
    for index in range(3 * MOST_SERIES):
        counter.count(encode_event(generation(index, feature=f"f{index}", error_code=f"e{index}", status="error")))
    assert len(counter.tally.series) <= MOST_SERIES
    assert counter.tally.series[-1].feature == f"f{3 * MOST_SERIES - 1}"  # the oldest go first
    rest = [one for one in counter.tally.errors if one.name == OTHER]
    assert sum(one.count for one in counter.tally.errors) == 3 * MOST_SERIES
    assert rest[0].count == 3 * MOST_SERIES - 500


def test_each_event_counts_once_however_often_counting_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = DataDirectory(tmp_path)
    write(directory, 100)
    first = TallyKeeper(directory)
    first.catch_up(now_ms=NOW_MS, limit=10_000)
    write(directory, 50, "gateway-2")
    with monkeypatch.context() as patched:  # killed after counting and before writing down
        patched.setattr(tally_file, "write_atomically", lambda *_args, **_options: None)
        TallyKeeper(directory).catch_up(now_ms=NOW_MS, limit=10_000)
    assert requests(read_tally(directory)) == 100
    for _ in range(3):
        TallyKeeper(directory).catch_up(now_ms=NOW_MS, limit=10_000)
    assert requests(read_tally(directory)) == 150


def test_a_file_that_cannot_be_read_is_counted_anew(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    write(directory, 10)
    refresh_tally(directory, now_ms=NOW_MS)
    (directory.telemetry / "tally.bin").write_bytes(b"\x00broken")
    assert requests(refresh_tally(directory, now_ms=NOW_MS)) == 10


def test_while_somebody_counts_others_read_what_is_written(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    write(directory, 10)
    with claim(directory.telemetry / "tally.lock") as mine:
        assert mine
        assert requests(refresh_tally(directory, now_ms=NOW_MS)) == 0
    assert requests(refresh_tally(directory, now_ms=NOW_MS)) == 10


def test_what_processes_count_themselves_only_grows_though_processes_come_and_go() -> None:
    counter = TallyCounter(Tally())

    def status(process: str, recorded: int, dropped: int = 0) -> ProcessStatus:
        return ProcessStatus(
            process=process,
            kind="gateway",
            pid=1,
            host="h",
            environment="production",
            started_ms=0,
            heartbeat_ms=0,
            recorded=recorded,
            dropped=dropped,
        )

    told = []
    for at_ms, statuses in enumerate(
        ([status("a", 10)], [status("a", 15, 2), status("b", 5)], [status("b", 9)], [status("b", 9)], [status("c", 1)])
    ):
        counter.observe(statuses, now_ms=1000 * at_ms, forget_ms=1500)
        (writer,) = counter.tally.writers
        told.append((writer.recorded, writer.dropped))
    assert told == [(10, 0), (20, 2), (24, 2), (24, 2), (25, 2)]
    assert set(counter.tally.known) == {"b", "c"}


def test_statuses_of_every_environment_are_observed(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    for environment in ("production", "staging"):
        first = ProcessStatus(
            process=environment,
            kind="sdk",
            pid=1,
            host="h",
            environment=environment,
            started_ms=NOW_MS,
            heartbeat_ms=NOW_MS,
        )
        StatusFile(directory.processes, first).write(recorded=3)
    tally = refresh_tally(directory, now_ms=NOW_MS)
    assert sorted((one.environment, one.kind, one.recorded) for one in tally.writers) == [
        ("production", "sdk", 3),
        ("staging", "sdk", 3),
    ]
