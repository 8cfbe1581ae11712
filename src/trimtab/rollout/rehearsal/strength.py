"""The smallest fault that a plan notices in each metric: found by rehearsing with smaller and smaller ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.rollout.rehearsal.faults import Fault, is_scaled
from trimtab.rollout.rehearsal.run import Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.analysis.model import MetricSpec
    from trimtab.rollout.rehearsal.scene import RunResult, Scene

__all__ = ["WANTED", "MetricStrength", "noticed_share", "strength"]

WANTED = 0.8
"""In this share of the rehearsals a fault must be noticed to count as noticed."""
_TRIES = 25
_FEW_TRIES = 10
_LARGE_RUN = 16_000
"""Scored requests of a rehearsal from which fewer are played: larger ones scatter less."""
_MOST_SCORED = 60_000
"""Scored requests after which a fault is not noticed: what takes longer is a few tenths of a point smaller."""
_LIKELY = 8.0
"""Times the margin, at most, for most metrics."""
_PRECISION = 1.08
"""How exact they are: two sizes of fault nearer than this are one."""
_LARGEST_GROWTH = 9.0
_WEAK = 0.5
_MANY_MARGINS = 5.0
_LARGE_GROWTH = 1.0


class MetricStrength(msgspec.Struct, frozen=True, kw_only=True):
    """What one metric can do in the units that this plan and this traffic give it."""

    name: str
    role: str
    margin: float
    healthy: str
    """What its healthy values are, and on what ground."""
    units: int
    """Units of the candidate that a healthy rollout measures live (median)."""
    detectable: float | None
    """Smallest fault that is noticed in four of five rehearsals: a share of spoiled answers, or a growth (0.2 is 20 %)
    where `scaled`; `None` where none is, however large, and for metrics that notice nothing (goals, dry run)."""
    scaled: bool
    """Whether its faults are growths."""
    unproven: float
    """Share of healthy rehearsals at whose end it was not proven no worse."""
    weak: str
    """Why it is too weak for what the plan asks of it; empty where it is not."""


def strength(scene: Scene, healthy: Sequence[RunResult], faults: Mapping[str, Fault], index: int) -> MetricStrength:
    """Return what the plan's metric number `index` can notice.

    `healthy` are rehearsals of an unchanged candidate; `faults`, by metric, are those somebody asks about.
    """
    spec = scene.plan.metrics[index]
    scored = sorted(result.scored for result in healthy)[len(healthy) // 2]
    watches = spec.role != "goal" and not spec.dry_run
    found = MetricStrength(
        name=spec.name,
        role="dry run" if spec.dry_run else spec.role,
        margin=spec.tolerance,
        healthy=scene.baseline[spec.name].words,
        units=sorted(result.units for result in healthy)[len(healthy) // 2],
        detectable=_detectable(scene, spec, _TRIES if scored < _LARGE_RUN else _FEW_TRIES) if watches else None,
        scaled=is_scaled(spec),
        unproven=sum(spec.name in result.unproven for result in healthy) / len(healthy),
        weak="",
    )
    weak = "" if spec.dry_run else _weakness(scene, found, faults.get(spec.name))
    return msgspec.structs.replace(found, weak=weak)


def noticed_share(scene: Scene, fault: Fault, seeds: range) -> float:
    """Return in which share of rehearsals the harm of a fault is proven."""
    return sum(_notices(scene, fault, seed) for seed in seeds) / len(seeds)


def _notices(scene: Scene, fault: Fault, seed: int) -> bool:
    run = Run(scene, {fault.metric: fault}, seed=seed, only=fault.metric, most_scored=_MOST_SCORED)
    return fault.metric in run.play().harmed


def _detectable(scene: Scene, spec: MetricSpec, tries: int) -> float | None:
    """Return the smallest fault that is noticed often enough, halving the interval of its logarithm."""

    def noticed(amount: float) -> bool:
        """The same users for every size of fault, and no more of them than it takes to tell."""
        fault = Fault(spec.name, times=1.0 + amount) if is_scaled(spec) else Fault(spec.name, spoiled=amount)
        hits = misses = 0
        while misses <= (1.0 - WANTED) * tries and hits < WANTED * tries:
            if _notices(scene, fault, hits + misses):
                hits += 1
            else:
                misses += 1
        return hits >= WANTED * tries

    # What is within the margin is noticed in alpha of the rehearsals: no rate needs to be tried below it.
    low, high = spec.tolerance / 4 if is_scaled(spec) else spec.tolerance, _LIKELY * spec.tolerance
    if not noticed(high):
        low, high = high, max(high, _LARGEST_GROWTH) if is_scaled(spec) else 1.0
        if not noticed(high):
            return None
    while high > _PRECISION * low:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if noticed(middle) else (middle, high)
    return high


def _weakness(scene: Scene, found: MetricStrength, fault: Fault | None) -> str:
    """Return why a metric is too weak, the gravest first."""
    decides = any(one.analysis is not None and one.analysis.mode == "nonInferior" for one in scene.plan.steps)
    if decides and found.role != "signal" and found.unproven >= _WEAK:
        unproven = f"in {found.unproven:.0%} of the healthy rehearsals it is not proven no worse"
        return f"{unproven}: give it more units (a longer `maxDuration`, a larger weight) or a wider margin"
    return "" if found.role == "goal" else _blindness(scene, found, fault)


def _blindness(scene: Scene, found: MetricStrength, fault: Fault | None) -> str:
    """Return which faults a metric should notice and does not."""
    if found.detectable is None:
        return "it notices no fault at all: give it more units"
    least = f"{100 * found.detectable:.2g} %"
    if fault is not None and _PRECISION * _size(scene, fault) < found.detectable:
        return f"it notices {'growth' if found.scaled else 'faults'} from {least}{_tolerance(scene, found, fault)}"
    if found.scaled and found.detectable > _LARGE_GROWTH:
        return f"it notices growth only from {least}: give it more units"
    if not found.scaled and found.detectable > _MANY_MARGINS * found.margin:
        return f"it notices only what spoils {least} of the answers: give it more units"
    return ""


def _size(scene: Scene, fault: Fault) -> float:
    """Return how large a fault is, on the scale of what is detectable."""
    healthy = scene.baseline[fault.metric].healthy
    return fault.times - 1.0 if healthy is None else 1.0 - fault.good_after(healthy) / healthy if healthy else 1.0


def _tolerance(scene: Scene, found: MetricStrength, fault: Fault) -> str:
    """Return whether the plan wants a fault noticed at all."""
    healthy = scene.baseline[found.name].healthy
    fall = None if healthy is None else healthy - fault.good_after(healthy)
    if fall is not None and fall <= found.margin:
        return f"; this one takes {100 * fall:.2g} points, and the plan's margin tolerates {100 * found.margin:g}"
    return ": give it more units, or accept that this fault may pass"
