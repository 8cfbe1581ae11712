"""Which changes are real: all tests of a diff together, so that nothing is flagged where nothing changed."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.behaviour.compare import Contrast, contrast
from trimtab.behaviour.detector import Kind
from trimtab.behaviour.model import Severity
from trimtab.stats.multiplicity import benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trimtab.behaviour.columns import Column
    from trimtab.behaviour.model import Pair

__all__ = ["SEVERITIES", "Finding", "fewest_flagged", "findings_of", "hints_of", "slice_findings_of", "slices_of"]

SEVERITIES: tuple[Severity, ...] = ("breaks", "content", "style", "operations")
"""The worst first."""
_FEWEST_PAIRS = 5
_FEWEST_IN_SLICE = 20
_FEWEST_HINTED = 2
_MOST = 0.5
_MOST_SLICES = 50


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one detector says of old and new."""

    detector: str
    severity: Severity
    says: str
    kind: Kind
    slice: str = ""
    """`key=value`, where it is of one slice only."""
    pairs: int
    """Of which it could be asked."""
    moved: int
    """Pairs whose two outputs differ in it."""
    old: float
    """Share of yes, geometric mean (`ratio`) or mean."""
    new: float
    effect: float
    """New minus old; for a `ratio`, new over old minus 1."""
    low: float
    """Lower end of the 95 % interval of the effect, for one look at one detector."""
    high: float
    p_value: float
    adjusted_p: float
    """Over every test of the diff that could have said something: the larger of Bonferroni's smallest and Benjamini and
    Hochberg's own."""
    flagged: bool
    better: bool | None = None
    """Whether the change is for the better; `None` where that cannot be said."""
    examples: tuple[str, ...] = ()
    """Items that changed that way, at most 5."""
    detail: str = ""
    """What is usual on either side, where the detector only says that it changed."""


def findings_of(columns: Sequence[Column], pairs: Sequence[Pair], *, alpha: float) -> list[Finding]:
    """Test every column over all pairs: the chance that anything is flagged where nothing changed is at most `alpha`.

    First whether anything changed at all (Bonferroni, valid however the tests depend on each other), then what did
    (Benjamini and Hochberg): detectors that ask nearly the same take no power from each other.
    Columns in which so few pairs moved that no outcome could be flagged are left out of the count first (Tarone,
    Biometrics 46, 1990; with false discovery rates, Gilbert, Applied Statistics 54, 2005): how many moved does not
    depend on which output is called the new one. The most harmful come first.
    """
    return _judged([(one, "") for column in columns if (one := contrast(column)) is not None], pairs, alpha)


def hints_of(columns: Sequence[Column], pairs: Sequence[Pair], flagged: Iterable[str]) -> list[Finding]:
    """Return what may break readers and is not flagged: every pair that moved moved the same way, two or more did."""
    known = set(flagged)
    found = [
        _finding(one, "", 1.0, pairs, 0.0)
        for column in columns
        if column.detector.severity == "breaks"
        and column.detector.kind == "share"
        and column.detector.id not in known
        and (one := contrast(column)) is not None
        and one.moved >= _FEWEST_HINTED
        and abs(one.effect) * one.pairs > one.moved - 0.5
    ]
    return sorted((one for one in found if one.better is not True), key=_harm)


def fewest_flagged(tests: int, alpha: float) -> int:
    """Return how many pairs have to move the same way in one question of so many for it to be flagged alone."""
    return math.ceil(1.0 + math.log2(max(tests, 1) / alpha))


def slice_findings_of(columns: Sequence[Column], pairs: Sequence[Pair], *, alpha: float) -> list[Finding]:
    """Test every column in every slice of at least 20 pairs, at most the 50 largest; operations are left out."""
    tested = [
        (one, name)
        for name, rows in slices_of(pairs)
        for column in columns
        if column.detector.severity != "operations" and (one := contrast(column, rows)) is not None
    ]
    return _judged(tested, pairs, alpha)


def slices_of(pairs: Sequence[Pair]) -> list[tuple[str, list[int]]]:
    """Return the rows of every slice that is tested, the largest slices first."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, pair in enumerate(pairs):
        for key, value in pair.slices.items():
            rows[f"{key}={value}"].append(row)
    large = [(name, found) for name, found in rows.items() if _FEWEST_IN_SLICE <= len(found) < len(pairs)]
    return sorted(large, key=lambda one: (-len(one[1]), one[0]))[:_MOST_SLICES]


def _judged(tested: Iterable[tuple[Contrast, str]], pairs: Sequence[Pair], alpha: float) -> list[Finding]:
    able = [one for one in tested if one[0].pairs >= _FEWEST_PAIRS and one[0].smallest_p <= alpha]
    p_values = [one.p_value for one, _ in able]
    anything = min(1.0, len(able) * min(p_values, default=1.0))
    adjusted = [max(anything, one) for one in benjamini_hochberg(p_values)]
    found = [_finding(one, name, p, pairs, alpha) for (one, name), p in zip(able, adjusted, strict=True)]
    return sorted(found, key=_harm)


def _finding(one: Contrast, name: str, adjusted: float, pairs: Sequence[Pair], alpha: float) -> Finding:
    detector = one.column.detector
    least = 0.0 if detector.severity == "breaks" else detector.least
    return Finding(
        detector=detector.id,
        severity=detector.severity,
        says=detector.says,
        kind=detector.kind,
        slice=name,
        pairs=one.pairs,
        moved=one.moved,
        old=one.old,
        new=one.new,
        effect=one.effect,
        low=one.interval[0],
        high=one.interval[1],
        p_value=one.p_value,
        adjusted_p=adjusted,
        flagged=adjusted <= alpha and abs(one.effect) >= least,
        better=_better(one),
        examples=tuple(pairs[row].item for row in one.rows),
    )


def _better(one: Contrast) -> bool | None:
    more = one.effect > 0
    match one.column.detector.worse:
        case "more":
            return not more
        case "fewer":
            return more
        case "either":
            return False
        case "unusual":  # which form is usual both sides decided: it was the old one's where most of the old had it
            return more and one.old >= _MOST
        case "more, never better":
            return False if more else None
        case "":
            return None


def _harm(finding: Finding) -> tuple[Any, ...]:
    size = abs(finding.effect)
    return (
        not finding.flagged,
        SEVERITIES.index(finding.severity),
        (False, None, True).index(finding.better),
        -size,
        finding.detector,
        finding.slice,
    )
