"""What a caller said, whichever way it came: over HTTP to the gateway, or as a function call in this process."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Caller"]


class Caller(msgspec.Struct, frozen=True, gc=False):
    """One request, understood."""

    body: dict[str, Any]
    feature: str
    unit: str
    variables: dict[str, Any]
    stream: bool
    trace: str = ""
    """W3C trace id, where the caller sent a valid `traceparent`; `parent_span` and `trace_flags` came with it."""
    parent_span: str = ""
    trace_flags: str = ""
    session: str = ""
    """Whom it speaks for where there is no unit, and the rollout's plan falls back on sessions."""
    attributes: dict[str, str] = {}
    """Labels for segments; recorded, never sent on."""
