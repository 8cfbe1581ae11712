"""The top-level fields of OpenAI's requests, as its API reference lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from trimtab.releases.model import CompiledRelease

__all__ = [
    "CALL_INDEX",
    "CHAT_FIELDS",
    "CONFLICTS",
    "EMBEDDINGS_FIELDS",
    "OURS",
    "PARSED_ARGUMENTS",
    "PARSED_CONTENT",
    "RESERVED_PARAMETERS",
    "pinned_parameters",
]

OURS = "trimtab"
"""The one field that is ours: `{"variables": {...}, "attributes": {...}}`. Never sent on."""

CHAT_FIELDS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)

EMBEDDINGS_FIELDS = frozenset({"dimensions", "encoding_format", "input", "model", "user"})

CALL_INDEX = "index"
"""Where among the calls of a stream a call was; clients that put streams together send it back with the call."""

PARSED_CONTENT = "parsed"
"""What OpenAI's clients add to an answer whose `content` they parsed, and send back with it: `content` said again."""

PARSED_ARGUMENTS = "parsed_arguments"
"""The same for the `arguments` of a function that was called."""

CONFLICTS: dict[str, tuple[str, ...]] = {
    "max_tokens": ("max_completion_tokens",),
    "max_completion_tokens": ("max_tokens",),
    "tools": ("functions", "function_call"),
}
"""Pinned field -> other fields that would say the same thing differently."""

RESERVED_PARAMETERS = frozenset({"messages", "model", "stream", "stream_options", OURS})
"""What a model's parameters cannot hold, because the call decides it."""


def pinned_parameters(release: CompiledRelease, reserved: AbstractSet[str] = RESERVED_PARAMETERS) -> dict[str, Any]:
    """Return the parameters that a release pins; raises `InputError` (`reserved_parameter`) for what calls decide."""
    parameters = release.model.parameters
    taken = sorted(reserved & parameters.keys())
    if taken:
        raise InputError(
            "reserved_parameter",
            f"release {release.feature}#{release.number} pins `{taken[0]}`, which every call decides",
            param=f"model.parameters.{taken[0]}",
            hint="take it out of the model's parameters and push again",
        )
    return dict(parameters)
