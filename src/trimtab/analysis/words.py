"""Evidence in words that somebody who was woken at night understands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.stats import RATIO_REACH

if TYPE_CHECKING:
    from trimtab.analysis.model import MetricEvidence, MetricSpec

__all__ = ["describe", "measured", "odds", "still_learning", "value_in_words"]

_UNITS = {
    "latency": " ms",
    "tokens": " tokens",
    "length": " characters",
    "input_tokens": " input tokens",
    "requests": " requests",
    "errors": " errors",
    "attempts": " model calls",
    "tool_calls": " tool calls",
}
_PER = {
    "latency": (1000, "second"),
    "tokens": (1000, "1,000 tokens"),
    "cost": (1, "dollar"),
    "length": (1000, "1,000 characters"),
    "input_tokens": (1000, "1,000 input tokens"),
    "requests": (1, "request"),
    "errors": (1, "error"),
    "attempts": (1, "model call"),
    "tool_calls": (1, "tool call"),
}
"""How many of what a ratio is told per."""
_GOOD = {"error": "requests without an error", "refusal": "answers that are not refusals"}


def odds(value: float) -> str:
    """Return wealth as odds: `8,100 : 1`, `0.31 : 1`, `over 10^12 : 1`."""
    if value >= 1e12:  # noqa: PLR2004 - beyond it digits mean nothing
        return "over 10^12 : 1"
    return f"{value:,.0f} : 1" if value >= 10 else f"{value:.2g} : 1"  # noqa: PLR2004 - two digits are enough


def describe(evidence: MetricEvidence, spec: MetricSpec, unit: str, *, arm: str = "candidate") -> str:
    """Return one paragraph on what a metric says, with means, numbers of units, evidence and limit."""
    if evidence.candidate_mean is None or evidence.control_mean is None:
        return f"`{spec.name}`: nothing to compare yet."
    cap, ratio = evidence.cap, evidence.ratio
    before = value_in_words(evidence.control_mean, spec, cap=cap, ratio=ratio)
    after = value_in_words(evidence.candidate_mean, spec, cap=cap, ratio=ratio)
    who = f"{evidence.candidate_units:,} {arm} {unit}s against {evidence.control_units:,} concurrent control {unit}s"
    if evidence.phase == "shadow":
        who = f"the same {evidence.candidate_units:,} {unit}s answered by both in shadow"
    claim = f"'no worse than {_margin(evidence, spec)}'"
    if evidence.passed and not evidence.failed:
        proof = f"evidence {odds(evidence.non_inferior)} for {claim}, limit {odds(evidence.promotion_limit)}"
    else:
        proof = f"evidence {odds(evidence.harm_peak)} against {claim}, limit {odds(evidence.limit)}"
    clipped = ""
    if evidence.cap is not None:
        clipped = f", each request clipped at {_quantity(evidence.cap, spec)}"
    return (
        f"`{spec.name}`{_meaning(evidence, spec)} {_change(before, after, evidence, spec)} ({who}{clipped}); {proof}."
    )


def still_learning(spec: MetricSpec, learned: int, needed: int, unit: str) -> str:
    """Return what a metric says before what it holds requests against is known of stable."""
    if learned < needed:
        return (
            f"`{spec.name}`: nothing to compare yet; it learns of stable from {learned:,} of {needed:,} {unit}s so far."
        )
    return f"`{spec.name}`: nothing to compare; stable's ratio is zero over its first {learned:,} {unit}s."


def measured(value: float | None, spec: MetricSpec) -> str:
    """Return what a metric measured of one generation: `good`, `bad`, `1,240 ms`; `-` where it does not apply."""
    if value is None:
        return "-"
    if spec.kind == "binary" and value in {0.0, 1.0}:
        return "good" if (value == 1.0) is not spec.lower_is_better else "bad"
    return _quantity(value, spec)


def _meaning(evidence: MetricEvidence, spec: MetricSpec) -> str:
    if evidence.threshold is not None:
        edge = _quantity(evidence.threshold, spec)
        reach = f"within {edge}" if spec.lower_is_better else f"that reach {edge}"
        whose = "" if spec.limit is not None else f", stable's {100 * spec.learned_share:g} % quantile"
        return f" (requests {reach}{whose})"
    return f" ({_GOOD[spec.name]})" if spec.name in _GOOD else ""


def _change(before: str, after: str, evidence: MetricEvidence, spec: MetricSpec) -> str:
    if before == after:
        return f"stayed at {after}"
    better = (evidence.candidate_mean or 0.0) > (evidence.control_mean or 0.0)
    in_own_unit = evidence.cap is not None or evidence.ratio is not None
    verb = "rose" if better is not (spec.lower_is_better and in_own_unit) else "fell"
    return f"{verb} from {before} to {after}"


def value_in_words(score: float, spec: MetricSpec, *, cap: float | None, ratio: float | None) -> str:
    """Return a mean score, in the metric's own unit where it is clipped or a ratio: `61.0 %`, `412 ms`."""
    if cap is not None:
        return _quantity((1 - score if spec.lower_is_better else score) * cap, spec)
    if ratio is not None:
        many, word = _PER[spec.per or "requests"]
        excess = 2.0 * RATIO_REACH * (0.5 - score if spec.lower_is_better else score - 0.5)
        return f"{_quantity(max(0.0, 1.0 + excess) * ratio * many, spec)} per {word}"
    return f"{100 * score:.1f} %"


def _quantity(value: float, spec: MetricSpec) -> str:
    if spec.source == "cost":
        return f"${value:.3g}"
    number = f"{value:,.0f}" if value >= 10 else f"{value:.3g}"  # noqa: PLR2004 - whole numbers from ten on
    return number + _UNITS.get(spec.source, "")


def _margin(evidence: MetricEvidence, spec: MetricSpec) -> str:
    worse = "more" if spec.lower_is_better else "less"
    if evidence.cap is not None:
        return f"{_quantity(evidence.margin * evidence.cap, spec)} {worse}"
    if evidence.ratio is not None:
        return f"{100 * spec.allowance:g} % {worse}"
    points = 100 * evidence.margin
    return f"{points:g} point{'' if points == 1 else 's'}"
