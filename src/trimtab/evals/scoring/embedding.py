"""How near two texts are in an embedding space."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from trimtab.evals.scoring.case import Scored, Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EmbeddingSimilarity", "cosine"]


class EmbeddingSimilarity(Spec, frozen=True, kw_only=True, tag="embedding"):
    """Cosine of the answer's embedding and that of the expected one."""

    model: str
    """`provider/model`."""
    value: str | None = None
    """What is expected; the item's where absent."""
    against: Literal["expected", "reference"] = "expected"

    always_binary: ClassVar[bool] = False


def cosine(one: Sequence[float], other: Sequence[float]) -> Scored:
    """Return the cosine of two vectors; an error where they have none."""
    lengths = math.hypot(*one) * math.hypot(*other)
    if len(one) != len(other) or not lengths:
        return Scored(error="the embeddings cannot be compared")
    return Scored(math.fsum(a * b for a, b in zip(one, other, strict=True)) / lengths)
