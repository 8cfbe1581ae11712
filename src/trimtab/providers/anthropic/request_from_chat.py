"""A complete chat request as the Messages request that goes upstream."""

from __future__ import annotations

from typing import Any

from trimtab.core.errors import InputError
from trimtab.providers.anthropic.parameters import messages_fields
from trimtab.providers.anthropic.turns import turns_from_chat
from trimtab.providers.strictness import items_of, uncarried

__all__ = ["from_chat_request", "missing_max_tokens"]

_TAKEN_AS_THEY_ARE = ("model", "stream")
_NO_PARAMETERS = frozenset({"messages", *_TAKEN_AS_THEY_ARE})


def from_chat_request(request: dict[str, Any]) -> dict[str, Any]:
    """Return the Messages request that says what a chat request says.

    Raises `InputError`, `param` in the names of chat: `cannot_carry` for what the Messages API has no place for (an
    answer that begins with the caller's words among it: chat does not continue them, Anthropic does),
    `missing_max_tokens`, `no_messages`, `unknown_field` and `invalid_type`.
    """
    fields = messages_fields({name: value for name, value in request.items() if name not in _NO_PARAMETERS})
    messages = items_of(request.get("messages"), "messages")
    system, turns = turns_from_chat(messages, at="messages")
    if not turns:
        raise InputError(
            "no_messages",
            "Anthropic wants at least one user message beside the system's",
            param="messages",
            hint="pass one, or add one to the prompt",
        )
    if turns[-1]["role"] == "assistant":
        raise uncarried(
            f"messages[{len(messages) - 1}].role",
            why="chat answers after an assistant's message, Anthropic would continue it",
            hint="end with a user's message",
        )
    if "max_tokens" not in fields:
        raise missing_max_tokens("this request does not set it")
    upstream = {name: request[name] for name in _TAKEN_AS_THEY_ARE if request.get(name) is not None}
    if system:
        upstream["system"] = system
    return {**upstream, "messages": turns, **fields}


def missing_max_tokens(why: str) -> InputError:
    """Return the error of a request without the one number that Anthropic cannot do without."""
    return InputError(
        "missing_max_tokens",
        f"Anthropic requires `max_tokens` and {why}",
        param="max_tokens",
        hint="pass it with the call, or pin it among the parameters of the release's model",
    )
