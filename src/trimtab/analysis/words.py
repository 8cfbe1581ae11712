"""Evidence in words that somebody who was woken at night understands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.analysis.model import HEAVY_TAILED

if TYPE_CHECKING:
    from trimtab.analysis.model import MetricEvidence, MetricSpec

__all__ = ["describe", "odds"]

_UNITS = {"latency": " ms", "tokens": " tokens", "length": " characters"}
_GOOD = {"error": "requests without an error", "refusal": "answers that are not refusals"}


def odds(value: float) -> str:
    """Return wealth as odds: `8,100 : 1`, `0.31 : 1`, `over 10^12 : 1`."""
    if value >= 1e12:  # noqa: PLR2004 - beyond it digits mean nothing
        return "over 10^12 : 1"
    return f"{value:,.0f} : 1" if value >= 10 else f"{value:.2g} : 1"  # noqa: PLR2004 - two digits are enough


def describe(evidence: MetricEvidence, spec: MetricSpec, unit: str) -> str:
    """Return one paragraph on what a metric says, with means, numbers of units, evidence and limit."""
    if evidence.candidate_mean is None or evidence.control_mean is None:
        return f"`{spec.name}`: nothing to compare yet."
    before, after = _value(evidence.control_mean, evidence, spec), _value(evidence.candidate_mean, evidence, spec)
    who = (
        f"{evidence.candidate_units:,} candidate {unit}s against {evidence.control_units:,} concurrent control {unit}s"
    )
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
    return f"`{spec.name}`{_meaning(spec)} {_change(before, after, evidence, spec)} ({who}{clipped}); {proof}."


def _meaning(spec: MetricSpec) -> str:
    return f" ({_GOOD[spec.name]})" if spec.name in _GOOD else ""


def _change(before: str, after: str, evidence: MetricEvidence, spec: MetricSpec) -> str:
    if before == after:
        return f"stayed at {after}"
    better = (evidence.candidate_mean or 0.0) > (evidence.control_mean or 0.0)
    verb = "rose" if better is not (spec.lower_is_better and evidence.cap is not None) else "fell"
    return f"{verb} from {before} to {after}"


def _value(score: float, evidence: MetricEvidence, spec: MetricSpec) -> str:
    if evidence.cap is not None:
        return _quantity((1 - score if spec.lower_is_better else score) * evidence.cap, spec)
    return f"{100 * score:.1f} %"


def _quantity(value: float, spec: MetricSpec) -> str:
    if spec.name == "cost":
        return f"${value:.3g}"
    number = f"{value:,.0f}" if value >= 10 else f"{value:.3g}"  # noqa: PLR2004 - whole numbers from ten on
    return number + _UNITS.get(spec.name, "")


def _margin(evidence: MetricEvidence, spec: MetricSpec) -> str:
    if evidence.cap is not None:
        return (
            f"{_quantity(evidence.margin * evidence.cap, spec)} more"
            if spec.name in HEAVY_TAILED
            else (f"{_quantity(evidence.margin * evidence.cap, spec)}")
        )
    points = 100 * evidence.margin
    return f"{points:g} point{'' if points == 1 else 's'}"
