"""A complete chat request as the Responses request that goes upstream."""

from __future__ import annotations

from typing import Any

from trimtab.core.errors import InputError
from trimtab.providers.responses.messages_to_items import instructed, items_from_chat
from trimtab.providers.responses.parameters import responses_fields
from trimtab.providers.strictness import items_of

__all__ = ["from_chat_request"]

_TAKEN_AS_THEY_ARE = ("model", "stream")
_NO_PARAMETERS = frozenset({"messages", *_TAKEN_AS_THEY_ARE})


def from_chat_request(request: dict[str, Any]) -> dict[str, Any]:
    """Return the Responses request that says what a chat request says; the upstream is asked to store nothing.

    A leading system message becomes `instructions`, the others items of `input`.

    Raises `InputError`, `param` in the names of chat: `cannot_carry` for what the Responses API has no place for,
    `no_messages`, `unknown_field` and `invalid_type`.
    """
    fields = responses_fields({name: value for name, value in request.items() if name not in _NO_PARAMETERS})
    instructions, items = instructed(items_from_chat(items_of(request.get("messages"), "messages"), at="messages"))
    if not items:
        raise InputError("no_messages", "the Responses API wants at least one message", param="messages")
    upstream = {name: request[name] for name in _TAKEN_AS_THEY_ARE if request.get(name) is not None}
    if instructions is not None:
        upstream["instructions"] = instructions
    return {**upstream, "input": items, **fields, "store": False}
