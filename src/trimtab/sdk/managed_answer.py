"""What a managed call returns, and how a failed one is raised."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from trimtab.core.errors import (
    AuthenticationError,
    InputError,
    NotFoundError,
    PermissionDeniedError,
    TrimtabError,
    UpstreamError,
)
from trimtab.providers.openai import UNREADABLE, read_completion
from trimtab.sdk.stamp import Served, served_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.serving.decision import Decision
    from trimtab.serving.generation import Answer

__all__ = ["Answered", "ChatAnswer", "ChatChunk", "answer_of", "error_of", "events_in"]

Answered: TypeAlias = "tuple[bytes, Answer | None]"
"""A complete answer, and what it says where that was read already."""

_ERRORS: dict[int, type[TrimtabError]] = {
    400: InputError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    413: InputError,
    422: InputError,
}


class _Detail(msgspec.Struct, frozen=True):
    code: str | int | None = None
    message: str | None = None
    param: str | None = None


class _ErrorBody(msgspec.Struct, frozen=True):
    error: _Detail


class ChatAnswer(msgspec.Struct, frozen=True):
    """One complete answer, in OpenAI's format whichever provider gave it."""

    text: str
    """Text of the first choice; its refusal where the model refused."""
    tool_calls: list[dict[str, Any]]
    finish_reason: str
    model: str
    """The model that served, as the provider names it."""
    input_tokens: int
    output_tokens: int
    trimtab: Served
    """Which release answered."""
    body: bytes
    """The whole chat completion."""

    def json(self) -> dict[str, Any]:
        """Return the whole chat completion, decoded."""
        decoded: dict[str, Any] = msgspec.json.decode(self.body)
        return decoded


async def answer_of(
    answered: asyncio.Future[Answered], decision: Decision, generation: str, give_up: Callable[[], None]
) -> ChatAnswer:
    """Wait for the answer of a call that was begun; `give_up` is called where whoever waits is cancelled."""
    try:
        body, said = await answered
    except asyncio.CancelledError:
        give_up()
        raise
    said = said or read_completion(body)
    return ChatAnswer(
        said.output,
        said.tool_calls,
        said.finish_reason,
        said.served_model,
        said.input_tokens,
        said.output_tokens,
        served_by(decision, decision.release, generation, decision.arm),
        body,
    )


class ChatChunk(msgspec.Struct, frozen=True):
    """One chunk of a stream, in OpenAI's format."""

    text: str
    """What it adds to the text of the first choice."""
    data: dict[str, Any]
    """The whole chunk."""


def error_of(status: int, body: bytes) -> TrimtabError:
    """Return the error that a failed call raises: of the kind its status says, with the code and words it came with."""
    try:
        detail = msgspec.json.decode(body, type=_ErrorBody).error
    except UNREADABLE:
        detail = _Detail()
    kind = _ERRORS.get(status, UpstreamError)
    code = str(detail.code) if detail.code else f"upstream_status_{status}"
    return kind(code, detail.message or f"the call failed with status {status}", param=detail.param)


def events_in(data: bytes) -> list[ChatChunk | TrimtabError]:
    """Return what whole server-sent events of a chat stream say."""
    said: list[ChatChunk | TrimtabError] = []
    for event in data.split(b"\n\n"):
        payload = event.removeprefix(b"data: ")
        if not event.startswith(b"data: ") or payload == b"[DONE]":
            continue
        chunk: dict[str, Any] = msgspec.json.decode(payload)
        if "error" in chunk:
            said.append(error_of(502, payload))
            continue
        first: dict[str, Any] = next((choice for choice in chunk.get("choices") or () if not choice.get("index")), {})
        said.append(ChatChunk((first.get("delta") or {}).get("content") or "", chunk))
    return said
