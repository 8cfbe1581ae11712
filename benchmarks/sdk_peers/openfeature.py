"""OpenFeature with its in-memory provider: a flag looked up in a dict, no prompt, nothing recorded."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["NAME", "open_case"]

NAME = "OpenFeature: in-memory flag"


@contextlib.contextmanager
def open_case() -> Iterator[Callable[[str], object]]:
    """Evaluate one flag for a unit; raises `ModuleNotFoundError` where the SDK is not installed."""
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    api.set_provider_and_wait(InMemoryProvider({"support-reply": InMemoryFlag("a", {"a": "support-reply#1"})}))
    client = api.get_client()
    try:
        yield lambda unit: client.get_string_details("support-reply", "", EvaluationContext(targeting_key=unit))
    finally:
        api.clear_providers()
