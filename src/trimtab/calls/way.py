"""What all calls of one arm and format have in common on the short way (`calls.short`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from trimtab.calls.plan import Plan
from trimtab.providers.http import UpstreamClient
from trimtab.providers.resilience.breaker import CircuitBreaker
from trimtab.providers.resilience.budget import RetryBudget
from trimtab.serving.generation import Answer
from trimtab.serving.plain_recorder import PlainRecorder

__all__ = ["NO_MESSAGES", "Way"]

NO_MESSAGES: list[dict[str, Any]] = []
"""What is recorded of a prompt where no content is."""


class Way(msgspec.Struct, frozen=True, eq=False):
    """What all calls of one arm and format have in common."""

    plan: Plan
    client: UpstreamClient
    breaker: CircuitBreaker
    budget: RetryBudget
    build: Callable[[Sequence[Any], dict[str, Any]], dict[str, Any]]
    """Makes the upstream's request."""
    head: bytes
    """Of the upstream's request, but for its length and the caller's lines."""
    recorded: Callable[[dict[str, Any]], list[dict[str, Any]]] | None
    """What is recorded of a request; `None` where that is its `messages`, or nothing is."""
    captured: bool
    """Whether content is recorded."""
    read: Callable[[bytes, Mapping[str, Any]], tuple[Answer, bytes]] | None
    """Reads an answer, and what the caller gets; `None` where that is the same chat completion."""
    most_bytes: int
    """Of an answer."""
    recorder: PlainRecorder
    """Records answers to callers of no team."""
    stamp: bytes
    """The header lines that all its callers get (`calls.stamp`)."""
    prompt: Sequence[Any] | None
    """What to build of where there are no variables, as JSON where that does; `None` where it cannot be without."""

    def messages(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what is recorded of an upstream's request."""
        if not self.captured:
            return NO_MESSAGES
        if self.recorded is not None:
            return self.recorded(request)
        found: list[dict[str, Any]] = request["messages"]
        return found
