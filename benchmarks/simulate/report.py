"""Figures in words: tables for docs/explanation/statistics.md, and two charts beside it."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.simulate.svg import Line, Panel, chart, share_by
from benchmarks.simulate.worlds import ALPHA
from trimtab.stats import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.simulate.engine import Run
    from benchmarks.simulate.worlds import World

__all__ = ["BEGIN", "END", "Figures", "charts", "quantiles", "report", "spliced"]

BEGIN, END = "<!-- simulate: begin; written by `just simulate` -->", "<!-- simulate: end -->"


class Figures(NamedTuple):
    """What was simulated: runs by world, and of the detection worlds on the old grid of stakes too."""

    nulls: list[tuple[World, list[Run]]]
    margins: list[tuple[World, list[Run]]]
    detection: list[tuple[World, list[Run], list[Run]]]
    runs: int
    seed: int
    date: str


def quantiles(runs: Sequence[Run]) -> list[float]:
    """Return the quartiles and the ninth decile of candidate users until rollback; infinite where none came."""
    users = sorted(math.inf if run.rolled_back is None else run.rolled_back for run in runs)
    return [users[min(len(users) - 1, math.ceil(share * len(users)) - 1)] for share in (0.25, 0.5, 0.75, 0.9)]


def report(figures: Figures) -> str:
    """Return the section as Markdown, markers included."""
    lines = [
        BEGIN,
        "",
        f"{figures.date}, one guardrail, alpha {ALPHA}, {figures.runs:,} runs of each row. The tables again:",
        f"`just simulate --runs {figures.runs} --seed {figures.seed}`.",
        "",
        "Rolled back although nothing was wrong; in brackets the 95 % interval of the share.",
        "",
        "| world | candidate users | Trimtab, every look | z-test, every look | z-test, one look at the end |",
        "|---|---:|---:|---:|---:|",
        *(_null_row(world, runs) for world, runs in [*figures.nulls, *figures.margins]),
        "",
        "The z-test counts requests. In the second row it compares the candidate with all of stable over all steps.",
        "",
        "Promoted although the candidate was worse by exactly the margin.",
        "",
        "| world | candidate users | Trimtab, every look | z-test, every look |",
        "|---|---:|---:|---:|",
        *(_promotion_row(world, runs) for world, runs in figures.margins),
        "",
        "![Share of runs that called an unchanged candidate worse, by candidate users](false-alarms.svg)",
        "",
        "Candidate users until rollback, 5 % canary against an equal matched control.",
        "",
        "| harm | margin | quarter of runs | median | three quarters | nine tenths | median on the first grid |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(_detection_row(world, now, before) for world, now, before in figures.detection),
        "",
        "![Share of runs rolled back, by candidate users](detection.svg)",
        "",
        END,
    ]
    return "\n".join(lines)


def _share(said: Sequence[object]) -> str:
    hits = sum(one is not None and one is not False for one in said)
    interval = wilson_interval(hits, len(said))
    return f"{100 * hits / len(said):.1f} % ({100 * interval.low:.1f}-{100 * interval.high:.1f})"


def _null_row(world: World, runs: Sequence[Run]) -> str:
    cells = [
        world.name,
        f"{statistics.median(run.users for run in runs):,.0f}",
        _share([run.rolled_back for run in runs]),
        _share([run.naive_harm for run in runs]),
        _share([run.naive_harm_at_the_end for run in runs]),
    ]
    return f"| {' | '.join(cells)} |"


def _promotion_row(world: World, runs: Sequence[Run]) -> str:
    cells = [
        world.name,
        f"{statistics.median(run.users for run in runs):,.0f}",
        _share([run.promoted for run in runs]),
        _share([run.naive_promotion for run in runs]),
    ]
    return f"| {' | '.join(cells)} |"


def _detection_row(world: World, now: Sequence[Run], before: Sequence[Run]) -> str:
    numbers = [f"{value:,.0f}" if math.isfinite(value) else "never" for value in quantiles(now)]
    cells = [world.name, f"{world.metric.tolerance:g}", *numbers, f"{quantiles(before)[1]:,.0f}"]
    return f"| {' | '.join(cells)} |"


def charts(figures: Figures) -> dict[str, str]:
    """Return the charts by file name."""
    alarms = []
    for world, runs in figures.nulls:
        last = max(run.users for run in runs)
        lines = [
            Line("Trimtab, every look", share_by([run.rolled_back for run in runs], last)),
            Line("z-test, every look", share_by([run.naive_harm for run in runs], last)),
        ]
        alarms.append(Panel(world.name.replace("unchanged, ", ""), lines, last, ALPHA))
    found = [Line(world.name, share_by([run.rolled_back for run in now], 1500)) for world, now, _ in figures.detection]
    return {"false-alarms.svg": chart(alarms), "detection.svg": chart([Panel("rolled back", found, 1500, 0.5)])}


def spliced(page: str, section: str) -> str:
    """Return the page with the section between its markers; raises `ValueError` where the page has none."""
    before, found, rest = page.partition(BEGIN)
    _, ends, after = rest.partition(END)
    if not (found and ends):
        raise ValueError(f"the page has no place for the figures: it needs the lines {BEGIN!r} and {END!r}")
    return before + section + after
