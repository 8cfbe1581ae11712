"""What a response repeats of its request: the real API does, and typed clients read it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from trimtab.core.errors import InputError
from trimtab.providers.responses.native import with_tools_and_schema
from trimtab.providers.responses.parameters import responses_fields
from trimtab.providers.responses.tools import chat_tool, responses_tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.releases.model import CompiledRelease

__all__ = ["RequestEcho"]

_OBJECTS: dict[str, dict[str, Any]] = {
    "reasoning": {"effort": None, "summary": None},
    "text": {"format": {"type": "text"}},
}
"""Of which caller and release may each say something, and what is so where nobody says anything."""


class RequestEcho:
    """Tells what responses repeat of the requests of one release: what callers said and what the release pins.

    The prompt of the release stays with the release: `instructions` are the caller's own.
    """

    __slots__ = ("_pinned",)

    def __init__(self, release: CompiledRelease) -> None:
        self._pinned = with_tools_and_schema(_parameters(release), release)

    def of(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a caller's body as its response repeats it: complete, and every tool says whether it is strict."""
        pinned = self._pinned
        echo = {**body, **pinned}
        for name, otherwise in _OBJECTS.items():
            echo[name] = {**otherwise, **(body.get(name) or {}), **pinned.get(name, {})}
        own = [responses_tool(chat_tool(tool, ""), "") for tool in body.get("tools") or ()]
        echo["tools"] = [{"description": None, **tool} for tool in pinned.get("tools", own)]
        return echo


def _parameters(release: CompiledRelease) -> dict[str, Any]:
    """Return what a release pins as far as the Responses API has names for it; the model's own API may have others."""
    pinned: dict[str, Any] = {}
    for name, value in release.model.parameters.items():
        with contextlib.suppress(InputError):
            for target, said in responses_fields({name: value}).items():
                pinned[target] = {**pinned.get(target, {}), **said} if target in _OBJECTS else said
    return pinned
