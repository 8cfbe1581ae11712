"""Asks many questions at once, and keeps what was answered before anybody counts on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from trimtab.core.errors import InputError
from trimtab.evals.answers import Answer, AnswerBook, Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from trimtab.evals.budget import Budget
    from trimtab.evals.ports import Subject

__all__ = ["Asked", "all_of", "ask_all", "ask_one"]

_T = TypeVar("_T")

_SYNC_EVERY = 16
"""Answers that a power failure may cost at most; a killed process costs none."""
_FAILURES_IN_A_ROW = 25
"""That many failures with nothing answered in between, and the provider is away."""


class Asked(msgspec.Struct, kw_only=True):
    """What came of asking."""

    answers: dict[tuple[str, int], Answer] = {}
    """By question and sample; failures among them."""
    cached: int = 0
    """Answers that were there already."""
    stopped: str = ""
    """Why not everything was asked; empty where it was."""


async def ask_one(
    subject: Subject, ask: Ask, book: AnswerBook, budget: Budget, *, not_before_ms: int = 0
) -> Answer | None:
    """Return the answer to one question, from the book where it is there; `None` where the budget does not suffice."""
    known = book.get(ask.key, ask.sample, not_before_ms=not_before_ms)
    if known is not None:
        return known
    bound = subject.bound_usd(ask)
    if bound is None and budget.cap_usd is not None:
        model = subject.release.model
        raise InputError(
            "unknown_price",
            f"nobody knows what `{model.provider}/{model.model}` costs, so no budget can be kept",
            param="budget",
            hint="leave the budget out",
        )
    if not await budget.hold(bound or 0.0):
        return None
    cost = bound or 0.0  # what a call that was cut off cost, nobody knows
    try:
        answer = await subject.answer(ask)
        cost = answer.cost_usd
    finally:
        await budget.settle(bound or 0.0, cost)
    if not answer.error_code:
        book.put(ask, answer)
    return answer


def _dollars(cap: float) -> str:
    return f"${cap:,.2f}" if round(cap, 2) == cap else f"${cap:g}"  # half a cent is no $0.00


async def ask_all(  # noqa: PLR0913 - how to ask
    subject: Subject,
    asks: Sequence[Ask],
    book: AnswerBook,
    *,
    budget: Budget,
    concurrency: int = 8,
    progress: Callable[[int], None] | None = None,
    not_before_ms: int = 0,
) -> Asked:
    """Ask everything that is not answered in the book since `not_before_ms`, `concurrency` questions at a time.

    `progress` is told how many more are done. Where the budget ends or the provider is away, it stops: what was
    answered is kept, and asking again goes on from there.
    """
    found = Asked()
    queue = list(reversed(asks))
    failures = 0

    async def work() -> None:
        nonlocal failures
        while queue and not found.stopped:
            ask = queue.pop()
            known = book.get(ask.key, ask.sample, not_before_ms=not_before_ms)
            answer = known or await ask_one(subject, ask, book, budget, not_before_ms=not_before_ms)
            if answer is None:
                found.stopped = f"the budget of {_dollars(budget.cap_usd or 0.0)} does not suffice for the next call"
                return
            found.cached += known is not None
            found.answers[ask.key, ask.sample] = answer
            failures = failures + 1 if answer.error_code else 0
            if failures >= _FAILURES_IN_A_ROW:
                found.stopped = f"{failures} calls in a row failed, the last with {answer.error_code}: {answer.error}"
            if known is None and len(book) % _SYNC_EVERY == 0:
                book.sync()
            if progress is not None:
                progress(1)

    await all_of(work() for _ in range(min(concurrency, len(asks))))
    return found


async def all_of(work: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Return what all of them return; where one fails the others are given up, and its error is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
