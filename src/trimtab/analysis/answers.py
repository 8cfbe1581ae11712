"""Do the arms answer differently? One answer per live unit becomes a point, and a bet is made on every pair of them.

A unit's first answer whose text was recorded counts, in the order in which answers are read; later ones would tell
again what is known of that unit. Points meet within one step: who comes in another one comes at another time. What is
found is a difference, not a harm, so it may pause a rollout and never roll one back.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trimtab.analysis.answer_comparison import AnswerComparison
from trimtab.analysis.measures import text_of
from trimtab.analysis.model import MetricEvidence
from trimtab.analysis.words import odds
from trimtab.stats.text_features import text_features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.analysis.evidence import EvidenceState, Side, Window
    from trimtab.analysis.model import MetricSpec
    from trimtab.events import Generation

__all__ = ["Answers", "comparison_evidence"]


class Answers:
    """The metrics of a plan that compare answers, and what they saw."""

    def __init__(self, state: EvidenceState, specs: Sequence[MetricSpec]) -> None:
        """Of `specs`, those of texts are followed."""
        self._state = state
        self._names = [spec.name for spec in specs if spec.compares_answers]

    def compare(self, window: Window, generation: Generation, side: Side) -> None:
        """Take a generation of a live unit, of the candidate or its control, and bet on the pair it completes."""
        if not self._names or window.compared or window.challenger:
            return
        text = text_of(generation)
        known = [self._state.answers.setdefault(name, AnswerComparison()) for name in self._names]
        if text is None:
            for comparison in known:
                comparison.uncaptured += _is_uncaptured(generation)
            return
        window.compared = True
        point = text_features(text)
        for comparison in known:
            _add(comparison, point, side, window.stage)

    def restart(self) -> None:
        """Forget what is known: another release answers in the candidate's place."""
        self._state.answers.clear()


def _add(comparison: AnswerComparison, point: list[float], side: Side, stage: int) -> None:
    if stage < comparison.stage:
        return  # who would have met it has gone with its step
    if stage > comparison.stage:
        comparison.stage = stage
        comparison.betting.waiting = []
    comparison.units.add(side)
    comparison.betting.add(side, point)


def _is_uncaptured(generation: Generation) -> bool:
    return generation.status == "ok" and not generation.messages and not generation.tool_calls


def comparison_evidence(
    state: EvidenceState, spec: MetricSpec, *, limit: float, promotion_limit: float, unit: str
) -> MetricEvidence:
    """Return what a metric that compares answers says: `failed` is that they differ. It never passes."""
    comparison = state.answers.get(spec.name, AnswerComparison())
    betting = comparison.betting
    failed = betting.log_peak >= math.log(limit)
    words = _words(comparison, spec.name, failed=failed, limit=limit, unit=unit)
    return MetricEvidence(
        name=spec.name,
        role=spec.role,
        phase="live",
        margin=0.0,
        candidate_mean=None,
        control_mean=None,
        candidate_units=comparison.units.candidate,
        control_units=comparison.units.control,
        pairs=betting.pairs,
        harm=betting.value,
        harm_peak=betting.peak,
        limit=limit,
        non_inferior=1.0,
        promotion_limit=promotion_limit,
        failed=failed,
        passed=False,
        type=spec.kind,
        dry_run=spec.dry_run,
        words=words + (" Dry run: it decides nothing." if spec.dry_run else ""),
    )


def _words(comparison: AnswerComparison, name: str, *, failed: bool, limit: float, unit: str) -> str:
    if not comparison.betting.pairs:
        if comparison.uncaptured and not (comparison.units.candidate or comparison.units.control):
            return f"`{name}`: nothing to compare: content is not captured."
        return f"`{name}`: nothing to compare yet."
    units = comparison.units
    who = f"one answer each of {units.candidate:,} candidate {unit}s and {units.control:,} concurrent control {unit}s"
    proof = f"evidence {odds(comparison.betting.peak)} for a difference, limit {odds(limit)}"
    if failed:
        return f"`{name}`: answers look different in words, length or format ({who}); {proof}. Different, not worse."
    return f"`{name}`: answers look alike so far ({who}); {proof}."
