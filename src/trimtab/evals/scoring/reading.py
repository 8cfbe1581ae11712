"""From what a suite writes to a scorer, and to the artifact it is kept as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.document import nearest
from trimtab.artifacts.model import ScorerContent
from trimtab.core.errors import InputError
from trimtab.evals.scoring.case import Spec, parameters
from trimtab.evals.scoring.code import Code, Parser
from trimtab.evals.scoring.embedding import EmbeddingSimilarity
from trimtab.evals.scoring.judge import Judge
from trimtab.evals.scoring.measured import Cost, Latency, Length, Tokens
from trimtab.evals.scoring.sandbox import source_digest
from trimtab.evals.scoring.similarity import Similarity
from trimtab.evals.scoring.structured import Json, JsonPath, ToolCalls
from trimtab.evals.scoring.texts import Contains, Equals, Numeric, Refusal, Regex, StartsWith

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["SCORER_TYPES", "AnyScorer", "read_scorer", "scorer_content"]

AnyScorer = (
    Equals
    | Contains
    | StartsWith
    | Regex
    | Numeric
    | Refusal
    | Json
    | JsonPath
    | ToolCalls
    | Similarity
    | EmbeddingSimilarity
    | Latency
    | Cost
    | Tokens
    | Length
    | Code
    | Parser
    | Judge
)
SCORER_TYPES: dict[str, type[Spec]] = {str(kind.__struct_config__.tag): kind for kind in AnyScorer.__args__}
"""By what a suite calls them."""


def read_scorer(value: dict[str, Any]) -> AnyScorer:
    """Return the scorer that a JSON object describes; raises `InputError` (`invalid_scorer`) that names the field."""
    kind = value.get("type")
    if kind not in SCORER_TYPES:
        raise InputError(
            "invalid_scorer",
            f"there is no scorer of type `{kind}`",
            param="type",
            hint=nearest(str(kind), SCORER_TYPES),
        )
    try:
        scorer: AnyScorer = msgspec.convert(value, AnyScorer)
    except msgspec.ValidationError as error:
        raise InputError("invalid_scorer", f"the scorer `{kind}` is wrong: {error}", param=str(kind)) from error
    if isinstance(scorer, Judge | EmbeddingSimilarity) and not all(scorer.model.partition("/")):
        raise InputError("invalid_scorer", f"`{scorer.model}` names no model", param="model", hint="provider/model")
    return scorer


def scorer_content(scorer: AnyScorer, folders: Sequence[Path] = ()) -> ScorerContent:
    """Return the artifact of a scorer; that of code covers the file that holds its function."""
    if isinstance(scorer, Code | Parser):
        scorer = msgspec.structs.replace(scorer, source=source_digest(scorer.function, folders))
    return ScorerContent(type=str(scorer.__struct_config__.tag), parameters=parameters(scorer))
