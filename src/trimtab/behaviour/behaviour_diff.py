"""The behavioural diff: what a change of model, prompt or parameters does to answers, with no configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.behaviour.bounds import Bound, bound_of
from trimtab.behaviour.causes import Cause, causes_of
from trimtab.behaviour.columns import columns_of
from trimtab.behaviour.details import detailed
from trimtab.behaviour.findings import Finding, fewest_flagged, findings_of, hints_of, slice_findings_of, slices_of
from trimtab.behaviour.flips import Flips, flips_of
from trimtab.behaviour.model import Expected
from trimtab.behaviour.omnibus import Alarm, alarm_of
from trimtab.behaviour.refusals import Refusals, refusals_of
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from trimtab.behaviour.columns import Column
    from trimtab.behaviour.model import Pair

__all__ = ["ALPHA", "BehaviourDiff", "diff"]

ALPHA = 0.01
"""Chance that anything is flagged where nothing changed."""
_FOR_ALARM = 0.1
_FOR_SLICES = 0.3
"""Shares of alpha that go to the alarm, and to slices where there are any."""


class BehaviourDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What changed, the most harmful first."""

    pairs: int
    left_out: int
    """Further pairs of items that had one."""
    replayed: bool
    """Whether the old one was asked twice."""
    alpha: float
    detectors: int
    """That could be asked."""
    findings: tuple[Finding, ...]
    """Of every detector in which enough pairs moved to tell, flagged or not; the flagged ones come first."""
    slices: tuple[Finding, ...]
    """Flagged changes in single slices."""
    hints: tuple[Finding, ...] = ()
    """What may break readers, too seldom to be sure."""
    could_see: int = 0
    """How many items have to change the same way in one question for it to be flagged alone."""
    could_lose: Bound | None = None
    """By how much what programs read may be worse all the same."""
    alarm: Alarm
    flips: Flips | None = None
    causes: tuple[Cause, ...] = ()
    refusals: Refusals | None = None
    old_name: str = "old"
    new_name: str = "new"

    @property
    def flags(self) -> tuple[Finding, ...]:
        """The findings that are flagged."""
        return tuple(one for one in self.findings if one.flagged)

    @property
    def changed(self) -> bool:
        """Whether anything is flagged, over all pairs or in a slice, or the alarm raised."""
        return bool(self.flags or self.slices or self.alarm.raised)


def diff(
    pairs: Iterable[Pair],
    *,
    expected: Expected | None = None,
    alpha: float = ALPHA,
    old_name: str = "old",
    new_name: str = "new",
    progress: Callable[[int, int], None] | None = None,
) -> BehaviourDiff:
    """Compare old and new outputs of the same items.

    Where it is a matter of chance which output of each item is the new one, anything is flagged with a probability of
    at most `alpha`. Only the first pair of an item counts. `progress` is told how many of how many pairs are read.
    Raises `InputError` where there are no pairs, or `alpha` is no probability.
    """
    if not 0.0 < alpha < 1.0:
        raise InputError("invalid_alpha", f"alpha is {alpha}, not between 0 and 1", param="alpha")
    given = list(pairs)
    first = list({pair.item: pair for pair in reversed(given)}.values())[::-1]
    if not first:
        raise InputError("no_pairs", "there is nothing to compare: no item has both an old and a new output")
    wanted = expected or Expected()
    columns = columns_of(first, wanted, progress)
    findings, slices = judged(columns, first, alpha=alpha)
    right = next((column for column in columns if column.detector.id == "answer.right"), None)
    return BehaviourDiff(
        pairs=len(first),
        left_out=len(given) - len(first),
        replayed=all(pair.again is not None for pair in first),
        alpha=alpha,
        detectors=len(columns),
        findings=tuple(detailed(findings, first)),
        slices=tuple(slices),
        hints=tuple(hints_of(columns, first, [one.detector for one in findings if one.flagged])),
        could_see=fewest_flagged(len(findings), (1.0 - _FOR_ALARM) * alpha),
        could_lose=bound_of(columns, len(first)),
        alarm=alarm_of(first, alpha=_FOR_ALARM * alpha),
        flips=None if right is None else flips_of(right, first),
        causes=tuple(causes_of(columns, first, wanted)),
        refusals=refusals_of(first),
        old_name=old_name,
        new_name=new_name,
    )


def judged(
    columns: Sequence[Column], pairs: Sequence[Pair], *, alpha: float = ALPHA
) -> tuple[list[Finding], list[Finding]]:
    """Return the findings over all pairs, and those flagged in slices, at their shares of `alpha`."""
    for_slices = _FOR_SLICES * alpha if slices_of(pairs) else 0.0
    findings = findings_of(columns, pairs, alpha=(1.0 - _FOR_ALARM) * alpha - for_slices)
    if not for_slices:
        return findings, []
    return findings, [one for one in slice_findings_of(columns, pairs, alpha=for_slices) if one.flagged]
