"""Whether a release passes: each rule of a suite's gate, judged on a comparison. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from trimtab.core.quantity import quantity
from trimtab.evals.comparison import pairs_of
from trimtab.evals.noise import noise_floor
from trimtab.evals.suite import margin_of
from trimtab.stats import clopper_pearson, clustered_mean, items_needed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from trimtab.evals.comparison import Comparison
    from trimtab.evals.pairs import Pairs
    from trimtab.evals.results import EvalRun
    from trimtab.evals.suite import GateSpec, Rule

__all__ = ["GateReport", "RuleOutcome", "judge_gate"]

Verdict = Literal["passed", "failed", "inconclusive", "error"]
_WORST: tuple[Verdict, ...] = ("error", "failed", "inconclusive", "passed")


class RuleOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One rule."""

    rule: str
    """In words."""
    verdict: Verdict
    detail: str
    """What was seen."""


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole gate: as its worst rule."""

    verdict: Verdict
    rules: list[RuleOutcome]

    @property
    def passed(self) -> bool:
        """Whether the release may go on."""
        return self.verdict == "passed"

    @property
    def text(self) -> str:
        """The outcome in words."""
        bad = [f"{one.rule}: {one.detail}" for one in self.rules if one.verdict != "passed"]
        if bad:
            return "; ".join(bad)
        return f"all {len(self.rules)} rules hold" if len(self.rules) > 1 else "its rule holds"


def judge_gate(
    gate: GateSpec,
    candidate: EvalRun,
    *,
    baseline: EvalRun | None = None,
    comparison: Comparison | None = None,
    barred: Mapping[str, str] | None = None,
    vouched: Mapping[str, str] | None = None,
) -> GateReport:
    """Return whether a candidate passes.

    `failed`: shown to be worse than allowed. `inconclusive`: neither shown; more items may show it. `error`: it cannot
    be said. `barred` tells of metrics whose judges may not gate why, `vouched` of those of judges how far people agree.
    """
    outcomes = _whole(gate, candidate, {rule.metric for rule in gate.rules}, "")
    relative = {rule.metric for rule in gate.rules if gate.no_worse_slice or _is_relative(rule)}
    if baseline is not None and (relative or gate.no_worse_slice):
        outcomes += _whole(gate, baseline, relative, "baseline: ")  # missing answers would make it easy to be no worse
    for rule in gate.rules:
        outcomes.append(_vouched(_rule(rule, gate, candidate, baseline, barred or {}), rule, vouched or {}))
    if gate.no_worse_slice:
        outcomes.append(_slices(comparison, {rule.metric for rule in gate.rules}))
    if not gate.rules and not gate.no_worse_slice:
        said = "the suite's gate has no rules, so nothing was asked of the release"
        outcomes.append(RuleOutcome(rule="rules", verdict="error", detail=said))
    verdict = next(one for one in _WORST if any(outcome.verdict == one for outcome in outcomes))
    return GateReport(verdict=verdict, rules=outcomes)


def _vouched(outcome: RuleOutcome, rule: Rule, vouched: Mapping[str, str]) -> RuleOutcome:
    """Return a judge's outcome with how far people agree with it; what could not be said needs no voucher."""
    if outcome.verdict == "error" or rule.metric not in vouched:
        return outcome
    return msgspec.structs.replace(outcome, detail=f"{outcome.detail}; its judge {vouched[rule.metric]}")


def _is_relative(rule: Rule) -> bool:
    return rule.at_least is None and rule.at_most is None


def _whole(gate: GateSpec, run: EvalRun, metrics: Collection[str], whose: str) -> list[RuleOutcome]:
    """Return what is missing of a run, as far as these metrics need it."""
    allowed = gate.max_unanswered / 100.0
    rows = len(run.rows) or 1
    told = []
    if run.stopped:
        told.append(RuleOutcome(rule=f"{whose}the run is complete", verdict="error", detail=run.stopped))
    if run.no_answer:  # whatever share may be missing: two releases that say nothing are no worse than each other
        told.append(RuleOutcome(rule=f"{whose}something is answered", verdict="error", detail=run.no_answer))
    elif run.unanswered / rows > allowed:
        first = next(row.error for row in run.rows if row.error)
        detail = f"{run.unanswered:,} of {len(run.rows):,} have no answer (the first: {first})"
        told.append(RuleOutcome(rule=whose + _at_most("unanswered", gate), verdict="error", detail=detail))
    for metric in sorted(metrics):
        failed = [row.failures[metric] for row in run.rows if metric in row.failures]
        if len(failed) / rows > allowed:
            detail = f"the scorer failed on {len(failed):,} (the first: {failed[0]})"
            unjudged = whose + _at_most(f"{metric} unjudged", gate)
            told.append(RuleOutcome(rule=unjudged, verdict="error", detail=detail))
    return told


