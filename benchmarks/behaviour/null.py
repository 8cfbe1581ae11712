"""How often is anything flagged where nothing changed? Which output of each item is the new one is drawn at random."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from trimtab.behaviour import ALPHA, Expected, Pair, diff
from trimtab.behaviour.behaviour_diff import judged
from trimtab.behaviour.columns import Column, columns_of
from trimtab.behaviour.omnibus import points_of, wealth_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trimtab.behaviour import Output


def swapped(columns: Sequence[Column], swaps: Sequence[bool]) -> list[Column]:
    """Return columns in which the outputs of some items have changed sides."""
    return [
        replace(
            column,
            old=[new if swap else old for old, new, swap in zip(column.old, column.new, swaps, strict=True)],
            new=[old if swap else new for old, new, swap in zip(column.old, column.new, swaps, strict=True)],
        )
        for column in columns
    ]


def replayed_by_chance(triples: Sequence[tuple[Output, Output, Output]], *, runs: int, seed: int) -> Iterator[bool]:
    """Yield, run by run, whether anything was flagged where chance names the old output, the new one and the replay.

    What compares the new output's sameness with the replay's is among it, so outputs are read anew in every run.
    """
    for run in range(runs):
        source = random.Random(f"{seed} {run}")
        pairs = []
        for number, outputs in enumerate(triples):
            old, new, again = source.sample(outputs, k=3)
            pairs.append(Pair(item=str(number), old=old, new=new, again=again))
        yield diff(pairs).changed


def flags_by_chance(pairs: Sequence[Pair], *, runs: int, seed: int) -> Iterator[tuple[int, bool]]:
    """Yield, run by run, how many detectors were flagged (in slices too) and whether the alarm was raised.

    A detector in which no pair moved says the same whoever is called the new one, so it is left out.
    """
    columns = [column for column in columns_of(pairs, Expected()) if column.old != column.new]
    points = points_of(pairs)
    for run in range(runs):
        source = random.Random(f"{seed} {run}")
        swaps = [source.random() < 0.5 for _ in pairs]
        findings, slices = judged(swapped(columns, swaps), pairs)
        drawn = [(new, old) if swap else (old, new) for (old, new), swap in zip(points, swaps, strict=False)]
        alarm = wealth_of(drawn) >= 1.0 / (ALPHA * 0.1)
        yield sum(one.flagged for one in findings) + len(slices), alarm
