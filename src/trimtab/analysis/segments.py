"""Segments: whether the candidate harms some users while the whole looks well.

Each value of a segment (`language` = `de`) has bets of its own on every metric, over pairs within stage *and* value.
Many bets make false alarms, so what is called harmed is chosen by e-BH over all of them: of what is flagged at a look,
at most a share of alpha is expected to be unharmed. Segments inform, and pause where the plan says so; a rollback is
decided on the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from trimtab.analysis.evidence import MetricState
from trimtab.analysis.metric_evidence import metric_evidence
from trimtab.analysis.model import MetricEvidence
from trimtab.analysis.words import describe
from trimtab.stats import e_benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.analysis.evidence import EvidenceState, Side
    from trimtab.analysis.model import MetricSpec
    from trimtab.events import Generation

__all__ = ["OTHER", "UNKNOWN", "SegmentEvidence", "SegmentSpec", "add_unit", "segment_labels", "weigh_segments"]

OTHER = "(other)"
"""Where the values beyond the first twenty are put together."""
UNKNOWN = "(none)"
"""The value of those whose callers said none."""
_MAX_VALUES = 20
_ATTRIBUTE = "attribute."


class SegmentSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How users are divided, to see whether some are harmed while the whole looks well."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    by: Annotated[str, msgspec.Meta(pattern=r"^(attribute\.[A-Za-z0-9][A-Za-z0-9._-]{0,63}|team|format)$")]
    """`attribute.NAME` (what callers send), `team` (whose key it was) or `format` (the caller's API)."""


class SegmentEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What one metric says of the users of one segment."""

    segment: str
    value: str
    harmed: bool
    """Flagged, together with all others that are, at the plan's alpha."""
    metric: MetricEvidence
    """Of these users alone. `harm_peak` is E now, and `limit` what e-BH asks of those it flags at this look."""
    words: str

    @property
    def key(self) -> str:
        """What an alarm about it is acknowledged as."""
        return f"{self.segment}={self.value}/{self.metric.name}"


def segment_labels(state: EvidenceState, specs: Sequence[SegmentSpec], generation: Generation) -> dict[str, str]:
    """Return the value of each segment that a unit belongs to, by its first generation; new values are remembered.

    The first twenty values of a segment stand for themselves, whatever they score: later ones are `OTHER`.
    """
    labels: dict[str, str] = {}
    for spec in specs:
        values = state.segments.setdefault(spec.name, {})
        value = _value(spec, generation) or UNKNOWN
        if value not in values and len(values.keys() - {OTHER}) >= _MAX_VALUES:
            value = OTHER
        values.setdefault(value, {})
        labels[spec.name] = value
    return labels


def _value(spec: SegmentSpec, generation: Generation) -> str:
    if spec.by.startswith(_ATTRIBUTE):
        return generation.attributes.get(spec.by.removeprefix(_ATTRIBUTE), "")
    return generation.team if spec.by == "team" else generation.format


def add_unit(
    state: EvidenceState,
    labels: Mapping[str, str],
    specs: Sequence[MetricSpec],
    scores: Mapping[str, float],
    *,
    side: Side,
    stage: int,
) -> None:
    """Take a unit's scores, by metric, into the bets of the segments it belongs to."""
    for segment, value in labels.items():
        metrics = state.segments.setdefault(segment, {}).setdefault(value, {})
        for spec in specs:
            if spec.name in scores and not spec.dry_run:
                if spec.name not in metrics:
                    metrics[spec.name] = MetricState.start(spec.tolerance)
                metrics[spec.name].add_unit(side, scores[spec.name], stage)


def weigh_segments(
    state: EvidenceState, specs: Sequence[MetricSpec], *, alpha: float, unit: str = "user"
) -> list[SegmentEvidence]:
    """Return the segments that are flagged as harmed, and whichever hurt most; most evidence first.

    What hurt most is what there is most evidence of harm for: also where that is little.
    """
    by_name = {spec.name: spec for spec in specs if not spec.dry_run}
    bets = [
        (segment, value, by_name[name], metric)
        for segment, values in sorted(state.segments.items())
        for value, metrics in sorted(values.items())
        for name, metric in sorted(metrics.items())
        if name in by_name and metric.harm.pairs
    ]
    if not bets:
        return []
    evidence = [metric.harm.log_value for _, _, _, metric in bets]
    flagged = e_benjamini_hochberg(evidence, alpha=alpha)
    told = sorted(flagged | {evidence.index(max(evidence))}, key=lambda index: (-evidence[index], index))
    limit = len(bets) / (max(1, len(flagged)) * alpha)
    found = []
    for index in told:
        segment, value, spec, metric = bets[index]
        weighed = metric_evidence(state, spec, metric, phase="live", limit=limit, promotion_limit=1 / alpha, unit=unit)
        harmed = index in flagged
        weighed = msgspec.structs.replace(weighed, harm_peak=weighed.harm, failed=harmed, passed=False)
        weighed = msgspec.structs.replace(weighed, words=describe(weighed, spec, unit))
        words = f"{segment} = {value}: {weighed.words}"
        found.append(SegmentEvidence(segment=segment, value=value, harmed=harmed, metric=weighed, words=words))
    return found
