"""Calls whose caller and upstream speak the same format: nothing is translated, so nothing can be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.calls.formats.translation import NOTHING_SENT
from trimtab.core.errors import UpstreamError
from trimtab.providers import anthropic, responses
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
from trimtab.serving.generation import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.calls.formats.translation import StreamReader
    from trimtab.releases.model import CompiledRelease

__all__ = ["ChatTranslation", "EmbeddingsTranslation", "MessagesTranslation", "ResponsesTranslation"]


class ChatTranslation:
    """Chat completions on both sides."""

    path = b"/chat/completions"

    def __init__(self, release: CompiledRelease) -> None:
        self.request = ChatRequestBuilder(release).build
        self._steps: Sequence[str] = release.adapter.output if release.adapter else ()
        self.adapts = bool(self._steps)
        """Whether callers get something else than the upstream said."""

    def recorded(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = request["messages"]
        return messages

    def read(self, body: bytes, sent: Mapping[str, Any] = NOTHING_SENT) -> tuple[Answer, bytes]:  # noqa: ARG002 - the protocol's
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

    def read(self, body: bytes, sent: Mapping[str, Any] = NOTHING_SENT) -> tuple[Answer, bytes]:  # noqa: ARG002 - the protocol's
        return read_embeddings(body), body


class MessagesTranslation:
    """Anthropic's Messages on both sides."""

    path = b"/messages"

    def __init__(self, release: CompiledRelease) -> None:
        self._build = anthropic.MessagesRequestBuilder(release).build
        self._parameters = release.model.parameters
        self._steps: Sequence[str] = release.adapter.output if release.adapter else ()

    def request(self, prompt: Sequence[dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
        return self._build(prompt, anthropic.without_met_ceiling(body, self._parameters))

    def recorded(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return anthropic.recorded_messages(request)

    def read(self, body: bytes, sent: Mapping[str, Any] = NOTHING_SENT) -> tuple[Answer, bytes]:  # noqa: ARG002 - the protocol's
        body = anthropic.adapt_answer(body, self._steps)
        return anthropic.read_answer(body), body

    def stream(self, body: dict[str, Any]) -> StreamReader:  # noqa: ARG002 - the protocol's
        return anthropic.MessagesAssembler(steps=self._steps)

    def error(self, status: int, body: bytes) -> tuple[Answer, bytes] | None:
        known = anthropic.read_error(body, status)
        return None if known is None else (Answer(error_code=known[0]), body)


class ResponsesTranslation:
    """OpenAI's Responses on both sides."""

    path = b"/responses"

    def __init__(self, release: CompiledRelease) -> None:
        self.request = responses.ResponsesRequestBuilder(release).build
        self._steps: Sequence[str] = release.adapter.output if release.adapter else ()

    def recorded(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return responses.recorded_messages(request)

    def read(self, body: bytes, sent: Mapping[str, Any] = NOTHING_SENT) -> tuple[Answer, bytes]:  # noqa: ARG002 - the protocol's
        body = responses.adapt_answer(body, self._steps)
        return responses.read_answer(body), body

    def stream(self, body: dict[str, Any]) -> StreamReader:  # noqa: ARG002 - the protocol's
        return responses.ResponsesAssembler(steps=self._steps)

    def error(self, status: int, body: bytes) -> tuple[Answer, bytes] | None:
        answer = answer_of_error(status, body)
        return None if answer is None else (answer, body)
