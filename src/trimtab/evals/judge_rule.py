"""Whether a judge that agreed with people on one model's answers may decide about another's. Pure.

One rule, for gates of suites and for migrations: it was held against enough labels of both, agrees with people by more
than chance, and does not lose too much.
"""

from __future__ import annotations

import msgspec

from trimtab.stats import Interval, clopper_pearson, share_difference_interval

__all__ = ["FEWEST_LABELS", "MOST_LOST", "Agreed", "judge_refusal", "judge_words", "lost_interval"]

MOST_LOST = 0.05
"""Points of agreement that a judge may lose from one model to another and still gate."""
FEWEST_LABELS = 30
"""Labelled answers of a model below which nothing is known of a judge on it."""


class Agreed(msgspec.Struct, frozen=True, kw_only=True):
    """A judge, held against people on some answers."""

    on: str
    """Whose answers: `openai/gpt-4o`, `the new model`."""
    agreed: int
    """On how many of them the judge says what people say."""
    labels: int
    alpha: float | None = None
    """Krippendorff's: 0 is what chance gives; `None` where people and the judge call all of them alike."""

    @property
    def share(self) -> float | None:
        """Share of the answers; `None` without any."""
        return self.agreed / self.labels if self.labels else None

    @property
    def interval(self) -> Interval:
        """Clopper-Pearson, 95 %."""
        return clopper_pearson(self.agreed, self.labels)

    @property
    def words(self) -> str:
        """The agreement, with its interval."""
        span = f"[{100 * self.interval.low:.1f}, {100 * self.interval.high:.1f}]"
        return f"{100 * (self.share or 0.0):.1f} % {span} of {self.labels:,} answers of {self.on}"


def judge_refusal(old: Agreed, new: Agreed, *, few_may: bool = False) -> str:
    """Return why a judge may not decide on a change from one model to the other; empty where it may.

    `few_may`: too few labels are no reason. That it is known to agree less, or by chance, is one all the same.
    """
    for one in () if few_may else (old, new):
        if one.labels < FEWEST_LABELS:
            missing = FEWEST_LABELS - one.labels
            return (
                f"people labelled {one.labels:,} answers of {one.on} that it judged, and it takes {FEWEST_LABELS}: "
                f"{missing:,} more"
            )
    if blind := _blind(old, new, few_may=few_may):
        return blind
    if old.share is None or new.share is None or old.share - new.share <= MOST_LOST + 1e-9:
        return ""
    chance = lost_interval(old, new).high >= -MOST_LOST
    return f"it {judge_words(old, new)}, more than {100 * MOST_LOST:g} points less" + (
        ", which so few labels may show by chance: label more of both" if chance else ""
    )


def _blind(old: Agreed, new: Agreed, *, few_may: bool) -> str:
    """Return why a judge is not shown to tell answers apart; empty where it is, on one of the models.

    One that says the same of every answer agrees with people on most of them, where most are good, and finds no release
    worse than another.
    """
    enough = [one.alpha for one in (old, new) if one.labels >= FEWEST_LABELS]
    known = [alpha for alpha in enough if alpha is not None]
    if any(alpha > 0.0 for alpha in known):
        return ""
    if known:
        return (
            f"it agrees with people no more than chance would (Krippendorff's alpha {max(known):.2f}): so does a judge "
            "that says the same of every answer"
        )
    return "" if few_may else "people and it call all labelled answers alike: label some of another kind too"


def judge_words(old: Agreed, new: Agreed) -> str:
    """Return how far a judge agrees with people on both, with intervals: what follows on `the judge`."""
    both = [new] if old.on == new.on else [new, old]
    known, unknown = [one for one in both if one.labels], [one.on for one in both if not one.labels]
    if not known:
        return f"was not held against people on answers of {' and of '.join(unknown)}"
    told = "agrees with people on " + " and on ".join(one.words for one in known)
    if unknown:
        return f"{told}, and was not held against them on answers of {unknown[0]}"
    if len(known) == 1:
        return told
    change, points = lost_interval(old, new), (new.share or 0.0) - (old.share or 0.0)
    return f"{told}: {100 * points:+.1f} points [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"


def lost_interval(old: Agreed, new: Agreed) -> Interval:
    """Return the 95 % interval of what a judge's agreement changes by, from the old model to the new one."""
    return share_difference_interval((new.agreed, new.labels), (old.agreed, old.labels))
