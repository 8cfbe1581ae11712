"""What is judged, and what a judgement is."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from trimtab.evals.answers import Answer
from trimtab.evals.datasets.item import Item, text_of
from trimtab.releases.model import CompiledRelease

__all__ = ["HOLDS", "NOTHING", "Case", "LocalSpec", "Scored", "Spec", "fails", "parameters", "verdict"]


class Case(msgspec.Struct, frozen=True):
    """An answer to an item."""

    item: Item
    answer: Answer
    release: CompiledRelease | None = None
    """Who answered, where it is known."""

    @property
    def expected(self) -> str:
        """The right answer as text; empty where nobody said."""
        return text_of(self.item.expected)


class Scored(msgspec.Struct, frozen=True, omit_defaults=True):
    """A judgement: a value, or none where the scorer does not apply, or an error where it failed."""

    value: float | None = None
    detail: str = ""
    """Why, in words."""
    error: str = ""
    order_flip: bool | None = None
    """Of a pairwise judge: whether it changed its mind when the order was swapped."""


NOTHING = Scored()
"""The scorer does not apply."""
HOLDS = Scored(1.0)


def verdict(holds: bool, detail: str = "") -> Scored:  # noqa: FBT001 - the judgement itself
    """Return the judgement of something that holds or does not."""
    return Scored(float(holds), "" if holds else detail)


def fails(detail: str) -> Scored:
    """Return the judgement of something that does not hold."""
    return Scored(0.0, detail)


class Spec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel",
    tag_field="type",
):  # fmt: skip
    """A scorer, as a suite writes it."""

    name: str = ""
    """Of the metric; the type where empty."""
    threshold: float | None = None
    """Turns a measurement into passed or not: at least so much passes (of latency, cost and tokens: at most)."""
    negate: bool = False
    """Passes where it would not."""

    always_binary: ClassVar[bool] = True
    """Whether it only ever says passed or not."""
    lower_is_better: ClassVar[bool] = False
    neutral: ClassVar[bool] = False
    """Neither more nor less of it is better."""

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.name or str(self.__struct_config__.tag)

    @property
    def kind(self) -> Literal["binary", "numeric"]:
        """What its values are: 0 and 1, or numbers."""
        return "binary" if self.always_binary or self.threshold is not None else "numeric"

    def settled(self, scored: Scored) -> Scored:
        """Return the judgement with the threshold and the negation applied."""
        value = scored.value
        if value is None:
            return scored
        detail = scored.detail
        if self.threshold is not None and not self.always_binary:
            holds = value <= self.threshold if self.lower_is_better else value >= self.threshold
            detail = detail or f"{value:.4g}, and the threshold is {self.threshold:g}"
            value = float(holds)
        if self.negate:
            value = 1.0 - value
            detail = detail or "it holds, and must not"
        return msgspec.structs.replace(scored, value=value, detail="" if value == 1.0 else detail)


class LocalSpec(Spec, frozen=True, kw_only=True):
    """A scorer that needs nothing but the case."""

    def judge(self, case: Case) -> Scored:
        """Return the judgement before threshold and negation. Never raises for what a model may say."""
        raise NotImplementedError


def parameters(spec: Spec) -> dict[str, Any]:
    """Return a scorer's parameters as JSON, its type aside."""
    return {name: value for name, value in msgspec.to_builtins(spec).items() if name != "type"}
