"""The work of state `golden`: recorded calls to ask both models again, and how much the old one differs from itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.artifacts.model import DatasetContent
from trimtab.artifacts.source import NamedContent
from trimtab.behaviour.columns import columns_of
from trimtab.core.quantity import quantity
from trimtab.evals.datasets import Shape, in_split, shape
from trimtab.evals.datasets.from_traffic import items_of
from trimtab.migration.asking import Answers, Failures, ask, expected_of, failures_of, finite, pairs_of
from trimtab.migration.candidates import asked_directly
from trimtab.migration.work import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.evals.datasets import Item
    from trimtab.migration.work import Work
    from trimtab.releases.model import CompiledRelease

__all__ = ["GoldenSet", "golden_items", "golden_work", "old_release"]

_DAY_MS = 86_400_000
_LOOKED_AT = 25
"""Recorded calls that are looked at for one item, at most: many ask the same."""
_FEWEST_LABELS, _MOST_LABELS = 2, 20
_NAMES_OF_OURS = frozenset({"release", "feedback"})


class GoldenSet(msgspec.Struct, frozen=True, kw_only=True):
    """The artefact of state `golden`."""

    items: str
    """Digest of the items; they are the dataset artifact `golden` of the feature."""
    count: int
    train: int
    heldout: int
    repeated: int
    """Recorded calls that asked what another asked."""
    uncaptured: int
    """Recorded calls whose content was not kept, so that they cannot be asked again."""
    left_out: int
    strata: list[str]
    """Labels whose shares the sample keeps."""
    failures: Failures
    """Of the old model, asked twice."""
    noise: dict[str, float]
    """By detector: share of items in which two answers of the old model differ."""

    @property
    def worst_noise(self) -> tuple[str, float]:
        """The detector of what programs read in which the old model differs most from itself."""
        return max(self.noise.items(), key=lambda one: (one[1], one[0]), default=("", 0.0))


def old_release(work: Work) -> CompiledRelease:
    """Return the old release as it is asked: without fallbacks, which would hide failures."""
    return asked_directly(work.parts.release.compiled, work.fork.role, work.plan.source)


def golden_items(work: Work) -> list[Item]:
    """Return the items of the golden set that counts."""
    golden = msgspec.convert(work.earlier(work.fork.passed["golden"].artifact), GoldenSet)
    return work.ports.items.get(golden.items)


def golden_work(work: Work) -> Result:
    """Draw items from what was recorded, ask the old model each of them twice, and see how much that differs."""
    options, release = work.plan.options, work.parts.release
    span = (work.now_ms - round(options.traffic_days * _DAY_MS), work.now_ms + 1)
    recorded = work.ports.calls.calls(
        work.plan.environment, release.digest, span, limit=_LOOKED_AT * options.golden_items
    )
    own = len(release.compiled.prompt.messages)
    found, uncaptured = items_of(recorded, own_messages=lambda _digest: own)
    strata = _labels(found)
    shaped = shape(found, Shape(size=options.golden_items, by=tuple(strata)))
    items = shaped.items
    subject = old_release(work)
    answers = ask(work, subject, items, samples=2) if items else {}
    failures = failures_of(answers.values())
    heldout = sum(in_split(item, "heldout", heldout=options.heldout_share) for item in items)
    golden = GoldenSet(
        items=work.ports.items.put(items),
        count=len(items),
        train=len(items) - heldout,
        heldout=heldout,
        repeated=shaped.repeated,
        uncaptured=uncaptured,
        left_out=shaped.left_out,
        strata=strata,
        failures=failures,
        noise=_noise(items, answers, subject, work.plan.source.text),
    )
    complaints = _complaints(golden, work)
    content = DatasetContent(items=golden.items, count=golden.count, heldout=options.heldout_share)
    return Result(
        gate="blocked" if complaints else "passed",
        reasons=complaints or [f"{quantity(golden.count, 'item')}, {golden.heldout:,} of them held out"],
        content=finite(msgspec.to_builtins(golden)),
        store=[NamedContent(kind="dataset", name="golden", content=content, path="golden")] if items else [],
    )


def _labels(items: Sequence[Item]) -> list[str]:
    """Return the labels that divide traffic into a few groups."""
    values: dict[str, set[str]] = {}
    for item in items:
        for name, value in item.slices.items():
            values.setdefault(name, set()).add(value)
    return sorted(
        name
        for name, found in values.items()
        if name not in _NAMES_OF_OURS and _FEWEST_LABELS <= len(found) <= _MOST_LABELS
    )


def _noise(items: Sequence[Item], answers: Answers, release: CompiledRelease, model: str) -> dict[str, float]:
    second = {(key, 0): answer for (key, sample), answer in answers.items() if sample == 1}
    first = {(key, sample): answer for (key, sample), answer in answers.items() if sample == 0}
    pairs = pairs_of(items, first, second, models=(model, model))
    noise = {}
    for column in columns_of(pairs, expected_of(release)) if pairs else []:
        asked = [
            (old, new) for old, new in zip(column.old, column.new, strict=True) if old is not None and new is not None
        ]
        if column.detector.severity == "breaks" and column.detector.kind == "share" and asked:
            noise[column.detector.id] = sum(old != new for old, new in asked) / len(asked)
    return noise


def _complaints(golden: GoldenSet, work: Work) -> list[str]:
    options, told = work.plan.options, []
    if golden.count < options.min_items:
        lost = f"; of {golden.uncaptured:,} more the content was not captured" if golden.uncaptured else ""
        told.append(
            f"{golden.count:,} different {'call was' if golden.count == 1 else 'calls were'} recorded in "
            f"{options.traffic_days:g} days, and "
            f"{options.min_items:,} are needed{lost}"
        )
    if golden.failures.share > options.max_errors:
        told.append(f"the old model: {golden.failures.text}")
    detector, noise = golden.worst_noise
    if noise > options.max_noise:
        told.append(f"asked twice, the old model differs from itself in {noise:.0%} of the items (`{detector}`)")
    return told
