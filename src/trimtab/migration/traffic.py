"""Recorded calls to one model, summed by who made them."""

from __future__ import annotations

import msgspec

__all__ = ["TrafficRow"]


class TrafficRow(msgspec.Struct, frozen=True, kw_only=True):
    """Calls to one model that were recorded, summed by who made them."""

    feature: str
    release: str
    """Digest."""
    release_number: int
    served_model: str
    arm: str
    team: str
    process: str
    calls: int
    errors: int
    input_tokens: int
    largest_input_tokens: int
    output_tokens: int
    cost_usd: float
    last_ms: int
