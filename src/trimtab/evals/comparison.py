"""What changed between two runs over the same items, told with how sure it is. A pure function of the two."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import msgspec

from trimtab.core.errors import InputError
from trimtab.evals.noise import NoiseFloor, noise_floor
from trimtab.evals.pairs import Method, Pairs, paired
from trimtab.evals.results import Tried
from trimtab.evals.slices import SliceComparison, compare_slices
from trimtab.stats import Interval, PairedCounts, benjamini_hochberg, clopper_pearson, detectable_margin, items_needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.evals.results import EvalRun

__all__ = ["Comparison", "Flips", "MetricComparison", "compare", "pairs_of"]

Shift = Literal["better", "worse", "different", "no difference shown"]
USUAL_MARGIN = 0.05
"""Five points: for statements of power about binary metrics where nobody gave a margin."""
_EXAMPLES = 20


class Flips(msgspec.Struct, frozen=True, kw_only=True):
    """Of a binary metric, the first answer to each item: who passed before and does not any more."""

    counts: PairedCounts
    negative: float
    """Share of items lost."""
    negative_interval: Interval
    """Clopper-Pearson."""
    expected: float | None = None
    """Share that the baseline loses against itself; `None` where it was answered once only."""
    excess: float | None = None
    """What it lost beyond that; `excess_interval` is the Clopper-Pearson interval moved by it."""
    excess_interval: Interval | None = None
    lost: list[str] = []
    """Items, at most 20 of each kind."""
    gained: list[str] = []


class MetricComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One metric."""

    metric: str
    kind: Literal["binary", "numeric"]
    lower_is_better: bool = False
    neutral: bool = False
    method: Method
    items: int
    """Pairs."""
    unpaired: int
    """Items that only one of the runs has a value of."""
    baseline: float
    candidate: float
    difference: float
    """Candidate - baseline, in the metric's own unit."""
    interval: Interval | None
    newcombe: Interval | None = None
    """Of binary metrics, beside Tango's `interval`."""
    p_value: float | None
    """That nothing changed; two-sided."""
    adjusted: float | None = None
    """The same after Benjamini-Hochberg over all metrics."""
    better_or_worse: Shift
    """At level alpha, by the adjusted p-value."""
    clusters: int
    design_effect: float | None = None
    flips: Flips | None = None
    noise: NoiseFloor | None = None
    """Of the baseline against itself."""
    margin: float | None = None
    """Of which `needed` speaks."""
    needed: int | None = None
    """Items that would show a difference of 0 to be within the margin, with 90 % power at alpha."""
    detectable: float | None = None
    """The smallest margin that the items at hand can show so."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs."""

    baseline: Tried
    candidate: Tried
    alpha: float
    items: int
    """In both."""
    unanswered: int
    """Answers of the candidate that failed."""
    metrics: list[MetricComparison]
    slices: list[SliceComparison]
    """Worst first."""

    def metric(self, name: str) -> MetricComparison | None:
        """Return what is known of a metric."""
        return next((one for one in self.metrics if one.metric == name), None)

    @property
    def worse_slices(self) -> list[SliceComparison]:
        """Slices that are worse, corrected for looking at all of them."""
        return [one for one in self.slices if one.worse]


def compare(
    baseline: EvalRun, candidate: EvalRun, *, alpha: float = 0.05, margins: Mapping[str, float] | None = None
) -> Comparison:
    """Return what changed from one run to another.

    `margins` are by metric, in its own unit. Raises `InputError` (`not_comparable`) for runs over different items, or
    with no metric in common.
    """
    _check(baseline, candidate)
    shared = [metric for metric in baseline.metrics if metric in candidate.metrics]
    measured = {metric: pairs_of(baseline, candidate, metric) for metric in shared}
    found = [
        _metric(baseline, candidate, metric, pairs, alpha, (margins or {}).get(metric))
        for metric, pairs in measured.items()
    ]
    return Comparison(
        baseline=baseline.tried,
        candidate=candidate.tried,
        alpha=alpha,
        items=len({row.item for row in baseline.rows} & {row.item for row in candidate.rows}),
        unanswered=candidate.unanswered,
        metrics=_adjusted(found, alpha),
        slices=compare_slices(
            {metric: pairs for metric, pairs in measured.items() if not baseline.metrics[metric].neutral},
            {row.item: row.slices for row in baseline.rows},
            alpha=alpha,
        ),
    )


