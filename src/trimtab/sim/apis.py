"""The APIs that the simulator speaks: how a request of each is read, and how it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from trimtab.providers.http.message import header
from trimtab.sim import messages_wire, wire
from trimtab.sim.behaviour import ChatRequest
from trimtab.sim.responses_wire import read_responses, response, response_events

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CHAT", "MODEL_APIS", "Api"]


class Api(NamedTuple):
    """One API."""

    asks: str
    """What its requests are called."""
    read: Callable[[bytes], ChatRequest]
    """Raises what msgspec does for a body that is no request."""
    whole: Callable[..., bytes]
    events: Callable[..., list[bytes]]
    """Both take request, answer and `usage` in the words of chat."""
    error_body: Callable[..., bytes]
    """Takes a message and, by keyword, `status`, `code`, `kind` and `param`."""
    lines: Callable[[str, float], bytes]
    """Header lines of an answer, from the id of the request and the milliseconds it took."""


def _openai_error(message: str, *, status: int, **more: Any) -> bytes:  # noqa: ARG001, ANN401 - the APIs' signature
    return wire.error_body(message, **more)


def _openai_lines(request_id: str, milliseconds: float) -> bytes:
    return header(b"x-request-id", request_id) + header(b"openai-processing-ms", f"{milliseconds:.0f}")


def _anthropic_lines(request_id: str, _milliseconds: float) -> bytes:
    return header(b"request-id", request_id)


CHAT = Api(
    "chat completions",
    msgspec.json.Decoder(ChatRequest).decode,
    wire.completion,
    wire.completion_chunks,
    _openai_error,
    _openai_lines,
)
MODEL_APIS = {
    b"/v1/chat/completions": CHAT,
    b"/v1/messages": Api(
        "Messages",
        messages_wire.read_messages,
        messages_wire.message,
        messages_wire.message_events,
        messages_wire.error_body,
        _anthropic_lines,
    ),
    b"/v1/responses": Api("Responses", read_responses, response, response_events, _openai_error, _openai_lines),
}
"""By path."""
