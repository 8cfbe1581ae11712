"""How answers are judged: small pure functions, code in a process of its own, and models as judges."""

from trimtab.evals.scoring.case import Case, LocalSpec, Scored, Spec
from trimtab.evals.scoring.code import Code, Parser
from trimtab.evals.scoring.embedding import EmbeddingSimilarity
from trimtab.evals.scoring.judge import Judge
from trimtab.evals.scoring.reading import SCORER_TYPES, AnyScorer, read_scorer, scorer_content

__all__ = [
    "SCORER_TYPES",
    "AnyScorer",
    "Case",
    "Code",
    "EmbeddingSimilarity",
    "Judge",
    "LocalSpec",
    "Parser",
    "Scored",
    "Spec",
    "read_scorer",
    "scorer_content",
]
