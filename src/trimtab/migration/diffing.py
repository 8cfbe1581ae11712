"""The work of state `diff`: what the new model does differently, in excess of what the old one does to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.behaviour import diff
from trimtab.migration.asking import ask, expected_of, failures_of, finite, pairs_of
from trimtab.migration.candidates import asked_directly, compiled_variant
from trimtab.migration.golden import golden_items, old_release
from trimtab.migration.linting import base_variant
from trimtab.migration.work import Result

if TYPE_CHECKING:
    from trimtab.behaviour import BehaviourDiff, Finding
    from trimtab.migration.work import Work

__all__ = ["diff_work", "harm_words", "harmful", "words_of"]

_TOLD = 5
_SLICES_TOLD = 3
_SAMENESS = frozenset({"same.arguments", "same.json", "same.text"})


def diff_work(work: Work) -> Result:
    """Ask the new model, with nothing else changed, and compare its answers with the old one's."""
    items, old = golden_items(work), old_release(work)
    new = asked_directly(compiled_variant(work.parts, base_variant(work)), work.fork.role, work.plan.target)
    before = ask(work, old, items, samples=2)
    after = ask(work, new, items)
    failures = failures_of(after.values())
    models = (work.plan.source.text, work.plan.target.text)
    pairs = pairs_of(items, before, after, models=models)
    words = f"{work.fork.name}: comparing"
    found = (
        diff(
            pairs,
            expected=expected_of(old),
            old_name=models[0],
            new_name=models[1],
            progress=lambda done, total: work.progress(words, done, total),
        )
        if pairs
        else None
    )
    told = [f"the new model: {failures.text}"] if failures.share > work.plan.options.max_errors else []
    if found is None and not told:
        told = ["no item was answered by both models"]
    return Result(
        gate="blocked" if told else "passed",
        reasons=told or words_of(found),
        content=finite(
            {
                "pairs": len(pairs),
                "failures": msgspec.to_builtins(failures),
                "words": words_of(found),
                "diff": None if found is None else msgspec.to_builtins(found),
            }
        ),
    )


def harmful(found: BehaviourDiff) -> list[Finding]:
    """Return the flagged changes for the worse in what programs read or what is said, over all items and in slices.

    That answers are no longer the very same is told, and is no harm: another model says it in other words.
    """
    return [
        one
        for one in (*found.flags, *found.slices)
        if one.severity in {"breaks", "content"} and one.better is False and one.detector not in _SAMENESS
    ]


def harm_words(found: BehaviourDiff) -> list[str]:
    """Return what got worse, the worst first, in words: over all items, then where only a slice shows it."""
    worse = harmful(found)
    whole = [one for one in worse if not one.slice]
    known = {(one.detector, one.effect > 0) for one in whole}
    only = [one for one in worse if one.slice and (one.detector, one.effect > 0) not in known]
    told = [*whole[:_TOLD], *only[:_SLICES_TOLD]]
    left = len(whole) + len(only) - len(told)
    return [*map(_text, told), *([f"{left:,} more of this kind"] if left else [])]


def words_of(found: BehaviourDiff | None) -> list[str]:
    """Return what changed, the worst first, in words."""
    if found is None:
        return []
    worse, harm = harm_words(found), harmful(found)
    harmless = [one for one in (*found.flags, *found.slices) if one not in harm]
    if harmless:
        count = f"{len(harmless):,}{' further' if worse else ''} change{'' if len(harmless) == 1 else 's'}"
        names = list(dict.fromkeys(f"`{one.detector}`" for one in harmless))
        rest = ", ..." if len(names) > _TOLD else ""
        worse.append(f"{count} not known to be for the worse: {', '.join(names[:_TOLD])}{rest}")
    causes = [cause.text for cause in found.causes]
    return [*worse, *causes] or [f"nothing changed that can be told from chance, over {found.pairs:,} items"]


def _text(one: Finding) -> str:
    where = f" where {one.slice}" if one.slice else ""
    if one.kind == "share":
        return f"{one.says}{where}: {one.old:.0%} → {one.new:.0%} of {one.pairs:,} items (`{one.detector}`)"
    return f"{one.says}{where}: {one.old:.3g} → {one.new:.3g} over {one.pairs:,} items (`{one.detector}`)"
