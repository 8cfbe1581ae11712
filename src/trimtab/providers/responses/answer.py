"""The facts of a response, and what a release does to its text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.output_steps import apply_output_adapters
from trimtab.core.errors import UpstreamError
from trimtab.providers.openai.answer import UNREADABLE
from trimtab.providers.responses.completion import completed, finish_reason_of, parts_of, tool_calls_of
from trimtab.providers.responses.wire import Usage, decode_response
from trimtab.serving.generation import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["adapt_answer", "adapt_output", "adapt_part", "read_answer"]

_NO_USAGE = Usage()
_UNFINISHED = frozenset({"queued", "in_progress"})


def read_answer(body: bytes) -> Answer:
    """Return the facts of a response: its text, its function calls and finish reason in the words of chat.

    A response that works on in the background has no more facts than its model. Raises `UpstreamError`:
    `upstream_malformed` where `body` is no response, the provider's own code where it says that it failed.
    """
    response = decode_response(body)
    if response.status in _UNFINISHED and response.error is None:
        return Answer(served_model=response.model)
    completed(response)
    said = list(parts_of(response))
    calls = tool_calls_of(response)
    usage = response.usage or _NO_USAGE
    refused = any(part.type == "refusal" for part in said)
    return Answer(
        "".join([part.text or part.refusal for part in said]),
        calls,
        "refusal" if refused else finish_reason_of(response, calls=bool(calls)),
        response.model,
        usage.input_tokens,
        usage.output_tokens,
    )


def adapt_answer(body: bytes, steps: Sequence[str]) -> bytes:
    """Return a response with every text of its messages adapted; unchanged bytes where nothing changes.

    Raises `UpstreamError` (`upstream_malformed`) where `body` is no response.
    """
    if not steps:
        return body
    try:
        response: dict[str, Any] = msgspec.json.decode(body)
        changed = adapt_output(response["output"], steps)
    except (*UNREADABLE, AttributeError, KeyError, TypeError) as error:
        raise UpstreamError("upstream_malformed", f"the upstream's answer is no response: {error}") from error
    return msgspec.json.encode(response) if changed else body


def adapt_output(output: list[dict[str, Any]], steps: Sequence[str]) -> bool:
    """Adapt the texts of output items in place; return whether any changed."""
    changed = False
    for item in output:
        if item["type"] == "message":
            for part in item.get("content") or ():
                changed = adapt_part(part, steps) or changed
    return changed


def adapt_part(part: dict[str, Any], steps: Sequence[str]) -> bool:
    """Adapt a part's text in place; return whether it changed."""
    if part["type"] != "output_text" or (adapted := apply_output_adapters(part["text"], steps)) == part["text"]:
        return False
    part["text"] = adapted
    return True
