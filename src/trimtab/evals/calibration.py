"""How far a judge agrees with people, model by model: what it may be trusted with.

A judge that agreed with people on one model's answers need not do so on another's, and a difference between two models
that such a judge reports may be its own. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.evals.correction import CorrectedChange, CorrectedMean, Judgement, corrected_mean, majority
from trimtab.stats import Interval, Level, bootstrap_interval, clopper_pearson, krippendorff_alpha

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "MOST_LOST",
    "Agreement",
    "Calibration",
    "CalibrationReport",
    "agreement",
    "calibrate",
    "family_of",
    "gate_problem",
]

MOST_LOST = 0.05
"""Points of agreement that a judge may lose from one model to another and still gate."""
FEWEST_LABELS = 30
"""Labelled answers of a model below which nothing is known of a judge on it."""
_RESAMPLES = 500
_DATED = re.compile(r"(?:[-@:](?:latest|preview|\d{4}-\d{2}-\d{2}|\d{3,8}))+$")


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """A judge on one model's answers."""

    family: str
    labelled: int
    """Answers on which most people agree with each other."""
    undecided: int
    """Answers on which they do not: left out."""
    agreement: float | None
    """Share of the labelled answers on which the judge says what most people say."""
    interval: Interval
    """Clopper-Pearson."""
    alpha: float | None
    """Krippendorff's, judge against the people's majority."""
    alpha_interval: Interval | None
    """Percentile bootstrap over answers."""
    people_alpha: float | None
    """Krippendorff's among the people: what a judge could reach at best."""
    bias: float | None
    """Mean of judge - people."""
    flip_rate: float | None
    """Of a pairwise judge, the share of answers on which the order decided."""
    flip_interval: Interval | None
    answers: int
    """With a judge's verdict, labelled or not."""
    judged_mean: float
    """What the judge says on average."""
    corrected_mean: float | None
    """The people's mean, from all the judge's verdicts and the labels there are (PPI++)."""
    corrected_interval: Interval | None


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A judge, model by model."""

    metric: str
    scorer: str
    """Digest of the scorer: another rubric or model is another judge."""
    judge: str
    tolerance: float
    """How far off a label the judge may be and still agree with it."""
    at_ms: int
    families: dict[str, Agreement]


class CalibrationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of holding a judge against people."""

    calibration: Calibration
    releases: list[CorrectedMean]
    change: CorrectedChange | None
    """From the first release to the last, where there are two or more with labels."""


def family_of(model: str) -> str:
    """Return a model's name without its date or `latest`: snapshots of one model are taken together."""
    return _DATED.sub("", model)


def calibrate(
    judged: Mapping[str, Sequence[Judgement]], *, tolerance: float, level: Level = "nominal"
) -> dict[str, Agreement]:
    """Return the agreement by family of models."""
    return {family: agreement(family, each, tolerance=tolerance, level=level) for family, each in judged.items()}


def agreement(family: str, judged: Sequence[Judgement], *, tolerance: float, level: Level = "nominal") -> Agreement:
    """Return how far a judge agrees with people on one family's answers.

    Where most people agree (of an even number, more than half), their label counts; of labels on a scale (`level`
    other than nominal), their median does.
    """
    voiced = [one for one in judged if any(label is not None for label in one.people)]
    decided = [(one, label) for one in voiced if (label := majority(one.people, level)) is not None]
    agreed = sum(abs(one.judge - label) <= tolerance + 1e-9 for one, label in decided)
    pairs = [(label, one.judge) for one, label in decided]
    flips = [one.flip for one in judged if one.flip is not None]
    mean = corrected_mean(family, judged, level)
    return Agreement(
        family=family,
        labelled=len(decided),
        undecided=len(voiced) - len(decided),
        agreement=agreed / len(decided) if decided else None,
        interval=clopper_pearson(agreed, len(decided)),
        alpha=_alpha(pairs, level),
        alpha_interval=bootstrap_interval(pairs, lambda units: _alpha(units, level), resamples=_RESAMPLES),
        people_alpha=krippendorff_alpha([one.people for one in voiced], level=level),
        bias=sum(judge - label for label, judge in pairs) / len(pairs) if pairs else None,
        flip_rate=sum(flips) / len(flips) if flips else None,
        flip_interval=clopper_pearson(sum(flips), len(flips)) if flips else None,
        answers=len(judged),
        judged_mean=mean.judged,
        corrected_mean=mean.corrected,
        corrected_interval=mean.interval,
    )


def _alpha(pairs: Iterable[Sequence[Any]], level: Level) -> float | None:
    return krippendorff_alpha(pairs, level=level)


def gate_problem(calibration: Calibration | None, baseline: str, candidate: str, *, uncalibrated: bool) -> str:
    """Return why a judge may not gate a change from one model to another; empty where it may.

    `uncalibrated`: whether a judge that was never held against people may. One that is known to agree less may not.
    """
    families = [family_of(baseline), family_of(candidate)]
    known = [None if calibration is None else calibration.families.get(family) for family in families]
    for family, found in zip(families, known, strict=True):
        if found is None or found.agreement is None or found.labelled < FEWEST_LABELS:
            if uncalibrated:
                continue
            labels = 0 if found is None else found.labelled
            return f"it was held against people on {labels:,} answers of {family}, and it takes {FEWEST_LABELS}"
    before, after = (None if one is None else one.agreement for one in known)
    if before is not None and after is not None and before - after > MOST_LOST + 1e-9:
        counts = [0 if one is None else one.labelled for one in known]
        return (
            f"it agrees with people on {100 * after:.1f} % of {counts[1]:,} answers of {families[1]} and on "
            f"{100 * before:.1f} % of {counts[0]:,} of {families[0]}: more than {100 * MOST_LOST:g} points less"
        )
    return ""
