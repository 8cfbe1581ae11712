"""What a provider's client library needs to serve a feature: five functions per wire format."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trimtab.providers.openai import Answer
    from trimtab.releases.model import CompiledRelease
    from trimtab.sdk.request import ModelRequest

__all__ = ["StreamReader", "Wire"]


class StreamReader(Protocol):
    """Reassembles a stream and applies the release's output adapters to it."""

    started: bool
    """Whether the first piece of the answer itself has come."""

    @property
    def complete(self) -> bool:
        """Whether the provider said why it stopped."""
        ...

    def take(self, chunk: Any) -> Sequence[Any]:  # noqa: ANN401 - a chunk of any provider
        """Take one chunk; return the chunks that the caller is to see now."""
        ...

    def answer(self) -> Answer:
        """Return what has arrived so far."""
        ...


class Merge(Protocol):
    """Makes one request of a release, its rendered prompt and the caller's arguments; raises `InputError`."""

    def __call__(
        self,
        release: CompiledRelease,
        prompt: Sequence[dict[str, Any]],
        caller: Mapping[str, Any],
        *,
        accepted: frozenset[str],
    ) -> ModelRequest: ...


class MakeReader(Protocol):
    """Makes the reader of one stream, from output adapters and whether the usage chunk is ours."""

    def __call__(self, *, steps: Sequence[str], usage_is_ours: bool) -> StreamReader: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One wire format, as pure functions over the client's arguments and answers."""

    unit: Callable[[Mapping[str, Any]], str]
    merge: Merge
    read: Callable[[Any], Answer]
    adapt: Callable[[Any, Sequence[str]], None]
    """Applies output adapters to a whole response, in place."""
    reader: MakeReader
