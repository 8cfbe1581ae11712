"""Between the format that a caller speaks and the one that its release's model is called in.

Each translation is made once per release and format, with everything looked up that no request changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from trimtab.core.errors import UpstreamError
from trimtab.providers.openai import (
    ChatRequestBuilder,
    StreamAssembler,
    adapt_completion,
    answer_of_error,
    build_embeddings_request,
    read_completion,
    read_embeddings,
    wants_usage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.releases.model import CompiledRelease
    from trimtab.serving.generation import Answer

__all__ = ["Format", "StreamReader", "Translation", "translation_of"]

Format = Literal["chat", "embeddings", "responses", "messages"]
"""How a caller speaks: OpenAI's chat completions, embeddings and Responses, Anthropic's Messages."""


class StreamReader(Protocol):
    """Takes an upstream's events in any fragmentation, returns those for the caller, knows the answer at the end."""

    @property
    def started(self) -> bool:
        """Whether the first piece of the answer itself (text, refusal or tool call) has come."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the last event has come: nothing follows, and callers may leave."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the answer is whole: a stream that ends without was cut off."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Take a piece; raises `UpstreamError` (`upstream_malformed`) for what is no stream of this format."""
        ...

    def answer(self) -> Answer:
        """What the stream said so far."""
        ...


class Translation(Protocol):
    """From a caller's request to the upstream's, and from its answer to the caller's."""

    path: bytes
    """Below the provider's base URL."""

    def request(self, prompt: Sequence[dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
        """Return the upstream's request; raises `InputError` that names the field of what cannot be carried."""
        ...

    def recorded(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the messages of an upstream's request, as they are written to the journal."""
        ...

    def read(self, body: bytes) -> tuple[Answer, bytes]:
        """Return the facts of a complete answer and what the caller gets; raises `UpstreamError` where it is none."""
        ...

    def stream(self, body: dict[str, Any]) -> StreamReader:
        """Return a reader for the stream that the caller's `body` asked for."""
        ...

    def error(self, status: int, body: bytes) -> tuple[Answer, bytes] | None:
        """Return the facts of an upstream's error and what the caller gets; `None` where it has no known shape."""
        ...


class ChatTranslation:
    """Chat completions on both sides."""

    path = b"/chat/completions"

    def __init__(self, release: CompiledRelease) -> None:
        self.request = ChatRequestBuilder(release).build
        self._steps: Sequence[str] = release.adapter.output if release.adapter else ()

    def recorded(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = request["messages"]
        return messages

    def read(self, body: bytes) -> tuple[Answer, bytes]:
        if self._steps:
            try:
                body = adapt_completion(body, self._steps)
            except (msgspec.DecodeError, AttributeError, TypeError) as error:
                raise UpstreamError("upstream_malformed", f"the answer is no chat completion: {error}") from error
        return read_completion(body), body

    def stream(self, body: dict[str, Any]) -> StreamReader:
        return StreamAssembler(keep_usage=wants_usage(body), steps=self._steps)

    def error(self, status: int, body: bytes) -> tuple[Answer, bytes] | None:
        answer = answer_of_error(status, body)
        return None if answer is None else (answer, body)


class EmbeddingsTranslation(ChatTranslation):
    """Embeddings on both sides; never streamed."""

    path = b"/embeddings"

    def __init__(self, release: CompiledRelease) -> None:
        self._release = release
        self.request = self._request

    def _request(self, prompt: Sequence[dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - the protocol's
        return build_embeddings_request(self._release, body)

    def recorded(self, request: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: ARG002 - the protocol's
        return []

    def read(self, body: bytes) -> tuple[Answer, bytes]:
        return read_embeddings(body), body


def translation_of(format: Format, release: CompiledRelease) -> Translation:  # noqa: A002 - the field's word
    """Return how callers of one format are served by a release."""
    return EmbeddingsTranslation(release) if format == "embeddings" else ChatTranslation(release)
