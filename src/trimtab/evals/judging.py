"""Judges answers with every scorer of a suite: those that compute, those that run code, those that ask a model."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from trimtab.core.errors import InputError, TrimtabError
from trimtab.evals.answers import AnswerBook, Ask
from trimtab.evals.asking import ask_one
from trimtab.evals.datasets.item import item_key
from trimtab.evals.scoring import Code, EmbeddingSimilarity, Judge, LocalSpec, Parser, Scored
from trimtab.evals.scoring.case import NOTHING
from trimtab.evals.scoring.code import judge_by_code
from trimtab.evals.scoring.embedding import cosine
from trimtab.evals.scoring.judge import judge_release, pair_score, point_score, variables_of
from trimtab.evals.scoring.sandbox import Sandboxed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from trimtab.evals.answers import Answer
    from trimtab.evals.budget import Budget
    from trimtab.evals.ports import Models, Subject
    from trimtab.evals.scoring import AnyScorer, Case

__all__ = ["Panel", "PanelPorts"]

OUT_OF_BUDGET = "the budget does not suffice for the judge"


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelPorts:
    """What judging needs of the world."""

    models: Models
    books: Path
    """Folder in which what judges said is kept."""
    code_folders: Sequence[Path] = ()
    """Where functions of `code` and `parser` may be loaded from."""
    budget: Budget
    baseline: Callable[[str, int], Answer | None] | None = None
    """The baseline's answer to a question, for judges of pairs."""


class Panel:
    """The scorers of one run. A context: judges' books and functions' processes are closed at its end."""

    def __init__(self, ports: PanelPorts) -> None:
        self._ports = ports
        self._held = contextlib.ExitStack()
        self._judges: dict[str, tuple[Subject, AnswerBook]] = {}
        self._functions: dict[str, Sandboxed] = {}
        self._asking: dict[str, asyncio.Lock] = {}
        """By what a judge is asked, or by a function: the same is not asked twice at once."""
        self._embeddings: dict[tuple[str, str], list[float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    async def score(self, scorer: AnyScorer, case: Case, *, sample: int = 0) -> Scored:
        """Return the judgement of one answer, threshold and negation applied."""
        if isinstance(scorer, LocalSpec):
            found = scorer.judge(case)
        elif isinstance(scorer, Code | Parser):
            async with self._alone(scorer.function):
                found = await asyncio.to_thread(judge_by_code, scorer, self._function(scorer), case)
        elif isinstance(scorer, Judge):
            found = await self._judged(scorer, case, sample)
        else:
            found = await self._embedded(scorer, case)
        return scorer.settled(found)

    def _alone(self, name: str) -> asyncio.Lock:
        return self._asking.setdefault(name, asyncio.Lock())

    def _function(self, scorer: Code | Parser) -> Sandboxed:
        function = self._functions.get(scorer.function)
        if function is None:
            function = self._held.enter_context(
                Sandboxed(
                    scorer.function,
                    self._ports.code_folders,
                    timeout_seconds=scorer.timeout_seconds,
                    memory_mb=scorer.memory_mb,
                )
            )
            self._functions[scorer.function] = function
        return function

    async def _judged(self, scorer: Judge, case: Case, sample: int) -> Scored:
        answer = case.answer.output
        if scorer.mode != "pair":
            said = await self._ask_judge(scorer, case, (answer, ""))
            return point_score(scorer, said) if isinstance(said, str) else said
        other = self._other(scorer, case, sample)
        if other is None:
            return NOTHING
        if other == answer:
            return Scored(0.5, "both say the same", order_flip=False)
        first = await self._ask_judge(scorer, case, (answer, other))
        swapped = await self._ask_judge(scorer, case, (other, answer))
        if not isinstance(first, str):
            return first
        return pair_score(first, swapped) if isinstance(swapped, str) else swapped

    def _other(self, scorer: Judge, case: Case, sample: int) -> str | None:
        if scorer.against == "reference":
            return case.item.reference or None
        if scorer.against == "expected":
            return case.expected or None
        if self._ports.baseline is None:
            raise InputError(
                "no_baseline",
                f"the judge `{scorer.metric}` compares with the baseline's answers, and there is no baseline",
                param="baseline",
                hint="run the baseline first, and name it: --baseline '#1'",
            )
        answer = self._ports.baseline(case.item.key, sample)
        return None if answer is None or answer.error_code else answer.output

    async def _ask_judge(self, scorer: Judge, case: Case, answers: tuple[str, str]) -> str | Scored:
        subject, book = self._judge(scorer)
        variables = variables_of(scorer, case, answer=answers[0], other=answers[1])
        key = item_key(variables, [])
        async with self._alone(f"{subject.release.digest} {key}"):
            said = await ask_one(subject, Ask(key, 0, variables, []), book, self._ports.budget)
        if said is None:
            return Scored(error=OUT_OF_BUDGET)
        if said.error_code:
            return Scored(error=f"the judge did not answer: {said.error or said.error_code}")
        return said.output

    def _judge(self, scorer: Judge) -> tuple[Subject, AnswerBook]:
        release = judge_release(scorer)
        found = self._judges.get(release.digest)
        if found is None:
            book = self._held.enter_context(AnswerBook.open(self._ports.books, release.digest, shared=True))
            found = self._judges[release.digest] = (self._ports.models.subject(release), book)
        return found

    async def _embedded(self, scorer: EmbeddingSimilarity, case: Case) -> Scored:
        wanted = scorer.value or (case.item.reference if scorer.against == "reference" else case.expected)
        if not wanted:
            return NOTHING
        if not case.answer.output:
            return Scored(0.0, "there is no text")
        try:
            vectors = await self._vectors(scorer.model, (wanted, case.answer.output))
        except TrimtabError as error:
            return Scored(error=f"no embedding: {error.message}")
        return cosine(*vectors)

    async def _vectors(self, model: str, texts: tuple[str, str]) -> list[list[float]]:
        missing = [text for text in dict.fromkeys(texts) if (model, text) not in self._embeddings]
        if missing:
            for text, vector in zip(missing, await self._ports.models.embed(model, missing), strict=True):
                self._embeddings[model, text] = vector
        return [self._embeddings[model, text] for text in texts]
