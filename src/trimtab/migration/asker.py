"""Asks releases through the evals' books of answers: what a killed run was told is not asked again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from trimtab.core.errors import ConflictError
from trimtab.evals.answers import AnswerBook
from trimtab.evals.asking import Asked, ask_all
from trimtab.evals.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from trimtab.evals.answers import Answer, Ask
    from trimtab.evals.ports import Models
    from trimtab.releases.model import CompiledRelease

__all__ = ["BookAsker"]


class BookAsker:
    """An `Asker` over models that can be called, on an event loop of its own; `close` ends it."""

    def __init__(
        self,
        models: Callable[[], AbstractAsyncContextManager[Models]],
        answers: Path,
        *,
        budget_usd: float | None = None,
        concurrency: int = 8,
    ) -> None:
        """`models` opens what can be called; `answers` is the folder of books; `budget_usd` what all of it may cost."""
        self._models = models
        self._answers = answers
        self._budget = Budget(budget_usd)
        self._concurrency = concurrency
        self._runner = asyncio.Runner()

    def ask(
        self, release: CompiledRelease, asks: Sequence[Ask], *, progress: Callable[[int, int], None]
    ) -> dict[tuple[str, int], Answer]:
        """Return the answers by key and sample; of a provider that is away, as many failures as it took to see that.

        Raises `ConflictError` (`answers_locked`) where another process asks this release, (`budget_spent`) where the
        budget does not suffice: what was answered is kept.
        """
        done = 0

        def told(more: int) -> None:
            nonlocal done
            done += more
            progress(done, len(asks))

        known = AnswerBook.read(self._answers, release.digest)
        found = {(one.key, one.sample): answer for one in asks if (answer := known.get(one.key, one.sample))}
        if len(found) == len({(one.key, one.sample) for one in asks}):
            return found

        async def asked(book: AnswerBook) -> Asked:
            async with self._models() as models:
                subject = models.subject(release)
                return await ask_all(
                    subject, asks, book, budget=self._budget, concurrency=self._concurrency, progress=told
                )

        with AnswerBook.open(self._answers, release.digest) as book:
            asked_now = self._runner.run(asked(book))
        failed = any(answer.error_code for answer in asked_now.answers.values())
        if asked_now.stopped and len(asked_now.answers) < len(asks) and not failed:
            raise ConflictError(
                "budget_spent",
                asked_now.stopped,
                param="budget",
                hint="what was answered is kept: run again, with a larger --budget",
            )
        return asked_now.answers

    def close(self) -> None:
        """Close the event loop."""
        self._runner.close()