def _check(baseline: EvalRun, candidate: EvalRun) -> None:
    one, other = baseline.tried, candidate.tried
    if (one.dataset_digest, one.split) != (other.dataset_digest, other.split):
        raise InputError(
            "not_comparable",
            f"the runs are over different items: {one.dataset} ({one.split}) and {other.dataset} ({other.split})",
            param="run",
            hint="run both over the same dataset and split",
        )
    if not baseline.metrics.keys() & candidate.metrics.keys():
        raise InputError("not_comparable", "the runs have no metric in common", param="run")


def pairs_of(baseline: EvalRun, candidate: EvalRun, metric: str, *, sample: int | None = None) -> Pairs:
    """Return a metric's pairs; of several answers to an item the mean, or those of one sample."""
    info = baseline.metrics[metric]
    return paired(
        baseline.values(metric, sample=sample),
        candidate.values(metric, sample=sample),
        {row.item: row.group for row in baseline.rows},
        binary=info.kind == "binary",
        lower_is_better=info.lower_is_better,
    )


def _metric(
    baseline: EvalRun, candidate: EvalRun, metric: str, pairs: Pairs, alpha: float, margin: float | None
) -> MetricComparison:
    info = baseline.metrics[metric]
    before, after = baseline.values(metric), candidate.values(metric)
    mean, variance = pairs.mean(), pairs.variance()
    noise = noise_floor(before, binary=info.kind == "binary")
    margin = margin if margin is not None or info.kind != "binary" else USUAL_MARGIN
    known = variance is not None and len(pairs.items) > 1
    return MetricComparison(
        metric=metric,
        kind=info.kind,
        lower_is_better=info.lower_is_better,
        neutral=info.neutral,
        method=pairs.method,
        items=len(pairs.items),
        unpaired=len(before.keys() ^ after.keys()),
        baseline=pairs.baseline,
        candidate=pairs.candidate,
        difference=pairs.candidate - pairs.baseline,
        interval=pairs.interval(alpha),
        newcombe=pairs.newcombe(alpha),
        p_value=pairs.changed(),
        better_or_worse="no difference shown",
        clusters=len(set(pairs.clusters)),
        design_effect=mean.design_effect if mean is not None and pairs.grouped else None,
        flips=_flips(pairs_of(baseline, candidate, metric, sample=0), noise) if info.kind == "binary" else None,
        noise=noise,
        margin=margin,
        needed=items_needed(variance or 0.0, margin=margin, alpha=alpha) if known and margin else None,
        detectable=detectable_margin(len(pairs.items), variance or 0.0, alpha=alpha) if known else None,
    )


def _flips(first: Pairs, noise: NoiseFloor | None) -> Flips | None:
    counts = first.counts
    if counts is None or not counts.items:
        return None
    interval = clopper_pearson(counts.lost, counts.items)
    expected = None if noise is None or noise.flip_rate is None else noise.flip_rate / 2.0  # either way is as likely
    triples = list(zip(first.items, first.before, first.after, strict=True))
    share = counts.lost / counts.items
    return Flips(
        counts=counts,
        negative=share,
        negative_interval=interval,
        expected=expected,
        excess=None if expected is None else share - expected,
        excess_interval=None if expected is None else Interval(interval.low - expected, interval.high - expected),
        lost=[item for item, before, after in triples if before > after][:_EXAMPLES],
        gained=[item for item, before, after in triples if after > before][:_EXAMPLES],
    )


def _adjusted(found: Sequence[MetricComparison], alpha: float) -> list[MetricComparison]:
    tested = [one for one in found if one.p_value is not None]
    adjusted = dict(
        zip((one.metric for one in tested), benjamini_hochberg([one.p_value or 0.0 for one in tested]), strict=True)
    )
    told = []
    for one in found:
        value = adjusted.get(one.metric)
        shown = value is not None and value <= alpha and not math.isclose(one.difference, 0.0, abs_tol=1e-12)
        up = (one.difference > 0) != one.lower_is_better
        way: Shift = "different" if one.neutral else "better" if up else "worse"
        says: Shift = way if shown else "no difference shown"
        told.append(msgspec.structs.replace(one, adjusted=value, better_or_worse=says))
    return told
