"""The promises of a rollout on 200 seeded runs a world; `just simulate` does the same on thousands."""

from __future__ import annotations

import math
import statistics
import xml.etree.ElementTree as ET
from functools import lru_cache

import msgspec
import pytest
from benchmarks.simulate import engine
from benchmarks.simulate.engine import Book, Naive, Run, run, users
from benchmarks.simulate.report import BEGIN, END, Figures, charts, quantiles, report, spliced
from benchmarks.simulate.svg import share_by
from benchmarks.simulate.worlds import ALPHA, DETECTION, MARGINS, NULLS, Stage, World

RUNS = 200
TOLERATED = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)


def shorter(world: World, by: float) -> World:
    stages = [Stage(stage.weight, round(stage.users / by)) for stage in world.stages]
    return msgspec.structs.replace(world, stages=stages)


def share(said: list[int | None]) -> float:
    return sum(one is not None for one in said) / len(said)


@lru_cache
def runs_of(name: str) -> list[Run]:
    world = next(world for world in [*NULLS, *MARGINS] if world.name == name)
    return [run(shorter(world, 12), seed) for seed in range(RUNS)]


@pytest.mark.parametrize("world", [*NULLS, *MARGINS], ids=lambda world: world.name)
def test_nothing_that_is_no_worse_than_its_margin_is_rolled_back_in_more_than_alpha_of_the_runs(world: World) -> None:
    assert share([one.rolled_back for one in runs_of(world.name)]) <= TOLERATED


@pytest.mark.parametrize("world", MARGINS, ids=lambda world: world.name)
def test_what_is_worse_by_exactly_the_margin_is_promoted_in_at_most_alpha_of_the_runs(world: World) -> None:
    assert share([one.promoted for one in runs_of(world.name)]) <= TOLERATED


def test_looking_at_a_z_test_calls_the_same_candidates_worse_far_too_often() -> None:
    """What the bets are held against: without it, worlds in which nobody could go wrong would look like a proof."""
    once, drift, clustered = (runs_of(world.name) for world in NULLS)
    assert share([one.naive_harm for one in once]) > 3 * ALPHA
    assert share([one.naive_harm for one in drift]) > 5 * ALPHA
    assert share([one.naive_harm for one in clustered]) > 5 * ALPHA
    assert statistics.fmean(one.naive_harm_at_the_end for one in clustered) > 2 * ALPHA


@pytest.mark.slow
@pytest.mark.parametrize(
    ("index", "median"), [(0, 260), (2, 380), (4, 430)], ids=["success 90 to 85", "parse 1 to 3", "cost up a fifth"]
)
def test_harm_is_found_within_so_many_candidate_users(index: int, median: int) -> None:
    runs = [run(DETECTION[index], seed) for seed in range(RUNS)]
    assert quantiles(runs)[1] <= median * 1.1  # of 200 runs, the median is known to within a tenth


def test_the_first_grid_of_stakes_takes_longer() -> None:
    world = DETECTION[4]
    now = [run(world, seed) for seed in range(20)]
    before = [run(msgspec.structs.replace(world, grid=1), seed) for seed in range(20)]
    assert quantiles(now)[1] < quantiles(before)[1]


def test_asking_for_the_verdict_after_every_event_says_the_same_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The simulation asks only where a bet is newly won; a reader should not have to believe that this is enough."""
    world = shorter(DETECTION[4], 4)
    seldom = [run(world, seed) for seed in range(5)]
    close = Book.close
    first: list[int] = []

    def close_and_ask(book: Book, now_ms: int) -> None:
        close(book, now_ms)
        if book.verdict().status == "failed":
            first.append(book.users)

    monkeypatch.setattr(engine.Book, "close", close_and_ask)
    for one, seed in zip(seldom, range(5), strict=True):
        first.clear()
        run(world, seed)
        assert first[:1] == [one.rolled_back]


def test_a_seed_gives_the_same_run_and_the_weights_are_kept() -> None:
    world = shorter(NULLS[1], 2)
    assert run(world, 3) == run(world, 3)
    arms = [(stage, arm) for _, arm, stage, _ in users(world, 3)]
    for index, stage in enumerate(world.stages):
        met = [arm for at, arm in arms if at == index]
        assert met.count("candidate") == stage.users
        assert met.count("matched_control") == pytest.approx(stage.users, rel=0.5)


def test_the_naive_test_agrees_with_one_by_hand() -> None:
    # 90 of 100 against 80 of 100: z = 0.1 / sqrt(0.9 * 0.1 / 100 + 0.8 * 0.2 / 100) = 2 > 1.645
    naive = Naive(0.0)
    naive.good, naive.count = {"control": 90.0, "candidate": 80.0}, {"control": 100, "candidate": 100}
    assert naive.look() == (True, False)
    naive.margin = 0.02
    assert naive.look() == (False, False)  # z = 0.08 / 0.05 = 1.6


def figures() -> Figures:
    quick = [
        Run(10, None, 5, None, naive_harm_at_the_end=True, users=40),
        Run(None, 7, None, 9, naive_harm_at_the_end=False, users=40),
    ]
    return Figures(
        nulls=[(world, quick) for world in NULLS],
        margins=[(world, quick) for world in MARGINS],
        detection=[(world, quick, quick) for world in DETECTION],
        runs=2,
        seed=1,
        date="2026-01-01",
    )


def test_the_page_says_what_was_found_and_keeps_the_rest() -> None:
    page = spliced(f"before\n{BEGIN}\nold\n{END}\nafter\n", report(figures()))
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert "| unchanged, one request a user | 40 | 50.0 % (9.5-90.5) | 50.0 % (9.5-90.5) | 50.0 % (9.5-90.5) |" in page
    assert "| cost 20 % up, 1 request a user | 0.02 | 10 | 10 | never | never | 10 |" in page
    assert spliced(page, report(figures())) == page
    with pytest.raises(ValueError, match="place for the figures"):
        spliced("no markers", "x")


def test_charts_are_small_and_well_formed() -> None:
    drawn = charts(figures())
    assert set(drawn) == {"false-alarms.svg", "detection.svg"}
    for drawing in drawn.values():
        assert ET.fromstring(drawing).tag.endswith("svg")
        assert len(drawing) < 20_000
    assert share_by([10, None, 30], 40, points=4) == [(0, 0), (10, 1 / 3), (20, 1 / 3), (30, 2 / 3), (40, 2 / 3)]