def _at_most(what: str, gate: GateSpec) -> str:
    return f"at most {gate.max_unanswered:g} % {what}"


def _rule(
    rule: Rule, gate: GateSpec, candidate: EvalRun, baseline: EvalRun | None, barred: Mapping[str, str]
) -> RuleOutcome:
    if rule.metric not in candidate.metrics:
        return RuleOutcome(rule=rule.metric, verdict="error", detail="the run has no such metric")
    if rule.metric in barred:
        return RuleOutcome(rule=_named(rule), verdict="error", detail=f"its judge may not gate: {barred[rule.metric]}")
    if not _is_relative(rule):
        return _level(rule, gate, candidate)
    if baseline is None or rule.metric not in baseline.metrics:
        said = "there is no baseline to compare with"
        return RuleOutcome(rule=_named(rule), verdict="error", detail=said)
    return _relative(rule, gate, candidate, baseline)


def _relative(rule: Rule, gate: GateSpec, candidate: EvalRun, baseline: EvalRun) -> RuleOutcome:
    pairs = pairs_of(baseline, candidate, rule.metric)
    if few := _too_few(pairs.clusters, gate, "pair"):
        return RuleOutcome(rule=_named(rule), verdict="inconclusive", detail=few)
    if rule.max_negative_flips is not None:
        return _negative_flips(rule, gate, baseline, candidate)
    return _against_baseline(rule, gate, candidate, pairs)


def _named(rule: Rule, unit: str = "") -> str:
    if rule.superior:
        return f"{rule.metric} is better"
    if rule.max_negative_flips is not None:
        return f"{rule.metric}: at most {rule.max_negative_flips:g} % negative flips in excess"
    if rule.non_inferior is not None:
        margin = rule.non_inferior if isinstance(rule.non_inferior, str) else f"{rule.non_inferior:g}"
        return f"{rule.metric} is worse by less than {margin}{' points' if unit else ''}"
    bound = f"at least {rule.at_least:g}" if rule.at_least is not None else f"at most {rule.at_most:g}"
    return f"{rule.metric} is {bound}{unit}"


def _against_baseline(rule: Rule, gate: GateSpec, candidate: EvalRun, pairs: Pairs) -> RuleOutcome:
    binary = candidate.metrics[rule.metric].kind == "binary"
    named = _named(rule, " %" if binary else "")
    margin = 0.0
    if rule.non_inferior is not None:
        found = margin_of(rule.non_inferior, binary=binary, mean=pairs.baseline)
        if found is None:
            detail = f"{rule.non_inferior} of {pairs.baseline:g} is no margin"
            return RuleOutcome(rule=named, verdict="error", detail=detail)
        margin = found
    p_value = pairs.better(margin)
    interval = pairs.interval(2 * gate.alpha)
    if p_value is None or interval is None:
        return RuleOutcome(rule=named, verdict="inconclusive", detail="all items are of one group")
    scale, unit = (100.0, " points") if binary else (1.0, "")
    seen = (
        f"{scale * pairs.baseline:.4g} to {scale * pairs.candidate:.4g}{' %' if binary else ''}, "
        f"difference in [{scale * interval.low:+.3g}, {scale * interval.high:+.3g}]{unit} "
        f"({100 - 200 * gate.alpha:g} % interval, {quantity(len(pairs.items), 'pair')})"
    )
    if p_value <= gate.alpha:
        return RuleOutcome(rule=named, verdict="passed", detail=seen)
    best = interval.high if pairs.sign > 0 else -interval.low
    if best < -margin or (not margin and best <= 0):
        return RuleOutcome(rule=named, verdict="failed", detail=seen)
    return RuleOutcome(rule=named, verdict="inconclusive", detail=seen + _more(pairs, margin, gate))


def _more(pairs: Pairs, margin: float, gate: GateSpec) -> str:
    variance = pairs.variance()
    if variance is None or not margin:
        return ""
    needed = items_needed(variance, margin=margin, alpha=gate.alpha)
    if needed > len(pairs.items):
        return f"; if the two are alike, about {needed:,} items show it nine times in ten"
    return "; the items would suffice if the two were alike"


