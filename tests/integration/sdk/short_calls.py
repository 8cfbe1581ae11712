"""What the tests of both short ways of managed calls ask, and expect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import trimtab
from trimtab.providers.resilience import RetryPolicy
from trimtab.sdk.managed import ManagedLimits

if TYPE_CHECKING:
    from trimtab.events import Generation

ASK = [{"role": "user", "content": "Where is my order?"}]
ACME: dict[str, Any] = {"variables": {"shop": "Acme"}, "messages": ASK}
LIMITS = ManagedLimits(
    retry=RetryPolicy(max_attempts=2, base_seconds=0.01, max_seconds=0.02),
    max_answer_bytes=4096,
    silence_timeout_seconds=0.4,
    upstream_timeout_seconds=5.0,
)
CALLS_OWN = ("id", "at_ms", "latency_ms", "first_token_ms")
FAILURES = pytest.mark.parametrize(
    ("model", "code", "attempts"),
    [
        ("gpt-500", "overloaded", 2),
        ("gpt-gone", "upstream_disconnected", 2),
        ("gpt-slow", "upstream_timeout", 1),
        ("gpt-long", "upstream_malformed", 1),
        ("gpt-odd", "upstream_malformed", 1),
    ],
)


def providers(upstream: Any) -> dict[str, trimtab.Endpoint]:
    return {"openai": trimtab.Endpoint(name="openai", base_url=f"{upstream.url}/v1")}


def last(store: Any, tt: trimtab.Trimtab) -> Generation:
    event: Generation = store.generations(tt)[-1]
    return event


def hide(content: dict[str, Any]) -> dict[str, Any]:
    """A redaction hook."""
    return {**content, "output": "[gone]", "variables": {}}
