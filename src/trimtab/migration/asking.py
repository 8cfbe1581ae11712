"""Asking releases the golden set, and putting their answers side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.output_steps import apply_output_adapters
from trimtab.behaviour.model import Expected, Output, Pair
from trimtab.core.errors import ConflictError
from trimtab.core.quantity import quantity
from trimtab.evals.answers import Answer, Ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trimtab.artifacts.model import OutputStep
    from trimtab.evals.datasets.item import Item
    from trimtab.migration.work import Work
    from trimtab.releases.model import CompiledRelease

__all__ = ["Answers", "Failures", "ask", "expected_of", "failures_of", "finite", "pairs_of"]

Answers = dict[tuple[str, int], Answer]
"""By key of the item, and sample."""
_TOLD = 3


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Questions that were not answered."""

    asked: int
    failed: int
    reasons: dict[str, int]
    """How often, by what the provider said."""

    @property
    def share(self) -> float:
        """Of questions; 0 where none was asked."""
        return self.failed / self.asked if self.asked else 0.0

    @property
    def text(self) -> str:
        """In words."""
        said = "; ".join(f"{count:,} x {why}" for why, count in list(self.reasons.items())[:_TOLD])
        return f"{self.failed:,} of {quantity(self.asked, 'call')} failed" + (f": {said}" if said else "")


def ask(work: Work, release: CompiledRelease, items: Sequence[Item], *, samples: int = 1, what: str = "") -> Answers:
    """Return the answers of a release by the items' keys and sample; what was answered before is not asked again."""
    asker = work.ports.asker
    if asker is None:
        raise ConflictError(
            "nobody_to_ask", "models are not asked from here", hint="trimtab migration run, on the command line"
        )
    asks = [Ask(item.key, sample, item.variables, item.messages) for sample in range(samples) for item in items]
    words = f"{work.fork.name}: asking {what or f'{release.model.provider}/{release.model.model}'}"
    return asker.ask(release, asks, progress=lambda done, total: work.progress(words, done, total))


def failures_of(answers: Iterable[Answer]) -> Failures:
    """Count the questions that were not answered, the most frequent reason first."""
    reasons: dict[str, int] = {}
    asked = 0
    for answer in answers:
        asked += 1
        if answer.error_code:
            why = f"{answer.error_code} ({answer.error})" if answer.error else answer.error_code
            reasons[why] = reasons.get(why, 0) + 1
    ranked = dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0])))
    return Failures(asked=asked, failed=sum(reasons.values()), reasons=ranked)


def expected_of(release: CompiledRelease) -> Expected:
    """Return what is known of the answers that a feature needs."""
    return Expected(
        schema=None if release.schema is None else release.schema.schema,
        tools=None if release.tools is None else frozenset(tool.name for tool in release.tools.tools),
    )


def pairs_of(
    items: Sequence[Item],
    old: Mapping[tuple[str, int], Answer],
    new: Mapping[tuple[str, int], Answer],
    *,
    models: tuple[str, str],
    steps: Sequence[OutputStep] = (),
) -> list[Pair]:
    """Return old and new answers of the items that all have, the old one's second answer beside them.

    `steps` are done to the new answers. `models` are the old and the new one, as they were asked for.
    """
    pairs = []
    for item in items:
        before, again, after = old.get((item.key, 0)), old.get((item.key, 1)), new.get((item.key, 0))
        if before is None or after is None or before.error_code or after.error_code:
            continue
        if again is not None and again.error_code:
            continue
        pairs.append(
            Pair(
                item=item.id,
                old=_output(before, models[0]),
                new=_output(after, models[1], steps),
                again=None if again is None else _output(again, models[0]),
                slices={name: value for name, value in item.slices.items() if name != "release"},
            )
        )
    return pairs


def _output(answer: Answer, model: str, steps: Sequence[OutputStep] = ()) -> Output:
    return Output(
        text=apply_output_adapters(answer.output, steps) if steps else answer.output,
        tool_calls=answer.tool_calls,
        finish_reason=answer.finish_reason,
        requested_model=model,
        served_model=answer.served_model,
        input_tokens=answer.input_tokens or None,
        output_tokens=answer.output_tokens or None,
        latency_ms=answer.latency_ms or None,
        cost_usd=answer.cost_usd or None,
    )


def finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a JSON value with what is no finite number as `null`: canonical JSON has no other way to say it."""
    match value:
        case float() if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 - NaN
            return None
        case dict():
            return {str(name): finite(one) for name, one in value.items()}
        case list() | tuple():
            return [finite(one) for one in value]
        case _:
            return value
