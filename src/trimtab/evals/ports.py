"""What evals need of the world: somebody who answers, and embeddings. `calls` and `bootstrap` provide both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.evals.answers import Answer, Ask
    from trimtab.releases.model import CompiledRelease

__all__ = ["Models", "Subject"]


class Subject(Protocol):
    """A release that can be asked."""

    @property
    def release(self) -> CompiledRelease: ...

    def bound_usd(self, ask: Ask) -> float | None:
        """The most that an answer may cost; `None` where nobody knows what the model costs."""
        ...

    async def answer(self, ask: Ask) -> Answer:
        """Ask once. What goes wrong is an answer with an `error_code`, never an exception."""
        ...


class Models(Protocol):
    """Everything that can be asked from here."""

    def subject(self, release: CompiledRelease) -> Subject:
        """Raises `InputError` where the release cannot be carried out."""
        ...

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """Return the embeddings of texts by `provider/model`; raises `TrimtabError`."""
        ...
