"""`just simulate`: run all worlds on all cores, show progress, write the figures."""

from __future__ import annotations

import argparse
import datetime as dt
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.simulate.engine import Run, run
from benchmarks.simulate.report import Figures, charts, report, spliced
from benchmarks.simulate.worlds import DETECTION, MARGINS, NULLS, World
from trimtab.stats.betting import CURRENT_GRID, Grid

__all__ = ["main", "simulate_all"]

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "statistics.md"
CHUNK = 10
WORLDS = {world.name: world for world in [*NULLS, *MARGINS, *DETECTION]}
FIRST_GRID: Grid = 1


def _one(name: str, grid: Grid, seed: int) -> Run:
    """Run a world by its name: worlds hold functions, which do not travel between processes."""
    return run(msgspec.structs.replace(WORLDS[name], grid=grid), seed)


def simulate_all(pool: ProcessPoolExecutor, *, runs: int, seed: int, date: str, progress: Progress) -> Figures:
    """Run every world `runs` times, those on the first grid a quarter as often."""

    def of(world: World, grid: Grid = CURRENT_GRID) -> list[Run]:
        first = grid != CURRENT_GRID
        total = max(1, runs // 4) if first else runs
        task = progress.add_task(f"{world.name}, first grid" if first else world.name, total=total)
        found = []
        for one in pool.map(partial(_one, world.name, grid), range(seed, seed + total), chunksize=CHUNK):
            found.append(one)
            progress.advance(task)
        return found

    return Figures(
        nulls=[(world, of(world)) for world in NULLS],
        margins=[(world, of(world)) for world in MARGINS],
        detection=[(world, of(world), of(world, FIRST_GRID)) for world in DETECTION],
        runs=runs,
        seed=seed,
        date=date,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="just simulate", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="rollouts of each world (2000)")
    parser.add_argument("--seed", type=int, default=1, help="first seed (1)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many at once (all cores)")
    parser.add_argument("--write", action="store_true", help=f"write the figures into {PAGE.name} and its charts")
    arguments = parser.parse_args()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    pool = ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn"))
    with pool, Progress(*columns) as progress:
        figures = simulate_all(pool, runs=arguments.runs, seed=arguments.seed, date=today, progress=progress)
    section = report(figures)
    print(section)
    if arguments.write:
        PAGE.write_text(spliced(PAGE.read_text(encoding="utf-8"), section), encoding="utf-8")
        for name, drawing in charts(figures).items():
            (PAGE.parent / name).write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    main()
