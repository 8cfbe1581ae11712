"""What a judge says on average, mended by the labels there are (PPI++, see `stats.judged`). Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from trimtab.stats import Interval, JudgedArm, corrected_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.stats import Estimate, Level

__all__ = ["CorrectedChange", "CorrectedMean", "Judgement", "corrected_change", "corrected_mean", "majority"]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """One answer: what the judge said of it, and what people did."""

    judge: float
    people: list[float | None] = []
    """One label per annotator, on the judge's scale; `None` where that one gave none. Empty where nobody labelled."""
    flip: bool | None = None
    """Of a pairwise judge: whether the order decided."""


class CorrectedMean(msgspec.Struct, frozen=True, kw_only=True):
    """One release."""

    release: str
    answers: int
    """With a judge's verdict, labelled or not."""
    labelled: int
    judged: float
    """The judge's mean."""
    corrected: float | None
    """The people's, from all verdicts and the labels; `None` below 2 labels."""
    interval: Interval | None


class CorrectedChange(msgspec.Struct, frozen=True, kw_only=True):
    """From one release to another."""

    baseline: str
    candidate: str
    judged: float
    corrected: float
    interval: Interval
    """Wider than it need be: the two are taken as independent, though they answered the same items."""


def majority(people: Sequence[float | None], level: Level) -> float | None:
    """Return what most people say, `None` where no label has more than half; of labels on a scale, their median."""
    labels = sorted(label for label in people if label is not None)
    if not labels:
        return None
    if level != "nominal":
        middle = len(labels) // 2
        return labels[middle] if len(labels) % 2 else (labels[middle - 1] + labels[middle]) / 2
    label, votes = Counter(labels).most_common(1)[0]
    return label if 2 * votes > len(labels) else None


def corrected_mean(release: str, judged: Sequence[Judgement], level: Level) -> CorrectedMean:
    """Return a release's mean as the judge has it, and as people would."""
    arm = _arm(judged, level)
    found = arm.mean()
    return CorrectedMean(
        release=release,
        answers=len(judged),
        labelled=arm.labelled.human.count,
        judged=_judged(judged),
        corrected=None if found is None else found.value,
        interval=None if found is None else found.interval(),
    )


def corrected_change(
    baseline: tuple[str, Sequence[Judgement]], candidate: tuple[str, Sequence[Judgement]], level: Level
) -> CorrectedChange | None:
    """Return the change from one release (name, judgements) to another; `None` below 2 labels of either."""
    found: Estimate | None = corrected_difference(_arm(baseline[1], level), _arm(candidate[1], level))
    if found is None:
        return None
    return CorrectedChange(
        baseline=baseline[0],
        candidate=candidate[0],
        judged=_judged(candidate[1]) - _judged(baseline[1]),
        corrected=found.value,
        interval=found.interval(),
    )


def _judged(judged: Sequence[Judgement]) -> float:
    return sum(one.judge for one in judged) / len(judged) if judged else 0.0


def _arm(judged: Sequence[Judgement], level: Level) -> JudgedArm:
    arm = JudgedArm()
    for one in judged:
        label = majority(one.people, level)
        if label is None:
            arm.unlabelled.add(one.judge)
        else:
            arm.labelled.add(label, one.judge)
    return arm
