"""Many judge scores, few human labels: means and differences that a biased judge cannot shift.

A judge (a model, a rule) scores every answer, people label a few of them. The labelled ones say how far the judge is
off, and that correction is taken from all its scores. How much the judge is believed is tuned: a judge that says
nothing about the labels gets weight 0 and the estimate is that of the labels alone.

Method: Angelopoulos, Duchi & Zrnic, "PPI++: efficient prediction-powered inference" (arXiv 2311.01453), for means.
For betting: :class:`JudgedScores`, after Csillag, Struchiner & Goedert, "Prediction-powered e-values" (ICML 2025,
arXiv 2502.04294) and, for labels asked at random, Horvitz & Thompson (1952). Where nobody knows how likely
a label is, :class:`LabelledScores`: the first paper's difference, label by label.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import msgspec

from trimtab.core.errors import InputError
from trimtab.stats.intervals import Interval, Moments

__all__ = [
    "LABELLED_SPAN",
    "CoMoments",
    "Estimate",
    "JudgedArm",
    "JudgedScores",
    "LabelledScores",
    "corrected_difference",
]

_PRIOR_LABELS = 10.0
"""Labels' worth of belief, before any came, that the judge says what people say."""
LABELLED_SPAN = 3.0
"""Length of the interval [-1, 2] in which estimates of :class:`LabelledScores` lie."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A corrected mean, or difference of means."""

    value: float
    standard_error: float

    def interval(self, *, alpha: float = 0.05) -> Interval:
        """Return the normal interval, for one look. For many looks bet on :class:`JudgedScores`."""
        half = NormalDist().inv_cdf(1.0 - alpha / 2.0) * self.standard_error
        return Interval(self.value - half, self.value + half)


class CoMoments(msgspec.Struct):
    """Means, squares and products of pairs, one pair at a time (Welford 1962, for two variables)."""

    human: Moments = msgspec.field(default_factory=Moments)
    judge: Moments = msgspec.field(default_factory=Moments)
    products: float = 0.0
    """Sum of (human - mean)·(judge - mean)."""

    def add(self, human: float, judge: float) -> None:
        """Take one more pair into account."""
        before = human - self.human.mean
        self.human.add(human)
        self.judge.add(judge)
        self.products += before * (judge - self.judge.mean)


class JudgedArm(msgspec.Struct):
    """What is known of one arm: labelled answers, and answers that only the judge has seen."""

    labelled: CoMoments = msgspec.field(default_factory=CoMoments)
    unlabelled: Moments = msgspec.field(default_factory=Moments)

    @property
    def weight(self) -> float:
        """Power-tuned weight λ of the judge, in [0, 1] (section 6 of the paper); 0 where too little is known."""
        labels, scores = self.labelled.human.count, self.unlabelled.count
        spread = _pooled_variance(self.labelled.judge, self.unlabelled)
        if labels == 0 or scores == 0 or spread <= 0.0:
            return 0.0
        covariance = self.labelled.products / labels
        return min(max(covariance / ((1.0 + labels / scores) * spread), 0.0), 1.0)

    def mean(self, *, weight: float | None = None) -> Estimate | None:
        """Return the corrected mean of the human label; `None` below 2 labels. `weight` overrides the tuned one."""
        human, judge = self.labelled.human, self.labelled.judge
        count = human.count
        if count < 2:  # noqa: PLR2004 - a variance needs two values
            return None
        trust = self.weight if weight is None else weight
        rest = human.squares - 2 * trust * self.labelled.products + trust * trust * judge.squares
        variance = max(rest, 0.0) / count / count
        value = human.mean
        if self.unlabelled.count:
            value += trust * (self.unlabelled.mean - judge.mean)
            variance += trust * trust * self.unlabelled.squares / self.unlabelled.count / self.unlabelled.count
        return Estimate(value=value, standard_error=math.sqrt(variance))


def corrected_difference(control: JudgedArm, candidate: JudgedArm) -> Estimate | None:
    """Return the corrected mean(candidate) - mean(control); `None` where an arm has fewer than 2 labels."""
    before, after = control.mean(), candidate.mean()
    if before is None or after is None:
        return None
    return Estimate(
        value=after.value - before.value, standard_error=math.hypot(after.standard_error, before.standard_error)
    )


