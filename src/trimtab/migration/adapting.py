"""The work of state `adapt`: variants are improved on the train split, and the best one is judged on the held-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.model import OutputStep
from trimtab.artifacts.source import FeatureSource
from trimtab.behaviour import diff
from trimtab.evals.datasets import in_split
from trimtab.migration.asking import ask, expected_of, failures_of, finite, pairs_of
from trimtab.migration.candidates import Variant, asked_directly, calling, compiled_variant, variant_source
from trimtab.migration.diffing import harm_words, harmful, words_of
from trimtab.migration.golden import golden_items, old_release
from trimtab.migration.linting import base_variant
from trimtab.migration.work import Result
from trimtab.releases.model import CompiledRelease

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.behaviour import BehaviourDiff
    from trimtab.evals.datasets import Item
    from trimtab.migration.work import Work
    from trimtab.releases.model import Release

__all__ = ["adapt_work"]

_PEOPLES = 3
"""Releases that people pushed for the new model, at most, the newest first."""
_JSON_ALONE = (
    "Reply with the JSON itself and nothing else: no code fence around it, no text before or after it, and no key that "
    "was not asked for."
)
_CODE_ALONE = "Reply with the code itself and nothing else: no code fence around it, and no text before or after it."
_INSTRUCTIONS = {
    "parser.reads": _JSON_ALONE,
    "json.schema": _JSON_ALONE,
    "json.parses": _JSON_ALONE,
    "code.parses": _CODE_ALONE,
}


class _Try(msgspec.Struct, frozen=True, kw_only=True):
    """One way to call the new model that is tried."""

    name: str
    says: str
    asked: CompiledRelease
    """Who is asked; several ways may share their answers."""
    steps: list[OutputStep] = []
    """What is done to its answers besides what its release does."""
    source: FeatureSource | None = None
    stored: str = ""
    """Digest, of a release that people pushed."""
    digest: str = ""


class _Outcome(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    says: str
    release: str
    pairs: int
    failed: int
    harm: float
    """Sum of the sizes of harmful changes, what programs read counting tenfold, and of the share of failed calls."""
    words: list[str]


def adapt_work(work: Work) -> Result:
    """Try the new model alone, with people's own prompts, with proposed adapters and with clearer instructions.

    Whatever is looked at to choose is of the train split; whether the choice is good enough is asked of the held-out.
    """
    items = golden_items(work)
    share = work.plan.options.heldout_share
    train = [item for item in items if in_split(item, "train", heldout=share)]
    heldout = [item for item in items if in_split(item, "heldout", heldout=share)]
    tries = [one for one in _tries(work, train) if one.digest not in work.fork.rejected]
    outcomes = [(one, _outcome(work, one, train)) for one in tries]
    rejected = _rejected(work)
    if not outcomes:
        return Result(
            gate="blocked",
            reasons=[*rejected, "no other way to call the new model is left to try"],
            content={"told": rejected, "train": [], "heldout": None, "chosen": "", "rejected": rejected},
        )
    best, on_train = min(outcomes, key=lambda one: one[1].harm)  # the first, so the least changed, of the best
    judged, found = _judge(work, best, heldout)
    told = [] if found is None else [f"on the held-out items: {one}" for one in harm_words(found)]
    if judged.failed > work.plan.options.max_errors * max(1, len(heldout)):
        told.append(f"{judged.failed:,} of {len(heldout):,} held-out calls failed")
    if found is None:
        told.append("no held-out item was answered by both models")
    elif found.pairs < found.could_see:
        told.append(
            f"{found.pairs:,} held-out items show nothing: it takes {found.could_see:,} to tell a change from chance"
        )
    elif not told:
        told += _beyond(found, work.plan.options.margin)
    fine = [f"{best.says}: on {judged.pairs:,} held-out items nothing is worse for sure{_seen(found)}"]
    return Result(
        gate="blocked" if told else "passed",
        reasons=told or fine,
        content=finite(
            {
                "told": told or fine,
                "train": [msgspec.to_builtins(outcome) for _, outcome in outcomes],
                "chosen": best.name,
                "release": best.digest,
                "on_train": msgspec.to_builtins(on_train),
                "heldout": msgspec.to_builtins(judged),
                "diff": None if found is None else msgspec.to_builtins(found),
                "rejected": rejected,
            }
        ),
        push=best.source,
        candidate=best.stored,
    )


def _beyond(found: BehaviourDiff, margin: float | None) -> list[str]:
    """Return why the held-out items do not show that what programs read is equivalent; nothing where they do."""
    bound = found.could_lose
    if margin is None or bound is None or bound.loss < margin:
        return []
    within = f"equivalence within {100 * margin:g} % (`margin`)"
    return [f"{found.pairs:,} held-out items do not show {within}: {bound.text}; more golden items show more"]


def _seen(found: BehaviourDiff | None) -> str:
    if found is None:
        return ""
    said = f" (what changes fewer than {found.could_see:,} of them is not told from chance)"
    return said if found.could_lose is None else f"{said}; {found.could_lose.text}"


def _tries(work: Work, train: Sequence[Item]) -> list[_Try]:
    """Return what is tried, the least changed first."""
    base = base_variant(work)
    plain = _try(work, base)
    found = [plain, *(_pushed(work, one) for one in _peoples(work, plain.digest))]
    seen = _compared(work, plain, train)
    causes = [] if seen is None else seen.causes
    proposals = list(dict.fromkeys(tuple(cause.steps) for cause in causes))
    for steps in proposals:
        words = f"output adapter [{', '.join(steps)}]"
        adapted = msgspec.structs.replace(base, name=f"adapter:{'+'.join(steps)}", says=words, steps=list(steps))
        found.append(_try(work, adapted, share=plain.asked))
    instruction = next((_INSTRUCTIONS[cause.detector] for cause in causes if cause.detector in _INSTRUCTIONS), "")
    if instruction:
        said = msgspec.structs.replace(base, name="prompt", says="a clearer instruction", instruction=instruction)
        clearer = _try(work, said)
        found.append(clearer)
        for steps in proposals:
            both = msgspec.structs.replace(
                said,
                name=f"prompt+adapter:{'+'.join(steps)}",
                says=f"a clearer instruction, and output adapter [{', '.join(steps)}]",
                steps=list(steps),
            )
            found.append(_try(work, both, share=clearer.asked))
    return found


def _try(work: Work, variant: Variant, *, share: CompiledRelease | None = None) -> _Try:
    compiled = compiled_variant(work.parts, variant)
    asked = share or asked_directly(compiled, work.fork.role, work.plan.target)
    return _Try(
        name=variant.name,
        says=variant.says,
        asked=asked,
        steps=variant.steps,
        source=variant_source(work.parts, variant),
        digest=compiled.digest,
    )


def _pushed(work: Work, release: Release) -> _Try:
    return _Try(
        name=f"#{release.number}",
        says=f"release #{release.number}, pushed by {release.created_by}",
        asked=asked_directly(release.compiled, work.fork.role, work.plan.target),
        stored=release.digest,
        digest=release.digest,
    )


def _peoples(work: Work, plain: str) -> list[Release]:
    with work.ports.store.read() as tx:
        releases = tx.releases(work.fork.name)
    ours = work.plan.id
    return [
        one
        for one in releases
        if calling(one.compiled, work.plan.target) is not None
        and calling(one.compiled, work.plan.source) is None
        and one.digest != plain
        and not one.message.startswith(ours)
    ][:_PEOPLES]


def _compared(work: Work, one: _Try, items: Sequence[Item]) -> BehaviourDiff | None:
    old = old_release(work)
    before = ask(work, old, items, samples=2)
    after = ask(work, one.asked, items, what=one.says)
    models = (work.plan.source.text, work.plan.target.text)
    pairs = pairs_of(items, before, after, models=models, steps=one.steps)
    return diff(pairs, expected=expected_of(old), old_name=models[0], new_name=models[1]) if pairs else None


def _outcome(work: Work, one: _Try, items: Sequence[Item]) -> _Outcome:
    return _judge(work, one, items)[0]


def _judge(work: Work, one: _Try, items: Sequence[Item]) -> tuple[_Outcome, BehaviourDiff | None]:
    found = _compared(work, one, items)
    failures = failures_of(ask(work, one.asked, items, what=one.says).values())
    weights = {"breaks": 10.0, "content": 1.0}
    harm = sum(weights[finding.severity] * abs(finding.effect) for finding in harmful(found)) if found else 0.0
    outcome = _Outcome(
        name=one.name,
        says=one.says,
        release=one.digest,
        pairs=0 if found is None else found.pairs,
        failed=failures.failed,
        harm=harm + 100.0 * failures.share,
        words=words_of(found),
    )
    return outcome, found


def _rejected(work: Work) -> list[str]:
    """Return why candidates of before came back."""
    told: list[Any] = [
        entry.reason
        for entry in work.plan.history
        if entry.fork == work.fork.name and entry.what == "rolled_back" and entry.state == "adapt"
    ]
    return [f"rolled back before: {one}" for one in told] if work.fork.rejected else []
