"""Journals to a collector: nothing is lost and nothing piles up, whatever the collector does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from trimtab.bootstrap import otel
from trimtab.bootstrap.settings import load_settings
from trimtab.core.clock import FakeClock
from trimtab.core.errors import InputError
from trimtab.core.ids import new_id
from trimtab.events import Exposure, Feedback, Generation, Score, encode_event
from trimtab.serving.journal import JournalWriter
from trimtab.telemetry.export_state import read_export_state
from trimtab.telemetry.otlp_values import attribute_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Collector = Any  # the fixture's class lives in conftest
    Told = Any

NOW_MS = 1_760_000_000_000


class Here:
    """An exporter over a data directory, on a clock that stands still."""

    def __init__(self, root: Path, clock: FakeClock, url: str, **settings: Any) -> None:
        self.root = root
        self.clock = clock
        flags = {"directory": str(root / "data"), "otel.endpoint": url, "otel.timeout_seconds": 5.0}
        self.settings = load_settings(
            config=None, environ={}, flags=flags | {f"otel.{name}": value for name, value in settings.items()}
        )
        self.directory = self.settings.data_directory
        self.open()

    def open(self) -> None:
        self.loop = otel.ExportLoop(self.settings, {"HEADERS": "x-api-key=k%20y,x-other=1"})

    def restart(self) -> None:
        self.loop.close()
        self.open()

    def write(self, count: int, process: str = "gateway-1", **fields: Any) -> set[str]:
        journal = JournalWriter(self.directory.journals / process)
        ids = set()
        for index in range(count):
            at_ms = NOW_MS + index
            call = Generation(
                id=new_id("gen", at_ms),
                at_ms=at_ms,
                feature="reply",
                environment="production",
                release="sha256:1",
                process=process,
                **fields,
            )
            assert journal.append(encode_event(call), at_ms)
            ids.add(call.id[-16:])
        journal.close()
        return ids

    @property
    def state(self) -> Any:
        return read_export_state(self.directory.telemetry / "otlp.bin")


@pytest.fixture
def here(tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Here]]:
    made: list[Here] = []
    clock = FakeClock()
    monkeypatch.setattr(otel, "SystemClock", lambda: clock)

    def make(**settings: Any) -> Here:
        one = Here(tmp_path, clock, settings.pop("url", collector.url), **settings)
        made.append(one)
        return one

    yield make
    for one in made:
        one.loop.close()


def test_every_generation_is_sent_once_and_the_cursor_is_kept(here: Callable[..., Here], collector: Collector) -> None:
    one = here(headers_env="HEADERS", resource={"team": "support"})
    ids = one.write(1_300) | one.write(5, "sdk-2")
    assert one.loop.tick() == []
    assert collector.ids() == ids
    assert len(collector.spans) == len(ids)
    assert collector.headers[0]["x-api-key"] == "k y"
    names = [attribute_map(resource.resource.attributes) for resource in collector.resources]
    assert {name["service.instance.id"] for name in names} == {"gateway-1", "sdk-2"}
    assert {(name["service.name"], name["team"]) for name in names} == {("trimtab", "support")}
    assert {resource.schema_url for resource in collector.resources} == {"https://opentelemetry.io/schemas/1.41.0"}
    one.restart()
    one.loop.tick()
    assert len(collector.spans) == len(ids)
    assert one.state.sent == {"traces": len(ids)}


def test_a_collector_that_is_away_costs_nothing_but_time(here: Callable[..., Here], collector: Collector) -> None:
    away = here(url="http://127.0.0.1:9")
    ids = away.write(700)
    (told,) = away.loop.tick()
    assert "the collector takes nothing now: cannot connect to the collector" in told
    assert away.loop.tick() == []  # told once, and not tried again at once
    for _ in range(3):
        away.clock.advance(120)
        assert away.loop.tick() == []
    away.loop.close()
    back = here()
    ids |= back.write(10, "gateway-2")
    back.loop.tick()
    assert collector.ids() == ids


@pytest.mark.parametrize("status", [429, 502, 503, 504, 401, 404, 500])
def test_what_is_not_taken_now_is_sent_later(
    here: Callable[..., Here], collector: Collector, told: Callable[..., Told], status: int
) -> None:
    one = here()
    ids = one.write(1_300)
    collector.answer = lambda request, _size: told(status if request in {2, 3} else 200)
    (said,) = one.loop.tick()
    assert f"answered {status}" in said
    one.clock.advance(61)
    assert one.loop.tick() == []  # refused again: no news
    one.clock.advance(61)
    assert one.loop.tick() == ["telemetry: the collector takes what is sent again"]
    assert collector.ids() == ids
    assert one.state.rejected.get("traces", 0) == 0


def test_the_collector_says_how_long_to_wait(
    here: Callable[..., Here], collector: Collector, told: Callable[..., Told]
) -> None:
    one = here()
    one.write(10)
    collector.answer = lambda request, _size: told(429, headers={"retry-after": "300"}) if request == 1 else told()
    one.loop.tick()
    one.clock.advance(299)
    one.loop.tick()
    assert collector.requests == 1
    one.clock.advance(2)
    one.loop.tick()
    assert len(collector.spans) == 10


def test_a_slow_collector_is_given_up_and_asked_again(
    here: Callable[..., Here], collector: Collector, told: Callable[..., Told]
) -> None:
    one = here(timeout_seconds=0.2)
    ids = one.write(10)
    collector.answer = lambda request, _size: told(wait_seconds=0.6) if request == 1 else told()
    assert "the collector takes nothing now" in one.loop.tick()[0]
    one.clock.advance(61)
    one.loop.tick()
    assert collector.ids() == ids


def test_what_the_collector_refuses_for_good_is_counted_and_told(
    here: Callable[..., Here], collector: Collector, told: Callable[..., Told]
) -> None:
    one = here()
    one.write(1_300)
    partial = ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=3, error_message="too old")
    ).SerializeToString()
    collector.answer = lambda request, _size: {1: told(body=partial), 2: told(400)}.get(request, told())
    said = one.loop.tick()
    assert said[0] == "telemetry: the collector refused 3 of 512 traces: too old"
    assert said[1].startswith("telemetry: the collector refused 512 of 512 traces: answered 400")
    assert one.state.rejected == {"traces": 515}
    assert one.state.sent == {"traces": 1_300 - 515}


def test_what_is_too_much_at_once_is_sent_in_parts(
    here: Callable[..., Here], collector: Collector, told: Callable[..., Told]
) -> None:
    one = here(compression="none")
    ids = one.write(400)
    collector.answer = lambda _request, size: told(413 if size > 20_000 else 200)
    assert one.loop.tick() == []
    assert collector.ids() == ids


def test_killed_between_sending_and_noting_it_sends_the_same_spans_again(
    here: Callable[..., Here], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = here()
    ids = one.write(50)

    def killed(*_args: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("trimtab.telemetry.exporter.write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            one.loop.tick()
    one.restart()
    one.loop.tick()
    assert len(collector.spans) == 100
    assert collector.ids() == ids


def test_events_whose_journals_are_gone_are_told_to_be_lost(here: Callable[..., Here], collector: Collector) -> None:
    one = here()
    journal = JournalWriter(one.directory.journals / "gateway-1", segment_bytes=1)
    for index in range(3):
        call = Generation(id=new_id("gen", NOW_MS + index), at_ms=0, feature="f", environment="e", release="r")
        journal.append(encode_event(call), NOW_MS)
        journal.flush(5)
        if index == 0:
            one.loop.tick()
    (one.directory.journals / "gateway-1" / "00000001.seg").unlink()
    journal.close()
    assert one.loop.tick() == ["telemetry: 1 events are gone from the journals and were never sent"]
    assert (len(collector.spans), one.state.lost) == (2, 1)


def test_scores_feedback_and_exposures_are_log_events_where_that_is_wanted(
    here: Callable[..., Here], collector: Collector
) -> None:
    one = here(signals=["logs"])
    one.write(3)
    about: dict[str, Any] = {"id": "x", "at_ms": NOW_MS, "feature": "reply", "environment": "production"}
    journal = JournalWriter(one.directory.journals / "sdk-1")
    for event in (
        Exposure(release="sha256:1", **about),
        Score(generation="gen_1", name="polite", value=1.0, **about),
        Feedback(generation="gen_1", name="thumbs", value=0.0, **about),
    ):
        journal.append(encode_event(event), NOW_MS)
    journal.close()
    one.loop.tick()
    assert [log.event_name for log in collector.logs] == [
        "feature_flag.evaluation",
        "gen_ai.evaluation.result",
        "gen_ai.evaluation.result",
    ]
    assert collector.spans == []


def test_one_process_of_a_data_directory_sends(here: Callable[..., Here], collector: Collector) -> None:
    first, second = here(), here()
    first.write(5)
    first.loop.tick()
    assert second.loop.tick() == []
    assert len(collector.spans) == 5
    first.loop.close()
    second.write(5, "gateway-2")
    second.loop.tick()
    assert len(collector.spans) == 10


@pytest.mark.parametrize("url", ["collector:4318", "ftp://collector", "http://", "http://c/?q=1"])
def test_an_address_that_is_none_is_refused_at_the_start(here: Callable[..., Here], url: str) -> None:
    with pytest.raises(InputError, match="no address of a collector"):
        here(url=url)


@pytest.mark.parametrize("held", ["", "no-equals", "a b=1", "x=a\nb"])
def test_headers_that_are_none_are_refused_and_not_repeated(tmp_path: Path, held: str) -> None:
    flags = {"directory": str(tmp_path), "otel.endpoint": "http://c:4318", "otel.headers_env": "OTLP_HEADERS"}
    with pytest.raises(InputError, match="OTLP_HEADERS") as caught:
        otel.ExportLoop(load_settings(environ={}, flags=flags), {"OTLP_HEADERS": held})
    assert "no-equals" not in str(caught.value)
