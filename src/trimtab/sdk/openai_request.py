"""A release and the arguments of `chat.completions.create` become one request, by the gateway's own rule. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.providers.openai import build_request, wants_usage
from trimtab.sdk.request import ModelRequest, body_of, call_arguments, plain_items, uncarried

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.releases.model import CompiledRelease

__all__ = ["merge_chat_request", "openai_unit"]


def merge_chat_request(
    release: CompiledRelease,
    prompt: Sequence[dict[str, Any]],
    caller: Mapping[str, Any],
    *,
    accepted: frozenset[str],
) -> ModelRequest:
    """Return the request: the release's model, prompt, parameters, tools and schema, and what the caller adds.

    Raises what `providers.openai.build_request` raises (`pinned_field`, `unknown_field`, `no_messages`, ...), and
    `cannot_carry` for a release that only Anthropic serves. `accepted` holds the parameters that the installed client
    knows; others travel in `extra_body`.
    """
    if release.model.provider == "anthropic":
        raise uncarried(
            "model.provider",
            why=f"{release.feature}#{release.number} is served by Anthropic, and this is an OpenAI client",
            hint="call the feature through a wrapped Anthropic client",
        )
    body = body_of(caller)
    if "messages" in body:
        body["messages"] = plain_items(body["messages"], "messages")
    request = build_request(release, prompt, body)
    return ModelRequest(
        arguments=call_arguments(request, caller, accepted=accepted),
        messages=request["messages"],
        usage_is_ours=bool(request.get("stream")) and not wants_usage(body),
    )


def openai_unit(caller: Mapping[str, Any]) -> str:
    """Return the caller's own user field, empty where it gave none."""
    value = caller.get("user") or caller.get("safety_identifier")
    return value if isinstance(value, str) else ""
