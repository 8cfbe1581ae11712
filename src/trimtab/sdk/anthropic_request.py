"""A release and the arguments of `messages.create` become one request, by the gateway's own rule. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.providers.anthropic import merge_request, recorded_messages
from trimtab.sdk.request import ModelRequest, body_of, call_arguments, plain_items, uncarried

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.releases.model import CompiledRelease

__all__ = ["anthropic_unit", "merge_messages_request"]


def merge_messages_request(
    release: CompiledRelease,
    prompt: Sequence[Mapping[str, Any]],
    caller: Mapping[str, Any],
    *,
    accepted: frozenset[str],
) -> ModelRequest:
    """Return the request: the release's model, prompt, parameters, tools and schema, and what the caller adds.

    Raises what `providers.anthropic.merge_request` raises (`pinned_field`, `missing_max_tokens`, ...), and
    `cannot_carry` for a release that only OpenAI serves. `accepted` holds the parameters that the installed client
    knows; others travel in `extra_body`.
    """
    if release.model.provider == "openai":
        raise uncarried(
            "model.provider",
            why=f"{release.feature}#{release.number} is served by OpenAI, and this is an Anthropic client",
            hint="call the feature through a wrapped OpenAI client",
        )
    body = body_of(caller)
    for name in ("messages", "system"):
        if name in body and not isinstance(body[name], str):
            body[name] = plain_items(body[name], name)
    request = merge_request(release, prompt, body)
    return ModelRequest(
        arguments=call_arguments(request, caller, accepted=accepted), messages=recorded_messages(request)
    )


def anthropic_unit(caller: Mapping[str, Any]) -> str:
    """Return `metadata.user_id` of the caller, empty where it gave none."""
    metadata = caller.get("metadata")
    value = metadata.get("user_id") if isinstance(metadata, dict) else None
    return value if isinstance(value, str) else ""
