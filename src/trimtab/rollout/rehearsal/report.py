"""Many rehearsals summed up: how long, how many users, how often wrong, and which metric is too weak."""

from __future__ import annotations

import bisect
import functools
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import InputError
from trimtab.rollout.rehearsal.faults import is_rehearsed
from trimtab.rollout.rehearsal.granted import MOST_REQUESTS_PER_SECOND, taken_for_granted
from trimtab.rollout.rehearsal.run import Run
from trimtab.rollout.rehearsal.strength import MetricStrength, strength
from trimtab.rollout.rehearsal.workers import workers
from trimtab.stats import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trimtab.rollout.rehearsal.faults import Fault
    from trimtab.rollout.rehearsal.scene import RunResult, Scene
    from trimtab.rollout.rehearsal.workers import Spread
    from trimtab.rollout.spec import RolloutPlan

__all__ = ["RehearsalReport", "ScenarioSummary", "Share", "Spell", "TouchedAt", "rehearsal_work", "rehearse"]

_WAVE, _CHUNK = 20, 5
"""Rehearsals between two looks at the work done, and those done in one go."""
_MOST_SCORED = 4_000_000
"""Scored requests after which no further rehearsals of a kind are begun: seconds, not minutes."""
_MOMENTS = 60
"""Of the curve of users touched."""


class Spell(msgspec.Struct, frozen=True):
    """A tenth, half and nine tenths of the rehearsals were at or below this."""

    low: float
    median: float
    high: float


class Share(msgspec.Struct, frozen=True):
    """A share of the rehearsals, and what so many of them tell: its 95 % Wilson interval."""

    share: float
    low: float
    high: float


class TouchedAt(msgspec.Struct, frozen=True):
    """Users who had met the candidate at a moment: half of the rehearsals at most `median`, nine tenths `high`."""

    seconds: float
    median: float
    high: float


class ScenarioSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How the rehearsals of one kind of candidate ended."""

    runs: int
    rolled_back: Share
    promoted: Share
    paused: Share
    """In which a person has to decide."""
    expired: Share
    undecided: Share
    """Stopped after very many units that told neither harm nor its absence."""
    seconds_to_rollback: Spell | None
    users_touched_at_rollback: Spell | None
    seconds_to_promotion: Spell | None
    users_touched: Spell
    """However it ended."""
    blamed: dict[str, int]
    """Guardrail -> rehearsals it rolled back."""
    waits_for: str
    """What the engine said in one of the rehearsals that wait for a person; empty where none does."""
    rollback_seconds: list[float]
    """Of every rehearsal that rolled back, sorted."""
    promotion_seconds: list[float]
    touched: list[TouchedAt]
    """Users touched over time; after its end a rehearsal counts with what it had."""


class RehearsalReport(msgspec.Struct, frozen=True, kw_only=True):
    """What to expect of a plan."""

    requests_per_second: float
    requests_per_visit: float
    users: int
    alpha: float
    assumed: list[str]
    """What the rehearsal takes for granted, and what cannot go well whatever happens."""
    faults: list[str]
    """In words; empty where only an unchanged candidate was rehearsed."""
    healthy: ScenarioSummary
    """An unchanged candidate."""
    faulty: ScenarioSummary | None
    metrics: list[MetricStrength]


def rehearse(
    scene: Scene,
    faults: Sequence[Fault],
    *,
    runs: int = 200,
    seed: int = 0,
    processes: int | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> RehearsalReport:
    """Rehearse `runs` times with an unchanged candidate and, where there are faults, as often with all of them.

    The same seed gives the same report, on any number of processes (one per core by default). `progress` hears, every
    few rehearsals, how much more of `rehearsal_work` is done; of large rehearsals fewer are played than asked for.
    """
    wrong = _by_metric(faults)
    scene, larger = _bounded(scene)
    first, second = range(seed, seed + runs), range(seed + runs, seed + 2 * runs)
    with workers(processes) as spread:
        healthy = _play(spread, scene, {}, first, progress)
        faulty = _play(spread, scene, wrong, second, progress) if wrong else None
        metrics = []
        for found in spread(functools.partial(strength, scene, healthy, wrong), _rehearsed(scene.plan)):
            metrics.append(found)
            progress(_strength_work(runs))
    return RehearsalReport(
        requests_per_second=scene.crowd.requests_per_second * larger,
        requests_per_visit=scene.crowd.requests_per_visit,
        users=round(scene.crowd.users * larger),
        alpha=scene.plan.alpha,
        assumed=taken_for_granted(scene.plan, scene.crowd.users, larger=larger),
        faults=[_fault_words(scene, fault) for fault in faults],
        healthy=_summary(scene, healthy, larger),
        faulty=_summary(scene, faulty, larger) if faulty else None,
        metrics=metrics,
    )


def rehearsal_work(plan: RolloutPlan, faults: Sequence[Fault], runs: int) -> int:
    """Return how much `progress` hears of in all: rehearsals, and the strength of each metric."""
    return runs * (2 if faults else 1) + len(_rehearsed(plan)) * _strength_work(runs)


def _rehearsed(plan: RolloutPlan) -> list[int]:
    """Return the numbers of the metrics that users are drawn for."""
    return [index for index, metric in enumerate(plan.metrics) if is_rehearsed(metric)]


def _strength_work(runs: int) -> int:
    return max(1, runs // 10)


def _by_metric(faults: Sequence[Fault]) -> dict[str, Fault]:
    named = Counter(fault.metric for fault in faults)
    for name, count in named.items():
        if count > 1:
            raise InputError("repeated_fault", f"{count} faults of `{name}`", param="fault", hint="give one of each")
    return {fault.metric: fault for fault in faults}


def _bounded(scene: Scene) -> tuple[Scene, float]:
    """Return the scene with no more traffic than can be rehearsed, and how many times as much there really is.

    With more traffic, steps end and harm is proven when their times and windows are over, and hardly sooner.
    """
    crowd = scene.crowd
    larger = crowd.requests_per_second / MOST_REQUESTS_PER_SECOND
    if larger <= 1.0:
        return scene, 1.0
    users = max(2, round(crowd.users / larger))
    smaller = msgspec.structs.replace(crowd, requests_per_second=MOST_REQUESTS_PER_SECOND, users=users)
    return msgspec.structs.replace(scene, crowd=smaller), larger


def _play(
    spread: Spread, scene: Scene, faults: Mapping[str, Fault], seeds: range, progress: Callable[[int], None]
) -> list[RunResult]:
    results: list[RunResult] = []
    for start in range(0, len(seeds), _WAVE):
        wave = seeds[start : start + _WAVE]
        chunks = [wave[index : index + _CHUNK] for index in range(0, len(wave), _CHUNK)]
        for some in spread(functools.partial(_play_some, scene, faults), chunks):
            results += some
            progress(len(some))
        if sum(result.scored for result in results) >= _MOST_SCORED:
            progress(len(seeds) - len(results))
            break
    return results


def _play_some(scene: Scene, faults: Mapping[str, Fault], seeds: range) -> list[RunResult]:
    return [Run(scene, faults, seed=seed).play() for seed in seeds]


def _fault_words(scene: Scene, fault: Fault) -> str:
    spec = next(metric for metric in scene.plan.metrics if metric.name == fault.metric)
    healthy, margin = scene.baseline[fault.metric].healthy, 100 * spec.tolerance
    if healthy is not None:
        change = f"falls from {100 * healthy:.3g} % good to {100 * fault.good_after(healthy):.3g} %"
        return f"`{fault.metric}` {change} (margin: {margin:g} points)"
    grown = f"grows by {100 * (fault.times - 1.0):.3g} %"
    change = grown if spec.lower_is_better else f"falls to {100 / fault.times:.3g} %"
    return f"`{fault.metric}` {change} (margin: {margin:g} % of its cap)"


def _summary(scene: Scene, results: list[RunResult], larger: float) -> ScenarioSummary:
    guardrails = {metric.name for metric in scene.plan.metrics if metric.role == "guardrail"}
    back = sorted((one for one in results if one.state == "rolled_back"), key=lambda one: one.seconds)
    through = sorted(one.seconds for one in results if one.state == "promoted")
    waiting = sorted((one for one in results if one.state == "paused"), key=lambda one: one.seconds)
    count = Counter(result.state for result in results)
    return ScenarioSummary(
        runs=len(results),
        rolled_back=_share(count["rolled_back"], len(results)),
        promoted=_share(count["promoted"], len(results)),
        paused=_share(count["paused"], len(results)),
        expired=_share(count["expired"], len(results)),
        undecided=_share(count["undecided"], len(results)),
        seconds_to_rollback=_spell([one.seconds for one in back]),
        users_touched_at_rollback=_spell([larger * one.users_touched for one in back]),
        seconds_to_promotion=_spell(through),
        users_touched=_spell([larger * one.users_touched for one in results]) or Spell(0, 0, 0),
        blamed=dict(Counter(name for one in back for name in one.harmed if name in guardrails).most_common()),
        waits_for=waiting[len(waiting) // 2].reason if waiting else "",
        rollback_seconds=[one.seconds for one in back],
        promotion_seconds=through,
        touched=_touched(results, larger),
    )


def _touched(results: Sequence[RunResult], larger: float) -> list[TouchedAt]:
    last = max(result.seconds for result in results)
    moments = [last * index / _MOMENTS for index in range(_MOMENTS + 1)]
    paths = [([at for at, _ in result.touched], [users for _, users in result.touched]) for result in results]
    found = []
    for moment in moments:
        spell = _spell([larger * users[bisect.bisect_right(times, moment) - 1] for times, users in paths])
        if spell is not None:
            found.append(TouchedAt(moment, spell.median, spell.high))
    return found


def _share(count: int, total: int) -> Share:
    interval = wilson_interval(count, total)
    return Share(count / total, interval.low, interval.high)


def _spell(values: Sequence[float]) -> Spell | None:
    if not values:
        return None
    ordered = sorted(values)
    at = [float(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) for share in (0.1, 0.5, 0.9)]
    return Spell(*at)
