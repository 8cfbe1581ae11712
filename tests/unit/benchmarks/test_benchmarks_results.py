"""Figures on the page come from the rounds that count, and from nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from benchmarks.harness import results as store
from benchmarks.harness.contender import Sample
from benchmarks.harness.environments import Environments, UnavailableError
from benchmarks.harness.kit import Load
from benchmarks.harness.page import write_page
from benchmarks.harness.results import CallCost, GatewayResult, Gateways, Results, Sdk, Soak
from benchmarks.harness.rounds import Samples
from benchmarks.harness.turns import Case, take_turns

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = {"date": "2026-01-01", "processor": "one"}


def load(**changes: float | str) -> Load:
    blank = Load(10, 1.0, 100.0, 0, 0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 500.0, 1.0, "")
    return msgspec.structs.replace(blank, **changes)


def samples(**cpu_us: list[float]) -> Samples:
    found = Samples()
    for server, rounds in cpu_us.items():
        for value in rounds:
            found.add(Sample(server, "chat", load(), value))
    return found


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert samples(a=[1.0, 9.0, 2.0]).median("a", "chat", lambda sample: sample.cpu_us) == 2.0


def test_a_ratio_is_taken_within_rounds_so_that_a_slow_round_does_not_tilt_it() -> None:
    found = samples(a=[10.0, 100.0, 11.0], b=[5.0, 50.0, 5.5])
    assert found.ratio("a", "b", "chat", lambda sample: sample.cpu_us) == 2.0


def test_one_round_with_a_problem_withdraws_the_figure_and_is_told() -> None:
    found = samples(a=[1.0, 2.0])
    found.add(Sample("a", "chat", load(refused=1, excerpt="HTTP/1.1 429"), 3.0))
    assert found.median("a", "chat", lambda sample: sample.cpu_us) is None
    assert "HTTP/1.1 429" in found.problems()["a"]


def test_what_was_not_measured_has_no_figure() -> None:
    found = samples(a=[1.0])
    assert found.median("b", "chat", lambda sample: sample.cpu_us) is None
    assert found.ratio("a", "b", "chat", lambda sample: sample.cpu_us) is None


def gateways() -> Gateways:
    ours = GatewayResult(
        name="trimtab", version="this commit", configuration="on", rps=10.0, cpu_us=45.0, answered=7, durable_events=7,
        dropped_events=0,
    )  # fmt: skip
    peer = GatewayResult(name="peer", version="1.0", configuration="off", rps=5.0, cpu_us=90.0, rps_of_trimtab=2.0)
    return Gateways(
        machine=MACHINE,
        command="c",
        rounds=1,
        seconds=1.0,
        chat=[ours, peer],
        long=[],
        tls=[],
        skipped={"absent": "npm is not installed"},
        unanswered={},
    )


def test_the_page_shows_figures_what_is_missing_and_why(tmp_path: Path) -> None:
    page = write_page(Results(gateways=gateways()), tmp_path / "page.md").read_text()
    assert "| peer 1.0 | 90.0 | 5.00 |" in page
    assert "7 answered, 7 events durable, 0 dropped" in page
    assert "Not measured: absent: npm is not installed" in page


def test_a_section_measured_anew_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_JSON", tmp_path / "RESULTS.json")
    cost = CallCost(name="ours", thread_us=0.8, process_us=1.5)
    sdk = Sdk(machine=MACHINE, command="c", versions={}, in_process=[cost], calls=[], import_ms={}, skipped={})
    soak = Soak(
        machine=MACHINE, command="c", requests=2, streams=0, seconds=1.0, rss_mb=[(2, 50.0)], durable_events=2,
        dropped_events=0, highest_rss_mb=50.0, growth_mb=0.0, flat=True,
    )  # fmt: skip
    store.save_results(gateways=gateways(), sdk=sdk)
    page = store.save_results(soak=soak).read_text()
    assert store.load_results() == Results(gateways=gateways(), sdk=sdk, soak=soak)
    assert "| ours | 0.80 | 1.50 |" in page
    assert "flat" in page


def test_cases_take_turns_and_work_done_behind_a_call_is_charged_to_the_process() -> None:
    order: list[str] = []

    def behind() -> None:
        order.append("behind")
        sum(range(200_000))

    cases = [
        Case("a", lambda: order.append("a"), after=behind),
        Case("b", batch=lambda calls: order.append(f"b{calls}")),
    ]
    a, _ = take_turns(cases, calls=2, rounds=2)
    assert order == ["a", "behind", "b1", "a", "a", "behind", "b2", "a", "a", "behind", "b2"]
    assert a.process_us > a.thread_us


def test_a_peer_that_cannot_be_installed_is_unavailable_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no-such-program-anywhere is not installed"):
        Environments(tmp_path).program("no-such-program-anywhere")