def _pooled_variance(first: Moments, second: Moments) -> float:
    count = first.count + second.count
    if count < 2:  # noqa: PLR2004 - a variance needs two values
        return 0.0
    apart = first.mean - second.mean
    between = apart * apart * first.count * second.count / count
    return (first.squares + second.squares + between) / (count - 1)


class JudgedScores(msgspec.Struct, kw_only=True):
    """Unit scores for :class:`trimtab.stats.PairedBetting` from judge scores and a known share of human labels.

    Whether a person is asked about a unit is drawn beforehand with probability `share`, whatever was answered. With m
    the label expected from the judge's score, and h the label where one was asked for,

        z = m                       nobody asked
        z = m + (h - m) / share     somebody asked

    has the mean of h, *whatever m is*, so a judge that likes one arm better cannot fake a harm. m may be anything that
    is known before the unit: it is a regression of labels on scores over both arms so far. z lies in
    [1 - 1/share, 1/share]; a score is z moved and scaled to [0, 1], and a margin shrinks by the same scale.

    A unit counts when its label is there, or when it was drawn not to be asked. Counting one whose label is still
    pending as "not asked" would break the mean. Learn from a label once its pair is bet on, not before: what a waiting
    score leaked into the scores of others would be known when its own pair comes.
    """

    share: float
    """Probability with which a person is asked, the same for both arms."""
    seen: CoMoments = msgspec.field(default_factory=CoMoments)

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise InputError("invalid_share", f"a share of {self.share} is not in (0, 1]", param="share")

    @property
    def span(self) -> float:
        """Length of the interval that z lies in."""
        return 2.0 / self.share - 1.0

    def margin(self, margin: float) -> float:
        """Return, in units of the scores, a margin in units of the human label."""
        return margin / self.span

    def expected(self, judge: float) -> float:
        """Return the label that a judge's score in [0, 1] leads to expect, from the labels so far."""
        seen, prior = self.seen, _PRIOR_LABELS
        count = seen.human.count
        slope = (seen.products + prior / 12.0) / (seen.judge.squares + prior / 12.0)  # 1/12: an even spread of scores
        level = (seen.human.mean - slope * seen.judge.mean) * count / (count + prior)
        return min(max(level + slope * judge, 0.0), 1.0)

    def score(self, judge: float, human: float | None = None) -> float:
        """Return the score in [0, 1] of one unit; without a label (`None`) it was drawn not to be asked."""
        expected = self.expected(judge)
        z = expected if human is None else expected + (human - expected) / self.share
        return min(max((z - (1.0 - 1.0 / self.share)) / self.span, 0.0), 1.0)

    def learn(self, judge: float, human: float) -> None:
        """Learn from one labelled unit whose pair was bet on."""
        self.seen.add(human, judge)


class LabelledScores(msgspec.Struct, kw_only=True):
    """One estimate per label, for labels that come as they come.

    :class:`JudgedScores` has to know with which probability a person is asked, and every label that was asked for must
    arrive. Where people label what they get to, neither is known. It is enough here that who is labelled does not
    depend on the answer: with h the label of a unit, j the judge's score of it, and j̄ the mean of its scores over the
    units of the arm since the last label, this one among them,

        z = h - λ (j - j̄)

    has the mean of h whatever λ is, as long as that is known before the unit (:meth:`learn` says when). λ in [0, 1] is
    the slope of labels on scores; z lies in [-1, 2]. Without labels there is no z: a judge alone proves nothing.
    """

    seen: CoMoments = msgspec.field(default_factory=CoMoments)

    @property
    def weight(self) -> float:
        """How much the judge is believed, λ: 1 before any label came, 0 where labels do not follow its scores."""
        believed = _PRIOR_LABELS / 12.0  # an even spread of scores has a variance of 1/12
        return min(max((self.seen.products + believed) / (self.seen.judge.squares + believed), 0.0), 1.0)

    def estimate(self, human: float, judge: float, *, mean: float) -> float:
        """Return z of a unit with this label and judge's score; `mean` is the judge's around it."""
        return human - self.weight * (judge - mean)

    def score(self, estimate: float) -> float:
        """Return z moved and scaled to [0, 1]; a margin shrinks by `LABELLED_SPAN`."""
        return min(max((estimate + 1.0) / LABELLED_SPAN, 0.0), 1.0)

    def learn(self, judge: float, human: float) -> None:
        """Learn from one labelled unit whose pair was bet on, not before."""
        self.seen.add(human, judge)
