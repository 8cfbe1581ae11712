"""How far a judge agrees with people, model by model: what it may be trusted with.

A judge that agreed with people on one model's answers need not do so on another's, and a difference between two models
that such a judge reports may be its own. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.evals.correction import CorrectedChange, CorrectedMean, Judgement, corrected_mean, majority
from trimtab.evals.judge_rule import Agreed
from trimtab.stats import Interval, Level, bootstrap_interval, clopper_pearson, krippendorff_alpha

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "Agreement",
    "Calibration",
    "CalibrationReport",
    "agreement",
    "calibrate",
    "family_of",
    "held_against",
]

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
    agreement: str
    """From the first release's model to the last one's, how far the judge agrees with people."""
    refusal: str
    """Why it may not gate such a change; empty where it may."""


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


def held_against(calibration: Calibration | None, baseline: str, candidate: str) -> tuple[Agreed, Agreed]:
    """Return how a judge was held against people on two models' answers."""
    known = {} if calibration is None else calibration.families
    old, new = (_agreed(family_of(model), known) for model in (baseline, candidate))
    return old, new


def _agreed(family: str, known: Mapping[str, Agreement]) -> Agreed:
    found = known.get(family)
    if found is None or found.agreement is None:
        return Agreed(on=family, agreed=0, labels=0)
    return Agreed(on=family, agreed=round(found.agreement * found.labelled), labels=found.labelled, alpha=found.alpha)
