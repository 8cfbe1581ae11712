"""What a copy of a request may not do: run tools at the provider, or touch what the provider keeps for the user.

A mirror's answer is seen by nobody, so a function that the candidate asks for is never run: whoever relays it has
nobody to relay it to. Tools that run *at the provider* while it answers are another matter. They would run once more,
for the candidate, with whatever they do: so a request that carries any is not mirrored unless its plan says that this
kind is free of side effects. The same goes for conversations, threads and containers that the provider keeps: a mirror
would write the candidate's words into the user's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["harmless", "obstacle"]

_RELAYED = frozenset({"apply_patch", "computer", "computer_use_preview", "custom", "function", "local_shell"})
"""Kinds of tools that the caller runs: the provider only asks for them."""
_RELAYED_VERSIONS = ("bash_", "computer_", "memory_", "text_editor_")
"""The same of Anthropic, which puts a date behind the name."""
_KEPT = ("container", "conversation", "prompt", "thread")
"""Fields that name what the provider keeps: state of the user's own, or a prompt with tools nobody here can see."""
_FIELDS = {"mcp_servers": "mcp", "web_search_options": "web_search"}
"""Fields that turn a hosted tool on by themselves."""
_NAME = re.compile(r"[a-z0-9_]{1,48}")
_BACKGROUND = ("background", "background_options")


def obstacle(request: Mapping[str, Any], hosted_tools: Sequence[str] = ()) -> str:
    """Return why a request may not be mirrored, as an error code; empty where it may.

    `hosted_tools`: kinds that are free of side effects; `web_search` stands for all its versions.
    """
    for field in _KEPT:
        if request.get(field) is not None:
            return f"mirror_kept_state.{field}"
    for kind in _hosted(request):
        if not any(kind == allowed or kind.startswith(f"{allowed}_") for allowed in hosted_tools):
            return f"mirror_hosted_tool.{kind if _NAME.fullmatch(kind) else 'unknown'}"
    return ""


def harmless(request: dict[str, Any], *, stores_by_default: bool) -> dict[str, Any]:
    """Return a request that leaves nothing at the provider: not stored, not left running there.

    `stores_by_default`: the API stores answers unless told otherwise (OpenAI's Responses).
    """
    if not (stores_by_default or request.get("store") or any(field in request for field in _BACKGROUND)):
        return request
    kept = {name: value for name, value in request.items() if name not in _BACKGROUND}
    if stores_by_default or "store" in kept:
        kept["store"] = False
    return kept


def _hosted(request: Mapping[str, Any]) -> Iterator[str]:
    for field, kind in _FIELDS.items():
        if request.get(field):
            yield kind
    yield from _hosted_in(request.get("tools"))


def _hosted_in(tools: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    for tool in tools if isinstance(tools, list | tuple) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind is None or kind in _RELAYED or (isinstance(kind, str) and kind.startswith(_RELAYED_VERSIONS)):
            continue
        if kind == "namespace":
            yield from _hosted_in(tool.get("tools"))
        elif not (kind == "shell" and _is_local(tool.get("environment"))):
            yield str(kind)


def _is_local(environment: Any) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(environment, dict) and environment.get("type") == "local"
