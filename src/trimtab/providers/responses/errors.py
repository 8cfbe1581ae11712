"""Errors of a stream, for callers that speak the Responses API and from upstreams that do.

An error that is a whole answer has the shape of chat completions (`providers.openai`): the two APIs share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from trimtab.providers.responses.wire import Event

__all__ = ["error_of", "stream_error"]

_UNNAMED = "upstream_stream_error"


def stream_error(*, kind: str, message: str, param: str | None, code: str, sequence_number: int = 0) -> bytes:
    """Return the event that ends a begun stream: the rest will not come.

    What the API has no field for stands beside it: `kind` (`core.errors`).
    """
    event = {
        "type": "error",
        "code": code,
        "message": message,
        "param": param,
        "sequence_number": sequence_number,
        "kind": kind,
    }
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode(event)


def error_of(event: Event) -> tuple[str, str]:
    """Return code and message of an `error` or `response.failed` event.

    Errors come flat, as the API documents them, or below `error`, as some servers send them.
    """
    nested: Any = event.response.error if event.response is not None else event.error
    if isinstance(nested, dict):
        code, message = nested.get("code") or nested.get("type"), nested.get("message")
    elif nested is not None and not isinstance(nested, str):
        code, message = nested.code, nested.message
    else:
        code, message = event.code, event.message or nested
    return str(code or _UNNAMED), str(message or "the upstream's stream failed")