def _level(rule: Rule, gate: GateSpec, candidate: EvalRun) -> RuleOutcome:
    info = candidate.metrics[rule.metric]
    named = _named(rule, " %" if info.kind == "binary" else "")
    values = candidate.values(rule.metric)
    if not values:
        return RuleOutcome(rule=named, verdict="error", detail="no item has a value")
    means = [sum(each) / len(each) for each in values.values()]
    scale = 100.0 if info.kind == "binary" else 1.0
    mean = scale * sum(means) / len(means)
    low = high = mean
    if rule.sure:
        low, high = _bounds(means, _groups(candidate, values), scale, gate.alpha)
    seen = f"{mean:.4g}{' %' if info.kind == 'binary' else ''} of {quantity(len(means), 'item')}"
    if rule.sure:
        seen += f", in [{low:.4g}, {high:.4g}]"
    least, most = rule.at_least, rule.at_most
    holds = low >= least if least is not None else high <= (most or 0.0)
    hopeless = high < least if least is not None else low > (most or 0.0)
    verdict: Verdict = "passed" if holds else "failed" if hopeless or not rule.sure else "inconclusive"
    groups = _groups(candidate, values)
    if verdict == "passed" and (few := _too_few(groups, gate, "item")):
        return RuleOutcome(rule=named, verdict="inconclusive", detail=f"{seen}; {few}")
    return RuleOutcome(rule=named, verdict=verdict, detail=seen)


def _too_few(groups: Collection[str], gate: GateSpec, what: str) -> str:
    """Return why so few say nothing; empty where they are enough. Items of one group count once."""
    independent = len(set(groups))
    if independent >= gate.min_items:
        return ""
    grouped = independent < len(groups)
    counted = quantity(independent, *((f"group of {what}s", f"groups of {what}s") if grouped else (what,)))
    return f"{counted}, and fewer than {gate.min_items:,} (`minItems`) show nothing"


def _groups(run: EvalRun, values: Collection[str]) -> list[str]:
    groups = {row.item: row.group for row in run.rows}
    return [groups[item] or f"\x1f{item}" for item in values]


def _bounds(means: list[float], groups: list[str], scale: float, alpha: float) -> tuple[float, float]:
    grouped = len(set(groups)) < len(groups)
    if not grouped and all(value in {0.0, 1.0} for value in means):
        exact = clopper_pearson(round(sum(means)), len(means), alpha=2 * alpha)
        return scale * exact.low, scale * exact.high
    mean = clustered_mean(means, groups)
    if mean is None:
        return -float("inf"), float("inf")
    interval = mean.interval(alpha=2 * alpha)
    return scale * interval.low, scale * interval.high


def _negative_flips(rule: Rule, gate: GateSpec, baseline: EvalRun, candidate: EvalRun) -> RuleOutcome:
    counts = pairs_of(baseline, candidate, rule.metric, sample=0).counts
    if counts is None or not counts.items:
        return RuleOutcome(rule=_named(rule), verdict="error", detail="no item can flip")
    noise = noise_floor(baseline.values(rule.metric), binary=True)
    expected = noise.flip_rate / 2.0 if noise is not None and noise.flip_rate is not None else 0.0
    interval = clopper_pearson(counts.lost, counts.items, alpha=2 * gate.alpha)
    low, high = 100 * (interval.low - expected), 100 * (interval.high - expected)
    most = rule.max_negative_flips or 0.0
    against = f"{100 * expected:.3g} % against itself" if noise is not None else "the baseline was not repeated"
    seen = f"{counts.lost:,} of {counts.items:,} flipped ({against}), excess in [{low:.3g}, {high:.3g}] %"
    verdict: Verdict = "passed" if high <= most else "failed" if low > most else "inconclusive"
    return RuleOutcome(rule=_named(rule), verdict=verdict, detail=seen)


def _slices(comparison: Comparison | None, ruled: Collection[str]) -> RuleOutcome:
    """Of the metrics that rules are about; of all where there are none."""
    if comparison is None:
        return RuleOutcome(rule="no slice is worse", verdict="error", detail="there is no baseline to compare with")
    looked_at = [one for one in comparison.slices if not ruled or one.metric in ruled]
    if not looked_at:
        said = "there is no slice to look at: items name theirs in `slices`, and one needs a few pairs"
        return RuleOutcome(rule="no slice is worse", verdict="inconclusive", detail=said)
    worse = [one for one in looked_at if one.worse]
    if not worse:
        detail = f"{len(looked_at):,} looked at"
        return RuleOutcome(rule="no slice is worse", verdict="passed", detail=detail)
    named = ", ".join(f"{one.name}={one.value} ({one.metric})" for one in worse[:5])
    return RuleOutcome(rule="no slice is worse", verdict="failed", detail=named)
