"""Between the format that a caller speaks and the one that its release's model is called in.

Each translation is made once per release and format, with everything looked up that no request changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.serving.generation import Answer

__all__ = ["NOTHING_SENT", "Format", "StreamReader", "Translation"]

Format = Literal["chat", "embeddings", "responses", "messages"]
"""How a caller speaks: OpenAI's chat completions, embeddings and Responses, Anthropic's Messages."""

NOTHING_SENT: Mapping[str, Any] = {}


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

    def end(self) -> bytes:
        """Return what is left to say to the caller where the upstream closed after a complete answer."""
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

    def read(self, body: bytes, sent: Mapping[str, Any] = NOTHING_SENT) -> tuple[Answer, bytes]:
        """Return the facts of a complete answer and what the caller gets; raises `UpstreamError` where it is none.

        `sent`: the caller's own body, which answers of some formats repeat.
        """
        ...

    def stream(self, body: dict[str, Any]) -> StreamReader:
        """Return a reader for the stream that the caller's `body` asked for."""
        ...

    def error(self, status: int, body: bytes) -> tuple[Answer, bytes] | None:
        """Return the facts of an upstream's error and what the caller gets; `None` where it has no known shape."""
        ...
