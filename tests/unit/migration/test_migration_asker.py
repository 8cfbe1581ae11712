"""Asking through the books of answers: nothing twice, no more money than allowed, and failures are not kept."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.errors import ConflictError
from trimtab.evals.answers import Answer, Ask
from trimtab.migration.asker import BookAsker
from trimtab.releases.model import CompiledRelease

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from trimtab.evals.ports import Models

RELEASE = CompiledRelease(
    digest="sha256:" + "1" * 64,
    feature="f",
    number=1,
    prompt=PromptContent(messages=[PromptMessage(role="user", content="{{ q }}")], variables={}),
    model=ModelContent(provider="openai", model="m"),
)


class Fake:
    """Models that count who asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failing: set[str] = set()
        self.release = RELEASE

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Models]:
        yield self

    def subject(self, release: CompiledRelease) -> Fake:
        return self

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        raise NotImplementedError

    def bound_usd(self, ask: Ask) -> float:
        return 1.0

    async def answer(self, ask: Ask) -> Answer:
        self.asked.append(ask.key)
        if ask.key in self.failing:
            return Answer(error_code="down", error="it is away")
        return Answer(output=f"answer {ask.key}", cost_usd=1.0)


def asks(*keys: str) -> list[Ask]:
    return [Ask(key, 0, {"q": key}, []) for key in keys]


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def asker(fake: Fake, tmp_path: Path) -> Iterator[BookAsker]:
    made = BookAsker(fake.open, tmp_path / "books")
    yield made
    made.close()


def quiet(_done: int, _total: int) -> None:
    """Progress that nobody sees."""


def test_what_was_answered_is_not_asked_again(asker: BookAsker, fake: Fake) -> None:
    seen: list[tuple[int, int]] = []
    asker.ask(RELEASE, asks("a", "b"), progress=lambda done, total: seen.append((done, total)))
    found = asker.ask(RELEASE, asks("a", "b", "c"), progress=quiet)
    assert {key: answer.output for (key, _), answer in found.items()} == {
        "a": "answer a",
        "b": "answer b",
        "c": "answer c",
    }
    assert sorted(fake.asked) == ["a", "b", "c"]
    assert seen[-1] == (2, 2)
    seen.clear()
    asker.ask(RELEASE, asks("c"), progress=lambda done, total: seen.append((done, total)))
    assert seen == []  # nothing was done, so nothing is told


def test_failures_are_told_and_asked_again(asker: BookAsker, fake: Fake) -> None:
    fake.failing = {"b"}
    found = asker.ask(RELEASE, asks("a", "b"), progress=quiet)
    assert found["b", 0].error_code == "down"
    fake.failing = set()
    assert asker.ask(RELEASE, asks("a", "b"), progress=quiet)["b", 0].output == "answer b"
    assert sorted(fake.asked) == ["a", "b", "b"]


def test_a_budget_that_is_spent_is_an_error_that_says_what_to_do_and_keeps_what_was_answered(
    fake: Fake, tmp_path: Path
) -> None:
    poor = BookAsker(fake.open, tmp_path / "books", budget_usd=2.0, concurrency=1)
    with pytest.raises(ConflictError) as caught:
        poor.ask(RELEASE, asks("a", "b", "c"), progress=quiet)
    poor.close()
    assert caught.value.code == "budget_spent"
    assert "larger --budget" in str(caught.value)
    richer = BookAsker(fake.open, tmp_path / "books", budget_usd=1.0, concurrency=1)
    assert len(richer.ask(RELEASE, asks("a", "b", "c"), progress=quiet)) == 3
    richer.close()
    assert sorted(fake.asked) == ["a", "b", "c"]
